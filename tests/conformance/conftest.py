"""The upstream of these tests, and what the suite says of it alone: the measure of every run through something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

import pytest

from tests.conformance import suite
from tests.conformance.suite import Results
from tests.support.everything_server import serving

Alone: TypeAlias = Callable[[str, str], Awaitable[Results]]


@pytest.fixture(scope="session")
def stateful() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="session")
def stateless() -> Iterator[str]:
    with serving("--stateless") as url:
        yield url


@pytest.fixture(scope="session")
def alone() -> Alone:
    """The suite's results of a server by itself, each run once."""
    known: dict[tuple[str, str], Results] = {}

    async def results(url: str, revision: str) -> Results:
        if (url, revision) not in known:
            known[url, revision] = await suite.run(url.replace("127.0.0.1", "localhost"), revision)
        return known[url, revision]

    return results
