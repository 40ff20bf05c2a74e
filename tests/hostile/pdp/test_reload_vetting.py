"""The process that checks policies dies, lies, hangs or is killed: the PDP refuses that set, serves on and recovers."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from sallyport.pdp import frames, reload, vetting
from tests.contract.pdp_service.process import config, started
from tests.contract.pdp_service.reloading import Following, following, publish
from tests.contract.pdp_service.running import POLICIES, SECONDS
from tests.support import policy_dir
from tests.support.upstream_leg import until

BEFORE = policy_dir.files()
AFTER = policy_dir.files(
    policies={**policy_dir.POLICIES, "no.cedar": '@id("no")\nforbid (principal, action, resource);'}
)
GOOD = frames.of_problems("0" * 64, [])
HONEST = "raise SystemExit(vet.main())"
CRASH = "import ctypes; ctypes.string_at(0)"


def child(*lines: str) -> tuple[str, ...]:
    """A checker that does this first; the lines may replace `vet.load`, which is called with the set."""
    program = "\n".join(["import os, signal, sys, time", "from sallyport.pdp import vet", *lines, HONEST])
    return (sys.executable, "-P", "-c", program)


def only_for(name: str, what: str) -> str:
    """Does `what` where the set holds this file, and else what it should."""
    return (
        f"def load(contents, original=vet.load):\n    if {name!r} in contents.files:\n        {what}\n"
        "    return original(contents)\nvet.load = load"
    )


LIES = {
    "garbage": b"\xff" * 64,
    "a huge length": b"\xff\xff\xff\xff",
    "good, of another set": frames.ANSWER.pack(len(GOOD)) + GOOD,
    "an empty object": b"\0\0\0\2{}",
    "nothing": b"",
    "only half": frames.ANSWER.pack(64) + b"{",
}


async def serves(pdp: Following) -> bool:
    answer = await pdp.pdp.revision()
    return answer.ready and answer.revision == policy_dir.contents(BEFORE).revision == pdp.revision


async def broken(pdp: Following) -> str:
    """Change to AFTER, which this checker can't take; what the operator is told."""
    publish(pdp.directory, AFTER)
    event = await pdp.reloads.now("operator")
    assert not event.serves
    assert await serves(pdp)
    (problem,) = event.problems
    return str(problem)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (CRASH, "(SIGSEGV)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "(SIGKILL)"),
        ("os._exit(0)", "(IncompleteReadError)"),
        ("raise RecursionError", "can't be checked: RecursionError"),
        ("bytearray(1 << 40)", "can't be checked: MemoryError"),
    ],
)
async def test_a_set_that_ends_its_checker_is_refused(tmp_path: Path, what: str, told: str) -> None:
    publish(tmp_path / "policies", BEFORE)
    command = child(only_for("no.cedar", what))
    async with following(tmp_path, tmp_path / "policies", watch=False, command=command) as pdp:
        assert told in await broken(pdp)


async def test_a_checker_that_falls_silent_before_it_dies_is_heard_out(tmp_path: Path) -> None:
    publish(tmp_path / "policies", AFTER)
    command = ("/bin/sh", "-c", "exec 1>&-; sleep 0.1; kill -SEGV $$")
    async with following(tmp_path, tmp_path / "policies", watch=False, command=command) as pdp:
        assert "(SIGSEGV)" in str(pdp.heard.reloads[-1].problems)


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_no_answer_about_this_set_is_no(tmp_path: Path, lie: str) -> None:
    publish(tmp_path / "policies", AFTER)
    command = (sys.executable, "-I", "-S", "-c", f"import os; os.read(0, 99); os.write(1, {LIES[lie]!r})")
    async with following(tmp_path, tmp_path / "policies", watch=False, command=command) as pdp:
        assert pdp.revision == ""
        assert "the process that checks policies broke" in str(pdp.heard.reloads[-1].problems)


async def test_a_checker_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    publish(tmp_path / "policies", AFTER)
    command = child("time.sleep(3600)")
    async with following(tmp_path, tmp_path / "policies", watch=False, seconds=1, command=command) as pdp:
        assert "took longer than 1 s to check" in str(pdp.heard.reloads[-1].problems)
        assert pdp.vetting._child is None


async def test_what_the_checker_prints_is_no_answer(tmp_path: Path) -> None:
    publish(tmp_path / "policies", BEFORE)
    command = child(only_for("no.cedar", "print('noise', flush=True); os.write(1, b'noise'); sys.stdin.read()"))
    async with following(tmp_path, tmp_path / "policies", watch=False, command=command) as pdp:
        publish(pdp.directory, AFTER)
        assert (await pdp.reload()).loaded


async def test_a_checker_killed_while_it_waits_blames_no_set(tmp_path: Path) -> None:
    publish(tmp_path / "policies", BEFORE)
    async with following(tmp_path, tmp_path / "policies", watch=False) as pdp:
        assert pdp.vetting._child is not None
        os.kill(pdp.vetting._child.pid, signal.SIGKILL)  # and asked at once, before anybody has noticed
        assert await pdp.vetting.problems(policy_dir.contents(AFTER)) == ()


async def test_bytes_that_could_not_be_checked_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as where memory was short: nobody has to touch the directory."""
    monkeypatch.setattr(reload, "_FIRST_PAUSE", 0.05)
    publish(tmp_path / "policies", BEFORE)
    flag = tmp_path / "short-of-memory"
    flag.touch()
    command = child(f"os.path.exists({str(flag)!r}) and os.kill(os.getpid(), signal.SIGKILL)")
    async with following(tmp_path, tmp_path / "policies", command=command) as pdp:
        assert pdp.revision == ""
        flag.unlink()
        while not pdp.revision:
            await pdp.heard.next()
        assert pdp.heard.reloads[-1].trigger == "change"


async def test_a_checker_that_is_not_needed_any_more_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vetting, "IDLE_SECONDS", 0.0)
    publish(tmp_path / "policies", BEFORE)
    async with following(tmp_path, tmp_path / "policies", watch=False) as pdp:
        for files in (AFTER, BEFORE):
            publish(pdp.directory, files)
            assert (await pdp.reload()).loaded
            await until(lambda: pdp.vetting._child is None)


FULL = "from sallyport.pdp import memory; memory.left = lambda: 0"


async def test_a_set_that_the_containers_memory_does_not_hold_is_refused_and_a_small_one_is_not(
    tmp_path: Path,
) -> None:
    publish(tmp_path / "policies", BEFORE)
    async with following(tmp_path, tmp_path / "policies", watch=False, command=child(FULL)) as pdp:
        large = "".join(
            f'@id("p{n}")\npermit (principal, action, resource) when {{ {n} == {n} }};' for n in range(5000)
        )
        publish(pdp.directory, policy_dir.files(policies={**policy_dir.POLICIES, "large.cedar": large}))
        event = await pdp.reloads.now("operator")
        assert not event.serves
        assert await serves(pdp)
        publish(pdp.directory, AFTER)
        assert (await pdp.reload()).loaded


async def test_what_a_large_set_took_is_given_back_before_the_pdp_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vetting, "IDLE_SECONDS", 10 * SECONDS)  # it isn't idleness that ends it
    publish(tmp_path / "policies", BEFORE)
    command = child(only_for("no.cedar", "vet.held = bytearray(64 << 20)"))
    async with following(tmp_path, tmp_path / "policies", watch=False, command=command) as pdp:
        first = pdp.vetting._child
        assert await pdp.vetting.problems(policy_dir.contents(BEFORE)) == ()
        assert pdp.vetting._child is first
        assert first is not None
        assert await pdp.vetting.problems(policy_dir.contents(AFTER)) == ()
        assert await asyncio.wait_for(first.wait(), SECONDS) == 0
        assert await pdp.vetting.problems(policy_dir.contents(BEFORE)) == ()
        assert pdp.vetting._child is not first


def links(pid: int | str) -> set[str]:
    """What a process has open, by the system's name for it."""
    return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()} - {os.devnull}  # noqa: PTH115 — no path


def checker_of(pid: int) -> tuple[int, str]:
    """The one child of a PDP, and the limits that it has set itself."""
    (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    place = Path("/proc") / found
    assert set(place.joinpath("environ").read_bytes().split(b"\0")) <= {b"", b"LC_CTYPE=C.UTF-8"}
    assert place.joinpath("oom_score_adj").read_text() == "1000\n"
    return int(found), place.joinpath("limits").read_text()


async def test_the_checker_is_confined_and_ends_with_its_pdp(tmp_path: Path) -> None:
    async with started(config(tmp_path, POLICIES)) as process, process.client() as client:
        pid, limits = checker_of(process.child.pid)
        for line in (
            "Max core file size        0 ",
            "Max file size             0 ",
            "Max address space         4294967296 ",
        ):
            assert line in limits
        assert not links(pid) & links(process.child.pid)  # no port, no record, no log
        assert (await client.revision()).ready
        watched = os.pidfd_open(pid)
        process.child.kill()
        assert await asyncio.to_thread(select.select, [watched], [], [], SECONDS) == ([watched], [], [])
        os.close(watched)


@pytest.mark.parametrize("depth", [400, 50_000])
async def test_nesting_that_would_crash_cedar_is_refused_with_its_place(tmp_path: Path, depth: int) -> None:
    publish(tmp_path / "policies", BEFORE)
    deep = f'@id("deep")\nforbid (principal, action, resource) when {{ {"(" * depth}false{")" * depth} }};'
    async with following(tmp_path, tmp_path / "policies", watch=False) as pdp:
        publish(pdp.directory, policy_dir.files(policies={**policy_dir.POLICIES, "deep.cedar": deep}))
        event = await pdp.reloads.now("operator")
        assert [(problem.file, problem.line) for problem in event.problems] == [("deep.cedar", 2)]
        assert await serves(pdp)
