"""N11, N12: from the bytes that an upstream receives, Node and Go read what the PDP judged, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sallyport.runtime import strict_json
from tests.hostile.upstream_parsers import bodies, parsers
from tests.hostile.upstream_parsers.capturing import Captured, captured

pytestmark = pytest.mark.skipif(not bodies.CORPUS.is_dir(), reason=f"no JSON corpus at {bodies.CORPUS}")


@pytest.fixture(scope="module")
def sent() -> list[Captured]:
    found = [one for body in bodies.divisive() if (one := captured(body)) is not None]
    assert len(found) > 120, "too few requests get through for this to say anything"
    return found


def judged(sent: list[Captured]) -> list[str]:
    return [parsers.expected("tools/call", bodies.TOOL, strict_json.parse(one.judged)) for one in sent]


def test_n11_node_reads_what_was_judged(sent: list[Captured]) -> None:
    assert parsers.node(one.received for one in sent) == judged(sent)


def test_n11_go_reads_what_was_judged(sent: list[Captured], tmp_path: Path) -> None:
    assert parsers.go((one.received for one in sent), tmp_path) == judged(sent)


def test_n11_the_judged_bytes_stand_in_what_is_sent(sent: list[Captured]) -> None:
    assert all(b'"arguments":' + one.judged in one.received for one in sent)


def test_n12_no_variant_of_a_protocol_key_reaches_an_upstream() -> None:
    assert [body for body in bodies.folded() if captured(body) is not None] == []


def test_n12_the_parsers_do_read_such_variants_differently(tmp_path: Path) -> None:
    """Were they all to agree, the tests above would show nothing."""
    hostile = list(bodies.folded())
    by_go, by_node = parsers.go(hostile, tmp_path), parsers.node(hostile)
    assert "error" not in by_go + by_node
    assert sum(one != other for one, other in zip(by_go, by_node, strict=True)) >= 8
