"""The hop that adds the token changes nothing that the suite can see."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.conformance import suite
from tests.conformance.conftest import Alone
from tests.support.header_hop import Way, header_hop


@pytest.mark.parametrize("revision", suite.REVISIONS)
async def test_the_suite_says_the_same_through_the_hop(stateful: str, alone: Alone, revision: str) -> None:
    way = Way(urlsplit(stateful).port or 0, lambda: "nobody-looks")
    async with header_hop(lambda: way) as port:
        through = await suite.run(f"http://localhost:{port}/mcp", revision)
    assert through.scenarios == (await alone(stateful, revision)).scenarios
