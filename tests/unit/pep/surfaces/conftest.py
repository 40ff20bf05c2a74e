"""One gate before one upstream, for all tests of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.surfaces import Surfaces, surfaces, usual


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surfaces]:
    async with surfaces(tmp_path_factory.mktemp("surfaces") / "laptop") as made:
        yield made


@pytest.fixture
def made(opened: Surfaces) -> Surfaces:
    """With an honest upstream that hasn't been asked anything yet."""
    opened.said[:] = [usual]
    opened.opponent.got.clear()
    return opened
