"""The second lock: what the HTTP parser may one day let through is still refused."""

from __future__ import annotations

import pytest

from sallyport.pep.refusal import Reason
from sallyport.pep.transport import Limits, head
from sallyport.pep.transport.head import Bad, Target

HOST = (b"host", b"localhost:8443")
LIMITS = Limits(body_bytes=10)


@pytest.mark.parametrize(
    "more",
    [
        [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"1"), (b"content-length", b"1")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"chunked, gzip")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"1,1")],
        [(b"content-length", b"0x1")],
        [(b"content-length", b"")],
        [(b"content-length", b"0" * 20)],
        [(b"upgrade", b"h2c")],
        [(b"expect", b"the-unexpected")],
        [(b"host", b"localhost:8443")],
    ],
)
def test_n4_a_body_of_two_lengths_or_none_that_is_clear_is_refused(more: list[tuple[bytes, bytes]]) -> None:
    bad = head.check("1.1", b"POST", b"/mcp", [HOST, *more], LIMITS)
    assert isinstance(bad, Bad)
    assert (bad.reason, bad.status) == (Reason.INVALID_REQUEST, 400)


def test_n24_a_length_over_the_cap_is_refused_before_the_body() -> None:
    assert isinstance(head.check("1.1", b"POST", b"/mcp", [HOST, (b"content-length", b"10")], LIMITS), Target)
    bad = head.check("1.1", b"POST", b"/mcp", [HOST, (b"content-length", b"11")], LIMITS)
    assert isinstance(bad, Bad)
    assert bad.status == 413


@pytest.mark.parametrize("host", [b"localhost", b"a.b-c_d:1", b"127.0.0.1:8443", b"[::1]:8443"])
def test_a_well_formed_host_is_taken(host: bytes) -> None:
    assert head.check("1.1", b"GET", b"/a/b?c=d", [(b"host", host)], LIMITS) == Target(b"/a/b", b"c=d")
