"""However a session, its server or the bridge ends, nothing of the server is left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.hostile.bridge.conftest import Start
from tests.support.bridge import Bridge, Mcp, alive, bridge, session, tree, until


def _none_left(pids: set[int]) -> None:
    until(lambda: not any(map(alive, pids)), f"of {pids} some live")


def _with_family(mcp: Mcp) -> set[int]:
    """All pids of one session: keeper, server, its child, and its grandchild in a process session of its own."""
    family = set(mcp.call("family"))
    assert len(family) == 2
    keeper = mcp.call("echo")["keeper"]
    everybody = {keeper} | tree(keeper)
    assert family <= everybody
    return everybody


def test_delete_ends_the_server_and_all_that_it_started(shared: Bridge) -> None:
    with session(shared) as mcp:
        everybody = _with_family(mcp)
        assert mcp.end().status_code == 204
        assert mcp.request("ping", {}).status_code == 404
        _none_left(everybody)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_bridge_leaves_no_process(opponent: Start, number: signal.Signals) -> None:
    running = opponent()
    with session(running) as mcp:
        everybody = _with_family(mcp)
        running.process.send_signal(number)
        running.process.wait(20)
        _none_left(everybody)


def test_a_server_that_exits_leaves_no_process_and_its_session_is_gone(opponent: Start) -> None:
    running = opponent()
    with session(running) as mcp:
        everybody = _with_family(mcp)
        answer = mcp.request("tools/call", {"name": "leave", "arguments": {"code": 3}})
        assert answer.status_code == 200
        assert answer.json()["error"] == {"code": -32603, "message": "the server ended"}
        _none_left(everybody)
        assert mcp.request("ping", {}).status_code == 404
        until(lambda: any(line.get("code") == 3 for line in running.logged()), "its exit code is not logged")


def test_a_killed_keeper_takes_its_server_along(shared: Bridge) -> None:
    with session(shared) as mcp:
        found = mcp.call("echo")
        os.kill(found["keeper"], signal.SIGKILL)
        _none_left({found["pid"]})


def test_a_process_that_got_away_and_holds_the_pipes_keeps_neither_the_place_nor_the_bridge(opponent: Start) -> None:
    running = opponent("--sessions", "1")
    with running.client() as http:
        mcp = Mcp(http, running.url)
        mcp.begin()
        family, found = mcp.call("family"), mcp.call("echo")
        try:
            os.kill(found["keeper"], signal.SIGKILL)
            _none_left({found["pid"]})
            until(lambda: mcp.request("ping", {}).status_code == 404, "the session lives on")
            mcp.headers = {}
            until(lambda: mcp.begin().status_code == 200, "the place didn't come back")
            family += mcp.call("family")
            os.kill(mcp.call("echo")["keeper"], signal.SIGKILL)
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(20) == 0
        finally:
            for pid in family:
                os.kill(pid, signal.SIGKILL)


def test_a_server_that_ignores_sigterm_is_killed(shared: Bridge) -> None:
    with session(shared) as mcp:
        pid = mcp.call("stubborn")
        mcp.end()
        _none_left({pid})


def test_an_unused_session_ends_and_a_used_one_stays(opponent: Start) -> None:
    running = opponent("--idle-seconds", "1")
    with (
        running.client() as http,
        session(running) as waiting,
        waiting.http.stream("GET", running.url, headers=waiting.headers),  # who listens, uses it
    ):
        idle = Mcp(http, running.url)
        idle.begin()
        pid = idle.call("echo")["pid"]
        _none_left({pid})
        assert idle.request("ping", {}).status_code == 404
        assert waiting.request("ping", {}).status_code == 200


@pytest.mark.parametrize(("text", "code"), [("#!/bin/sh\nexit 7\n", 7), ("no program\n", 127)])
def test_a_program_that_does_not_run_gives_no_session_and_the_log_says_why(
    tmp_path: Path, text: str, code: int
) -> None:
    program = tmp_path / "server"
    program.write_text(text)
    program.chmod(0o700)
    with bridge(tmp_path, [str(program)], "--sessions", "1") as running, running.client() as http:
        for _ in range(3):  # each failed one gives its place back
            answer = Mcp(http, running.url).begin()
            assert "mcp-session-id" not in answer.headers
            assert answer.json()["error"] == {"code": -32603, "message": "the server ended"}
            until(lambda: running.logged()[-1]["event"] == "server ended", "its end isn't logged")
        assert running.logged()[-1]["code"] == code
        assert any("not executed" in line.get("text", "") for line in running.logged()) is (code == 127)
