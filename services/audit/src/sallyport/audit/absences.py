"""Which absences the streams themselves explain: a process that died, one still writing, a gap that says what is lost.

An absence that is explained is shown and raises no alarm. Each explanation is as narrow as honest services need it: one
second of one stream's end, or as many records as a signed gap counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sallyport.audit.pairing import NOT_RUN, Finding
from sallyport.audit.report import State
from sallyport.audit.witnesses import Account, Gap, Side, Stream

UNSETTLED: Final = "unsettled"
LOST: Final = "lost"
_UNWRITABLE: Final = "audit_unavailable"
SPAN: Final = 1.0  # seconds of a dead stream's end that nobody signed and that may be gone


@dataclass(frozen=True, slots=True)
class Written:
    """What was read of one stream, and how it ended."""

    name: str
    stream: Stream
    state: State


def explain(
    findings: Iterable[Finding], streams: Sequence[Written], gaps: Sequence[Gap], began: float
) -> list[Finding]:
    """The same findings, those that are explained marked so. `began`: when reading did."""
    left = sorted(findings, key=lambda one: one.time)
    for one in streams:
        left = _still_written(left, one, began) if one.state is State.OPEN else _broken_off(left, one)
    for gap in gaps:
        left = _stated(left, gap)
    return left


def accused(findings: Iterable[Finding], accounts: Mapping[str, Account], gaps: Sequence[Gap]) -> list[Finding]:
    """The same: who says that a permitted call failed for want of a record must have a gap that says so too."""
    ours = [gap for gap in gaps if gap.side is Side.PEP]
    return [
        replace(one, why="", what="the PDP permitted it, and no gap says that the PEP couldn't record it")
        if one.why == NOT_RUN and _unwritable(accounts[one.decision_id]) and not any(_during(one, gap) for gap in ours)
        else one
        for one in findings
    ]


def _unwritable(account: Account) -> bool:
    return any(told.reason == _UNWRITABLE for told in account.told)


def _during(finding: Finding, gap: Gap) -> bool:
    return gap.begin - SPAN <= finding.time <= gap.end + SPAN


def _still_written(findings: Sequence[Finding], one: Written, began: float) -> list[Finding]:
    """What is younger than our look at a living stream may stand there by now."""
    return [
        finding.explained(UNSETTLED) if _lacks(finding, one.stream.side) and finding.time >= began - SPAN else finding
        for finding in findings
    ]


def _broken_off(findings: Sequence[Finding], one: Written) -> list[Finding]:
    """What was not yet on disk when the process died: a second of it at most, from the first that is missing."""
    if one.state is State.CLOSED:
        return list(findings)
    begin, end = one.stream.last - SPAN, one.stream.last + one.stream.beat + SPAN
    first = next((f.time for f in findings if _lacks(f, one.stream.side) and begin <= f.time <= end), None)
    if first is None:
        return list(findings)
    return [
        finding.explained(UNSETTLED)
        if _lacks(finding, one.stream.side) and first <= finding.time <= first + SPAN
        else finding
        for finding in findings
    ]


def _stated(findings: Sequence[Finding], gap: Gap) -> list[Finding]:
    """As many decisions as the gap counts, of the time that it speaks of."""
    explained: list[Finding] = []
    decisions: set[str] = set()
    for finding in findings:
        within = _during(finding, gap) and _lacks(finding, gap.side)
        if within and (finding.decision_id in decisions or len(decisions) < gap.lost):
            decisions.add(finding.decision_id)
            explained.append(finding.explained(LOST))
        else:
            explained.append(finding)
    return explained


def _lacks(finding: Finding, side: Side) -> bool:
    return finding.missing and finding.side is side and not finding.why
