"""What a server behind the bridge can reach, change and use up."""

from __future__ import annotations

import os
from pathlib import Path

from tests.hostile.bridge.conftest import Start
from tests.support.bridge import Bridge, session, until

HARMLESS = {"read": "done", "null": "done"}


def test_n7_a_server_sees_the_listed_environment_and_no_other(opponent: Start) -> None:
    running = opponent("--env", "GIVEN", "--env", "SAID=2", env={"GIVEN": "1", "WITHHELD": "a secret of the shell"})
    with session(running) as mcp:
        found = mcp.call("environment", others=[running.process.pid])
    assert {name: value for name, value in found["own"].items() if name != "LC_CTYPE"} == {"GIVEN": "1", "SAID": "2"}
    assert set(found["stolen"].values()) == {"EACCES"}


def test_a_path_is_given_only_if_listed_and_is_minimal(opponent: Start) -> None:
    with session(opponent("--env", "PATH", env={"PATH": f"/opt/mine:{os.environ['PATH']}"})) as mcp:
        assert mcp.call("environment", others=[])["own"]["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_a_server_inherits_three_descriptors(shared: Bridge) -> None:
    with session(shared) as mcp:
        assert mcp.call("descriptors") == [0, 1, 2]


def test_shell_metacharacters_in_arguments_are_inert(opponent: Start, tmp_path: Path) -> None:
    texts = ["; {}", "$({})", "`{}`", "| {}", "&& {}", "> {}", "*", "a\nb", "--read-only", "~", "$HOME", ""]
    arguments = tuple(text.format(f"touch {tmp_path}/canary") for text in texts)
    with session(opponent(arguments=arguments)) as mcp:
        assert mcp.call("echo", value=arguments[0])["argv"] == [*arguments]
    assert not (tmp_path / "canary").exists()


def test_read_only_lets_no_file_be_changed_in_any_way(opponent: Start, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old").write_bytes(b"as it was")
    before = (tmp_path / "old").stat()
    with session(opponent("--read-only")) as mcp:
        ways = mcp.call("change", directory=str(tmp_path))
    assert {way for way, outcome in ways.items() if outcome == "done"} == set(HARMLESS), ways
    assert (tmp_path / "old").read_bytes() == b"as it was"
    after = (tmp_path / "old").stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert not (tmp_path / "new").exists()


def test_without_read_only_the_same_opponent_changes_them(shared: Bridge, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old").write_bytes(b"as it was")
    with session(shared) as mcp:
        ways = mcp.call("change", directory=str(tmp_path))
    assert {"write", "truncate", "create", "rename", "chmod", "utime", "rmdir"} <= {
        way for way, outcome in ways.items() if outcome == "done"
    }


def test_what_a_server_executes_in_its_turn_has_no_capability_and_gains_none(opponent: Start) -> None:
    with session(opponent("--files", "99", "--read-only")) as mcp:
        found = mcp.call("rights")
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert {int(found[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert found["Umask"] == "0077"


def test_open_files_are_limited(opponent: Start) -> None:
    with session(opponent("--files", "40")) as mcp:
        count, why = mcp.call("many_files")
    assert (why, count <= 37) == ("EMFILE", True)


def test_memory_is_limited(opponent: Start) -> None:
    with session(opponent("--memory-mib", "100")) as mcp:
        assert mcp.call("memory", mib=50) == "done"
        assert mcp.call("memory", mib=150) == "ENOMEM"


def test_processor_time_is_limited_and_the_caller_is_told(opponent: Start) -> None:
    running = opponent("--cpu-seconds", "1")
    with session(running) as mcp:
        answer = mcp.request("tools/call", {"name": "burn"})
        assert answer.json()["error"]["code"] == -32603
        assert mcp.request("ping", {}).status_code == 404
        until(lambda: any(line.get("code") in {137, 152} for line in running.logged()), "no end is logged")


def test_a_server_ends_neither_its_keeper_nor_the_bridge(shared: Bridge) -> None:
    with session(shared) as mcp:
        keeper = mcp.call("echo")["keeper"]
        assert mcp.call("shoot", targets=[keeper, shared.process.pid]) == ["EPERM", "EPERM"]
        assert mcp.call("echo")["keeper"] == keeper
