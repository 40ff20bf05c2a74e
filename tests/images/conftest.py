"""Tests of built images: `pytest -m images tests/images`, with SALLYPORT_PEP_IMAGE and SALLYPORT_PDP_IMAGE naming them.

They need a container engine, so they run only when asked for; once they are, a missing engine or image is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.images import engine
from tests.images.image import SERVICES, Image, opened

_HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "images: needs a container engine and built images; runs only with -m images")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mine = [item for item in items if item.path.is_relative_to(_HERE)]
    for item in mine:
        item.add_marker(pytest.mark.images)
    if "images" not in str(config.getoption("markexpr")):
        items[:] = [item for item in items if item not in mine]
        config.hook.pytest_deselected(items=mine)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Image]]:
    engine.must_answer()
    with ExitStack() as stack:
        yield {
            service: stack.enter_context(opened(service, _named(service), tmp_path_factory.mktemp(service)))
            for service in SERVICES
        }


@pytest.fixture(scope="session", params=SERVICES)
def image(request: pytest.FixtureRequest, images: dict[str, Image]) -> Image:
    return images[request.param]


def _named(service: str) -> str:
    variable = f"SALLYPORT_{service.upper()}_IMAGE"
    name = os.environ.get(variable, "")
    if not name:
        pytest.fail(f"{variable} names no image; build both and name them: export $(deploy/images/build.sh)")
    return name
