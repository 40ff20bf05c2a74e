"""Runs one confined server and leaves nothing of it behind: `python -I -m sallyport.cli.bridge.keeper FD`.

FD is the reading end of a pipe whose other end only the bridge holds: its end of file means that the session, or the
bridge itself, is gone, however it went. Whatever the server started becomes our child at the latest when its parent ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from sallyport.cli.bridge import kernel
from sallyport.cli.bridge.confinement import confine
from sallyport.cli.bridge.plan import Plan

PLAN: Final = "SALLYPORT_PLAN"
CANNOT_RUN: Final = 127
_QUIET_SECONDS: Final = 0.5  # its standard input has ended: MCP's way of asking it to go
_TERM_SECONDS: Final = 2.0
_KILL_SECONDS: Final = 10.0  # for the kernel to end what we killed
_REAP_SECONDS: Final = 1.0
_ROUND_SECONDS: Final = 0.005


def main() -> NoReturn:
    lifeline, plan = int(sys.argv[1]), Plan.decode(os.environ[PLAN])
    os.set_inheritable(lifeline, False)
    kernel.hide()
    kernel.adopt_orphans()
    keeper = os.getpid()
    server = os.fork()
    if server == 0:
        _become(plan, keeper)
    _let_go_of_pipes()
    code = _follow(server, lifeline)
    _end_rest()
    sys.exit(code)


def _become(plan: Plan, keeper: int) -> NoReturn:
    try:
        os.setsid()
        kernel.end_with_parent(signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(CANNOT_RUN)  # it ended before we asked to end with it
        os.umask(0o077)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores both, and exec would hand that on
        os.chdir(plan.directory)
        confine(plan)
        os.execve(plan.program, [plan.program, *plan.arguments], plan.environment)  # noqa: S606 — no shell is the point
    except BaseException as error:  # noqa: BLE001 — a forked Python must not go on, whatever happened
        os.write(2, f"not executed: {error}\n".encode("utf-8", "replace"))
    os._exit(CANNOT_RUN)


def _let_go_of_pipes() -> None:
    """Or the bridge would never see the end of the server's output."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


def _follow(server: int, lifeline: int) -> int:
    """Until the server ended, by itself or asked with growing weight; its exit code, as a shell gives it."""
    ending = os.pidfd_open(server)
    while not (heard := _readable(_REAP_SECONDS, ending, lifeline)):
        _reap_orphans(server)
    if ending not in heard and not _readable(_QUIET_SECONDS, ending):
        os.killpg(server, signal.SIGTERM)
        _readable(_TERM_SECONDS, ending)
    # While it isn't waited for, the number can't be another's; in one step, so that nobody forks meanwhile.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])
    return 128 - code if code < 0 else code


def _readable(seconds: float, *descriptors: int) -> list[int]:
    return select.select(descriptors, [], [], seconds)[0]


def _reap_orphans(server: int) -> None:
    """They came to us and ended; but the server's own end is `_follow`'s."""
    while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if ended.si_pid == server:
            return
        os.waitpid(ended.si_pid, 0)


def _end_rest() -> None:
    """Kill our children, and then those who become ours by that, until there are none."""
    deadline = time.monotonic() + _KILL_SECONDS
    while _reap() and time.monotonic() < deadline:
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(_ROUND_SECONDS)


def _reap() -> bool:
    """Whether a child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    """Not yet waited for, so none of these numbers can be another's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may hold anything; the parent is the second field behind it.
            if int(path.read_text("utf-8", "replace").rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    main()
