"""What crosses between HTTP and a server's lines, and what a lying, mute or shouting server does to others."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx2
import pytest

from tests.hostile.bridge.conftest import Start
from tests.support.bridge import ACCEPT, PATIENCE, Bridge, Mcp, said, session, until


def _events(answer: httpx2.Response) -> list[dict[str, Any]]:
    lines = answer.text.split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def _call(tool: str, token: Any = None, **arguments: Any) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments} | ({} if token is None else {"_meta": {"progressToken": token}})


def test_n1_equal_ids_and_tokens_of_concurrent_requests_are_never_crossed(shared: Bridge) -> None:
    with session(shared) as first, session(shared) as second, ThreadPoolExecutor(8) as pool:

        def one(number: int) -> bool:
            mcp = (first, second)[number % 2]
            arguments = {"count": number % 3, "size": number}
            answer = mcp.request(
                "tools/call", {"name": "progress", "arguments": arguments, "_meta": {"progressToken": "same"}}, 7
            )
            notices = _events(answer)[:-1] if number % 3 else []
            final = _events(answer)[-1] if number % 3 else answer.json()
            widths = {len(notice["params"]["message"]) for notice in notices}
            tokens = {notice["params"]["progressToken"] for notice in notices}
            return final["id"] == 7 and widths <= {number} and tokens <= {"same"} and len(notices) == number % 3

        assert all(pool.map(one, range(120)))


def test_a_server_never_learns_the_clients_ids_and_tokens(shared: Bridge) -> None:
    with session(shared) as mcp:
        answer = mcp.request("tools/call", _call("progress", "secret token", count=0), "secret id")
        assert isinstance(said(answer)["token"], int)
        assert answer.json()["id"] == "secret id"


def test_n11_params_reach_the_server_as_they_were_sent(shared: Bridge) -> None:
    value = {"ü": ["\u2028\n\r\x00\x7f", 1, 1.5, -0.1, 9007199254740991, None, True, {}], "deep": [[[[]]]]}
    with session(shared) as mcp:
        assert mcp.call("echo", value=value)["arguments"] == {"value": value}


@pytest.mark.parametrize("number", [2**53, 2**63 - 1, -(2**63), 2**64 - 1])
def test_an_integer_of_64_bits_reaches_the_client_as_the_server_said_it(shared: Bridge, number: int) -> None:
    with session(shared) as mcp:
        stream = mcp.request("tools/call", _call("number", 5, number=str(number)))
        notice, answer = _events(stream)
        assert (notice["params"]["progress"], answer["result"]["structuredContent"]) == (number, {"id": number})


def test_an_answer_is_json_alone_and_a_stream_behind_notifications(shared: Bridge) -> None:
    with session(shared) as mcp:
        alone = mcp.request("tools/call", _call("progress", 5, count=0))
        assert alone.headers["content-type"] == "application/json"
        stream = mcp.request("tools/call", _call("progress", 5, count=3))
        assert stream.headers["content-type"] == "text/event-stream"
        *notices, answer = _events(stream)
        assert [notice["params"]["progress"] for notice in notices] == [0, 1, 2]
        assert {notice["params"]["progressToken"] for notice in notices} == {5}
        assert answer["id"] == 1
        only_json = mcp.post(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": _call("progress", 5, count=3)},
            Accept="application/json",
        )
        assert only_json.headers["content-type"] == "application/json"


def test_progress_that_nobody_asked_for_goes_nowhere(shared: Bridge) -> None:
    with session(shared) as mcp:
        assert mcp.request("tools/call", _call("progress", count=5)).headers["content-type"] == "application/json"


def test_other_notifications_go_to_the_listening_stream_of_this_session_alone(shared: Bridge) -> None:
    with shared.client() as http, session(shared) as mcp, session(shared) as other:
        assert http.get(shared.url, headers=mcp.headers | {"Accept": "application/json"}).status_code == 406
        with http.stream("GET", shared.url, headers=mcp.headers) as stream:
            assert http.get(shared.url, headers=mcp.headers).status_code == 409
            other.call("log", data="of the other")
            mcp.call("log", data="of this one")
            lines = (
                json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")
            )
            assert next(lines)["params"]["data"] == "of this one"
            mcp.end()
            assert list(lines) == []  # the stream ends with its session


def test_what_a_server_asks_of_its_client_is_refused_at_once(shared: Bridge) -> None:
    with session(shared, capabilities={"sampling": {}, "roots": {}, "elicitation": {}}) as mcp:
        for method in ("sampling/createMessage", "roots/list", "elicitation/create", "x"):
            assert mcp.call("ask", method=method)["error"]["code"] == -32601
        assert mcp.call("ask", method="ping")["result"] == {}
        assert mcp.call("messages")[0]["params"]["capabilities"] == {}


def test_a_client_that_leaves_is_a_cancellation_of_its_request_alone(shared: Bridge) -> None:
    with session(shared) as mcp:
        with pytest.raises(httpx2.ReadTimeout):
            mcp.http.post(
                mcp.url,
                json={"jsonrpc": "2.0", "id": "gone", "method": "tools/call", "params": _call("never")},
                headers=mcp.headers,
                timeout=httpx2.Timeout(PATIENCE, read=1),  # by then it has reached the server
            )
        until(lambda: _cancelled(mcp) == [2], "the server isn't told")


def _give_up(mcp: Mcp, number: Any) -> None:
    told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number, "reason": "r"}}
    assert mcp.post(told).status_code == 202


def _given_up(mcp: Mcp, number: Any, waiting: Future[httpx2.Response]) -> bool:
    """Said again until the request itself has come."""
    _give_up(mcp, number)
    return waiting.done()


def test_a_cancellation_names_the_request_by_the_number_the_server_knows(shared: Bridge) -> None:
    with session(shared) as mcp, shared.client() as http, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Mcp(http, shared.url, mcp.headers).request, "tools/call", _call("never"), 1)
        for other in (2, "1", None, True):
            _give_up(mcp, other)
        assert _cancelled(mcp) == []
        assert not waiting.done()
        until(lambda: _given_up(mcp, 1, waiting), "it isn't ended")
        assert len(_cancelled(mcp)) == 1


@pytest.mark.parametrize(("accept", "kind"), [(ACCEPT, "text/event-stream"), ("application/json", None)])
def test_a_request_that_is_given_up_ends_without_an_answer_and_frees_its_place(
    shared: Bridge, accept: str, kind: str | None
) -> None:
    with session(shared) as mcp, shared.client(Accept=accept) as http, ThreadPoolExecutor(1) as pool:
        one = Mcp(http, shared.url, mcp.headers)
        for number in range(40):  # more than may run
            waiting = pool.submit(one.request, "tools/call", _call("never"), number)
            until(partial(_given_up, mcp, number, waiting), "it isn't ended")
            ended = waiting.result()
            assert (ended.status_code, ended.content) == (200 if kind else 202, b"")
            assert ended.headers.get("content-type") == kind


def test_a_stream_that_is_given_up_ends_behind_what_it_has_said(shared: Bridge) -> None:
    with session(shared) as mcp, shared.client() as http:
        begun = {"jsonrpc": "2.0", "id": "begun", "method": "tools/call", "params": _call("begin", 5)}
        with http.stream("POST", shared.url, json=begun, headers=mcp.headers) as stream:
            _give_up(mcp, "begun")
            stream.read()
        (notice,) = _events(stream)
        assert notice["params"]["progressToken"] == 5


def _cancelled(mcp: Mcp) -> list[Any]:
    return [told["params"]["requestId"] for told in mcp.call("messages") if told["method"] == "notifications/cancelled"]


GARBAGE = (
    "", "no json", "[]", "{}", "null", '{"jsonrpc":"2.0","id":2}', '{"jsonrpc":"2.0","id":2,"result":1,"error":{}}',
    '{"jsonrpc":"2.0","method":7}', '{"jsonrpc":"2.0","method":"x","params":[]}', '{"id":2,"result":{}}',
    '{"jsonrpc":"2.0","id":2,"result":{"x":NaN}}', '{"jsonrpc":"2.0","id":2,"id":2,"result":{}}', "[" * 5000,
)  # fmt: skip


def test_a_garbage_line_is_logged_without_its_text_and_ignored(opponent: Start) -> None:
    running = opponent()
    with session(running) as mcp:
        for text in GARBAGE:
            assert mcp.call("raw", text=text) == "said"
    ignored = [line for line in running.logged() if line["event"] == "line of the server ignored"]
    assert [line["so_far"] for line in ignored] == list(range(1, len(GARBAGE) + 1))
    assert "no json" not in running.log.read_text()


@pytest.mark.parametrize(
    "text",
    [
        f'{{"jsonrpc":"2.0","id":{number},"result":{{"forged":true}}}}'
        for number in ('"2"', "99", "true", "2.0", "null", "-1", '"of the server"')
    ],
)
def test_an_answer_to_what_was_not_asked_reaches_nobody(shared: Bridge, text: str) -> None:
    with session(shared) as mcp:
        assert mcp.call("raw", text=text) == "said"


def test_a_server_that_says_only_garbage_loses_its_session_and_no_other_is_touched(shared: Bridge) -> None:
    with session(shared) as good, session(shared) as bad:
        answer = bad.request("tools/call", _call("raw", text="garbage", times=100_000))
        assert answer.json()["error"]["code"] == -32603
        assert bad.request("ping", {}).status_code == 404
        assert good.call("echo", value=1)["arguments"] == {"value": 1}


def test_a_long_answer_passes_and_one_over_the_cap_ends_the_session(shared: Bridge) -> None:
    with session(shared) as mcp:
        size = (4 << 20) - 1000
        assert len(mcp.request("tools/call", _call("wide", size=size)).json()["result"]["x"]) == size
        assert mcp.request("tools/call", _call("wide", size=size + 1000)).json()["error"]["code"] == -32603
        assert mcp.request("ping", {}).status_code == 404


def test_n23_a_flood_of_one_server_stops_no_other_session(shared: Bridge) -> None:
    with session(shared) as good, session(shared) as bad:
        with pytest.raises(httpx2.ReadTimeout):
            bad.http.post(
                bad.url,
                json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": _call("flood")},
                headers=bad.headers,
                timeout=httpx2.Timeout(PATIENCE, read=0.5),
            )
        for number in range(20):
            assert good.call("echo", value=number)["arguments"] == {"value": number}
        assert bad.end().status_code == 204


def test_n25_what_a_slow_client_does_not_read_is_bounded_and_the_answer_gets_through(shared: Bridge) -> None:
    with shared.client() as http, session(shared) as mcp:
        flood = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": _call("progress", 1, count=4000, size=10_000),
        }
        with http.stream("POST", shared.url, json=flood, headers=mcp.headers) as slow:
            mcp.call("echo")  # answered behind the flood: all of it has come
            slow.read()
    *notices, answer = _events(slow)
    assert answer["id"] == 1
    assert 0 < len(notices) < 4000


def test_requests_of_one_session_are_bounded(shared: Bridge) -> None:
    with session(shared) as mcp, ThreadPoolExecutor(40) as pool:
        limits = httpx2.Limits(max_connections=50)
        with httpx2.Client(headers=dict(mcp.http.headers), limits=limits, timeout=PATIENCE) as http:
            many = Mcp(http, shared.url, mcp.headers)
            waiting = [pool.submit(many.request, "tools/call", _call("never"), number) for number in range(33)]
            until(lambda: any(asked.done() for asked in waiting), "none was refused")
            refused = next(asked for asked in waiting if asked.done()).result()
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            mcp.end()
            assert sorted({asked.result().status_code for asked in waiting}) == [200, 429]


def test_a_server_that_does_not_read_holds_up_nobody(shared: Bridge) -> None:
    with session(shared) as good, session(shared) as deaf:
        deaf.call("stubborn")
        wide = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"x": "x" * 1_000_000}}
        until(lambda: deaf.post(wide).status_code == 503, "it takes whatever is sent")
        assert good.call("echo", value=1)["arguments"] == {"value": 1}


def test_what_a_server_says_on_stderr_is_logged_plain_and_bounded(opponent: Start) -> None:
    running = opponent()
    with session(running) as mcp:
        mcp.call("murmur", text="\x1b[2J\x1b]0;owned\x07\rforged\x00\u202e Authorization: Bearer abcdefghijklmnop\n")
        mcp.call("murmur", text="x" * 1_000_000)
        mcp.call("murmur", text="\nline", times=10_000)
    log = running.log.read_bytes()
    assert not set(log) & (set(range(32)) - {10})
    assert log.isascii()
    texts = [line["text"] for line in running.logged() if "text" in line]
    assert texts[0].startswith("\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{d}forged\\u{0}\\u{202e}")
    assert "abcdefghijklmnop" not in texts[0]
    assert max(map(len, texts)) <= 1000
    assert len(texts) < 200


def test_a_program_that_does_not_answer_initialize_gets_no_session(opponent: Start) -> None:
    running = opponent("--sessions", "1")
    with running.client() as http:
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {},
        }  # the opponent breaks without a version
        answer = http.post(running.url, json=hello)
        assert answer.json()["error"]["code"] == -32603
        assert "mcp-session-id" not in answer.headers
        until(lambda: Mcp(http, running.url).begin().status_code == 200, "its place didn't come back")


def test_a_session_that_the_server_refuses_gives_its_place_back(opponent: Start) -> None:
    running = opponent("--sessions", "1")
    with running.client() as http:
        answer = Mcp(http, running.url).begin(protocolVersion="refuse")
        assert answer.json()["error"] == {"code": -32602, "message": "not this version"}
        assert "mcp-session-id" not in answer.headers
        until(lambda: Mcp(http, running.url).begin().status_code == 200, "its place didn't come back")
