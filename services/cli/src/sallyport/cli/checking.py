"""What `policy check` found, for a program and for a pull request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sallyport.runtime.problems import Problem

if TYPE_CHECKING:
    from sallyport.pdp.findings.finding import Finding
    from sallyport.pdp.findings.parts import Parts


def mend(problem: Problem) -> str:
    from sallyport.pdp.findings.mends import mend as mend_of  # noqa: PLC0415 — takes Cedar along

    return mend_of(problem)


def summary(parts: Parts) -> str:
    """The set in one line, with what its dearest requests look at."""
    snapshot = parts.snapshot
    slices = _slices(parts)
    worst = max(slices, key=lambda name: len(slices[name]))
    return (
        f"{len(snapshot.policies)} policies, {len(snapshot.catalog.tools)} tools, revision {snapshot.revision[:12]}; "
        f"every {worst} looks at {len(slices[worst])} policies at least"
    )


def as_json(problems: Sequence[Problem], found: Sequence[Finding], parts: Parts | None) -> str:
    """One document; `slices` names for each action the policies that every request for it looks at."""
    document: dict[str, Any] = {
        "serves": not problems,
        "errors": [
            {
                "file": one.file,
                "line": one.line,
                "column": one.column,
                "subject": one.subject,
                "message": one.message,
                "mend": mend(one),
            }
            for one in problems
        ],
        "warnings": [
            {
                "rule": one.rule,
                "file": one.file,
                "line": one.line,
                "column": one.column,
                "subject": one.subject,
                "message": one.message,
                "mend": one.mend,
            }
            for one in found
        ],
    }
    if parts is not None:
        document |= {"revision": parts.snapshot.revision, "slices": _slices(parts)}
    return json.dumps(document, indent=2)


def github(place: Path, problems: Sequence[Problem], found: Sequence[Finding]) -> Iterator[str]:
    """Workflow commands: GitHub shows each at its line of the pull request."""
    for problem in problems:
        text = " ".join(filter(None, (problem.message, mend(problem))))
        yield _command("error", place / problem.file, problem.line, problem.column, "policy check", text)
    for one in found:
        text = f"{one.message} ({one.mend})"
        yield _command("warning", place / one.file, one.line, one.column, f"policy check: {one.rule}", text)


def _command(level: str, file: Path, line: int, column: int, title: str, text: str) -> str:
    place = f"file={_property(str(file))},line={max(line, 1)},col={max(column, 1)},title={_property(title)}"
    return f"::{level} {place}::{_data(text)}"


def _data(text: str) -> str:
    """Escaped as the runner reads it: no name in a policy starts a command of its own."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _slices(parts: Parts) -> dict[str, list[str]]:
    from sallyport.pdp.findings.scopes import open_policies  # noqa: PLC0415 — takes Cedar along

    return {action: [policy.id for policy in policies] for action, policies in open_policies(parts).items()}
