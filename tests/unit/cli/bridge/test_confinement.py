"""What the bridge's own modules do to a process, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sallyport.cli.bridge import confinement, landlock
from sallyport.cli.bridge.plan import Limits, Plan

_TOO_MANY = """
import os, signal
from sallyport.cli.bridge.confinement import confine
from sallyport.cli.bridge.plan import Limits, Plan

if os.getuid() == 0:
    os.setresuid(65533, 65533, 65533)  # the kernel limits everybody but root
confine(Plan("/", (), {}, "/", Limits(processes=5)))
held = []
try:
    for _ in range(300):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        held.append(pid)
except BlockingIOError:
    print("refused at", len(held))
for pid in held:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


def _plan(**more: object) -> Plan:
    return Plan("/bin/true", ("a", "b\n"), {"NAME": "välue"}, "/", **more)  # type: ignore[arg-type]


def test_processes_are_limited_to_so_many_more_than_its_user_has() -> None:
    done = subprocess.run([sys.executable, "-c", _TOO_MANY], capture_output=True, text=True, check=True)
    word, _, count = done.stdout.strip().rpartition(" ")
    assert word == "refused at", done
    assert int(count) <= 5


def test_a_plan_crosses_to_the_keeper_whole() -> None:
    plan = _plan(limits=Limits(1, 2, None, 4), read_only=True)
    assert Plan.decode(plan.encode()) == plan


@pytest.mark.parametrize("found", [0, 1, 2])
def test_read_only_fails_closed_where_landlock_is_missing_or_too_old(
    monkeypatch: pytest.MonkeyPatch, found: int
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: found)
    assert "--read-only" in confinement.unavailable(_plan(read_only=True))
    assert not confinement.unavailable(_plan())


def test_a_limit_that_means_nothing_to_root_is_refused_to_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert "--processes" in confinement.unavailable(_plan(limits=Limits(processes=5)))
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert not confinement.unavailable(_plan(limits=Limits(processes=5)))
