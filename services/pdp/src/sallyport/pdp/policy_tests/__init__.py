"""Tests of a policy set, in files beside the policies: NAME.test.yaml, or JSON as the Cedar CLI's `run-tests` takes it.

`problems` is the reload's door: a set whose own tests fail is refused. `Run` is what `sallyport policy test` looks at.
"""

from __future__ import annotations

from collections.abc import Sequence

from sallyport.pdp.policy_tests.limits import MAX_PROBLEMS
from sallyport.pdp.policy_tests.model import Difference, FileReport, Result
from sallyport.pdp.policy_tests.run import Run, cut
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import Problem

__all__ = ["Difference", "FileReport", "Result", "Run", "problems"]


def problems(snapshot: Snapshot, contents: Contents) -> tuple[Problem, ...]:
    """Why the directory's own tests don't pass; empty if they all do. No tests at all don't pass.

    Never raises, but what ends the process; takes bounded time and memory, and says the same every time.
    """
    try:
        return tuple(_problems(snapshot, contents))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 — whatever breaks the tests, they haven't passed
        return (Problem("*.test.yaml", 0, 0, f"the tests can't be run: {type(error).__name__}"),)


def _problems(snapshot: Snapshot, contents: Contents) -> Sequence[Problem]:
    run = Run(snapshot, contents)
    if not run.files:
        return [Problem("*.test.yaml", 0, 0, "there is no policy test, and this PDP takes no set without; write one")]
    found: list[Problem] = []
    for name in run.files:
        report = run.file(name)
        found += report.problems
        found += (
            Problem(name, failed.line, failed.column, f"case {failed.name}: {failed.said}", failed.name)
            for failed in report.failed
        )
        if len(found) > MAX_PROBLEMS:  # the set is refused anyway
            break
    return cut(found)
