"""N11, N12: from the bytes that an upstream receives, Node and Go read what the PDP judged, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sallyport.runtime import strict_json
from tests.hostile.upstream_parsers import bodies, parsers
from tests.hostile.upstream_parsers.capturing import Gate, gate
from tests.support.attacks.lists import DOCUMENTS, both
from tests.support.upstream_leg import until


@dataclass(frozen=True, slots=True)
class Through:
    """What reached the upstream, and what the PDP's record says of the same calls."""

    received: list[bytes]
    judged: list[str]


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("parsers") / "laptop") as made:
        yield made


@pytest.fixture(scope="module", params=both(DOCUMENTS))
async def through(opened: Gate, request: pytest.FixtureRequest) -> Through:
    """What got through of everything divisive."""
    before = len(opened.judged())
    found = await opened.captured(bodies.divisive(request.param))
    assert len(found) > 120, "too few requests get through for this to say anything"
    await until(lambda: len(opened.judged()) >= before + len(found))  # the PDP answers before its record is on the disk
    return Through(found, opened.judged()[before:])


@pytest.fixture
def received(through: Through) -> list[bytes]:
    return through.received


def ours(received: list[bytes]) -> list[str]:
    messages: list[Any] = [strict_json.parse(body) for body in received]
    return [parsers.expected(one["method"], one["params"]["name"], one["params"]["arguments"]) for one in messages]


async def test_n11_what_the_upstream_received_is_what_the_pdp_judged(opened: Gate, through: Through) -> None:
    assert [opened.hashed(body) for body in through.received] == through.judged


async def test_n11_node_reads_the_same(received: list[bytes]) -> None:
    assert parsers.node(received) == ours(received)


async def test_n11_go_reads_the_same(received: list[bytes], tmp_path: Path) -> None:
    assert parsers.go(received, tmp_path) == ours(received)


async def test_n12_no_variant_of_a_protocol_key_reaches_an_upstream(opened: Gate) -> None:
    assert await opened.captured(bodies.folded()) == []


def test_n12_the_parsers_do_read_such_variants_differently(tmp_path: Path) -> None:
    """Were they all to agree, the tests above would show nothing."""
    hostile = list(bodies.folded())
    by_go, by_node = parsers.go(hostile, tmp_path), parsers.node(hostile)
    assert "error" not in by_go + by_node
    assert sum(one != other for one, other in zip(by_go, by_node, strict=True)) >= 8
