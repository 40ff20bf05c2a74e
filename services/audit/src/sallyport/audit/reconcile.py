"""Two witnesses, one truth: the PEP's and the PDP's records of each decision must say the same, one to one.

    python -m sallyport.audit reconcile DIR… [--since TIME] [--keys FILE|DIR]… [--checkpoint FILE] [--format table|json]

The streams are verified first, and what doesn't verify isn't vouched for. Exit: 0 reconciled, 1 usage or unreadable,
2 tampered, 3 torn or unclosed though what is there agrees, 4 a stream missing, 5 they don't reconcile, 6 nothing to
compare.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time
from typing import Any, Final

from sallyport.audit.absences import LOST, UNSETTLED, Written, accused, explain
from sallyport.audit.errors import KeyRefused
from sallyport.audit.pairing import ARGUMENTS, NOT_RUN, Finding, finding, judge
from sallyport.audit.record import Record, timestamp
from sallyport.audit.report import (
    BROKEN_OFF,
    MISSING,
    NOTHING,
    TAMPERED,
    UNRECONCILED,
    USAGE,
    WHOLE,
    Report,
    State,
    plain,
)
from sallyport.audit.verify import CheckpointRefused, locate, verify
from sallyport.audit.witnesses import Account, Side, Witnesses, seconds

_EARLIEST: Final = "1970-01-01T00:00:00.000000Z"
_HEAD: Final = ("STATUS", "DECISION ID", "TIME", "SIDE", "WHO", "ACTION", "WHAT")
_KEYS_DIFFER: Final = "no arguments could be compared: the PEP and the PDP have different masking keys"


class CopiesDiffer(ValueError):
    """One stream stands in two of the directories, and not alike: only who asks knows which of them is meant."""


@dataclass(slots=True)
class Reconciliation:
    """What the two sides say of each other; `reports` are the verifier's, one a directory."""

    reports: list[Report]
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    compared: int = 0  # decisions that either side told of

    @property
    def alarms(self) -> list[Finding]:
        return [one for one in self.findings if not one.why]

    @property
    def exit_code(self) -> int:
        codes = {one.exit_code for one in self.reports}
        for code in (TAMPERED, MISSING):
            if code in codes:
                return code
        if self.missing:
            return MISSING
        if self.alarms:
            return UNRECONCILED
        if BROKEN_OFF in codes:
            return BROKEN_OFF
        return WHOLE if self.compared else NOTHING

    @property
    def verdict(self) -> str:
        return {
            WHOLE: "reconciled",
            TAMPERED: "TAMPERED: nothing is vouched for",
            MISSING: "a stream is missing: nothing is vouched for",
            BROKEN_OFF: ("what is there reconciles" if self.compared else "there is nothing to compare")
            + ", but a stream is torn or unclosed",
            UNRECONCILED: "NOT RECONCILED",
            NOTHING: "nothing to compare: neither side tells of a decision",
        }[self.exit_code]

    @property
    def vouched(self) -> bool:
        """Whether the findings are worth reading: both sides verified, as far as they go."""
        return self.exit_code not in {TAMPERED, MISSING}


def reconcile(
    paths: Sequence[Path],
    keys: Sequence[Path] | None = None,
    checkpoint: Path | None = None,
    *,
    since: float = 0.0,
    now: float | None = None,
) -> Reconciliation:
    """Raises KeyRefused, CheckpointRefused, CopiesDiffer or OSError where verifying can't even begin."""
    began = time() if now is None else now
    witnesses = Witnesses(since)
    reports = [verify(path, keys, checkpoint, now=now, heard=_once(witnesses)) for path in _distinct(paths)]
    _require_alike(reports)
    result = Reconciliation(reports)
    found = [Written(name, one, _states(reports)[name]) for name, one in witnesses.streams.items()]
    for side in Side:
        if not any(one.stream.side is side for one in found):
            result.missing.append(f"there is no stream of the {side.upper()}")
    if result.vouched:
        _compare(result, witnesses, found, since, began)
    return result


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """DIR and DIR/audit are one place."""
    return list({locate(path)[0].resolve(): path for path in paths}.values())


def _once(witnesses: Witnesses) -> Callable[[Record], None]:
    """A stream that another directory held already is verified again, and not heard again."""
    known = frozenset(witnesses.streams)

    def hear(line: Record) -> None:
        if line["stream"] not in known:
            witnesses.hear(line)

    return hear


def _require_alike(reports: Sequence[Report]) -> None:
    heads: dict[str, str] = {}
    for one in (one for report in reports for one in report.streams):
        if heads.setdefault(one.stream, one.head) != one.head:
            raise CopiesDiffer(f"{one.stream} is there twice, and not alike: name only the directory that is meant")


def _compare(result: Reconciliation, heard: Witnesses, found: Sequence[Written], since: float, began: float) -> None:
    accounts = {name: one for name, one in heard.accounts.items() if one.latest >= since}
    result.compared = len(accounts)
    findings = [found for name, one in accounts.items() for found in judge(name, one)]
    if not _masked_alike(accounts) and any(one.what == ARGUMENTS for one in findings):
        findings = [one for one in findings if one.what != ARGUMENTS]
        result.notes.append(_KEYS_DIFFER)
    findings += [*_without_outcome(accounts, found), *_without_policy(accounts, heard)]
    result.findings = explain(accused(findings, accounts, heard.gaps), found, heard.gaps, began)
    result.counts = _counts(result, accounts, heard.others)


def _masked_alike(accounts: Mapping[str, Account]) -> bool:
    """Whether both sides ever used one masking key: a digest is written `<key>:<digest>`."""
    return any(
        told.request and told.request.partition(":")[0] == decided.request.partition(":")[0]
        for one in accounts.values()
        for told in one.told
        for decided in one.decisions
    )


def _without_outcome(accounts: Mapping[str, Account], found: Sequence[Written]) -> Iterator[Finding]:
    """Of a stream that ended well, each intent has its outcome, but for as many as it says it left without."""
    left = {
        one.name: one.stream.pending
        for one in found
        if one.stream.side is Side.PEP and one.state in {State.CLOSED, State.RECOVERED}
    }
    for name, account in accounts.items():
        for told in account.told:
            if told.kind != "intent" or account.outcomes or told.stream not in left:
                continue
            left[told.stream] -= 1
            if left[told.stream] < 0:
                yield finding(name, told, Side.PEP, "the intent has no outcome", missing=True)


def _without_policy(accounts: Mapping[str, Account], heard: Witnesses) -> Iterator[Finding]:
    """Each revision that judged came into force by a record of the same stream."""
    told: set[tuple[str, str]] = set()
    for name, account in accounts.items():
        for one in account.decisions:
            stream = heard.streams[one.stream]
            new = one.revision and one.revision not in stream.in_force and (one.stream, one.revision) not in told
            if new and not stream.lost_policies:
                told.add((one.stream, one.revision))
                what = f"no record says that revision {one.revision[:12]} came into force"
                yield finding(name, one, Side.PDP, what, missing=True)


def _counts(result: Reconciliation, accounts: Mapping[str, Account], others: Counter[str]) -> dict[str, int]:
    concerned = {
        one.decision_id: one.why for one in sorted(result.findings, key=lambda one: bool(one.why), reverse=True)
    }
    whys = Counter(concerned.values())
    asked = [name for name, one in accounts.items() if one.decisions]
    return {
        "agree": sum(name not in concerned for name in asked),
        "mismatched": whys[""],
        UNSETTLED: whys[UNSETTLED],
        LOST: whys[LOST],
        NOT_RUN: whys[NOT_RUN],
        "undecided": sum(not one.decisions and name not in concerned for name, one in accounts.items()),
        **{f"source_{name}": count for name, count in sorted(others.items())},
    }


def _states(reports: Sequence[Report]) -> dict[str, State]:
    """Of copies the first, as it was heard: away from its place, an unclosed stream looks as if nobody wrote it."""
    return {one.stream: one.state for report in reversed(reports) for one in report.streams}


def lines(result: Reconciliation) -> Iterator[str]:
    """For people: the verifier's words where it doesn't vouch, else a table of what doesn't match, and a summary."""
    if not result.vouched or result.exit_code == BROKEN_OFF:
        yield from (text for report in result.reports for text in report.lines())
    yield from result.missing
    if result.findings:
        yield from _table([_HEAD, *(_cells(one) for one in result.findings)])
    yield from (f"note: {note}" for note in result.notes)
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in result.counts.items() if count)
    yield f"{result.verdict}{': ' + told if told else ''}"


def as_json(result: Reconciliation) -> str:
    document: dict[str, Any] = {
        "verdict": result.verdict,
        "exit_code": result.exit_code,
        "counts": result.counts,
        "findings": [asdict(one) | {"time": _time(one)} for one in result.findings],
        "notes": result.notes,
        "missing": result.missing,
        "verified": [text for report in result.reports for text in report.lines()],
    }
    return json.dumps(document, indent=2, sort_keys=True)


def _cells(one: Finding) -> tuple[str, ...]:
    side = f"{one.side.upper()} lacks" if one.missing else "PEP alone" if one.why == NOT_RUN else "both differ"
    return (one.why.replace("_", " ") or "MISMATCH", one.decision_id, _time(one), side, one.who, one.action, one.what)


def _time(one: Finding) -> str:
    return timestamp(int(one.time * 1e6) * 1000) if one.time > 0 else _EARLIEST


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    shown = [tuple(plain(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _since(text: str) -> float:
    """Seconds of an RFC 3339 UTC time or of the beginning of one."""
    begun = text.removesuffix("Z")
    at = seconds(begun + _EARLIEST[len(begun) :]) if begun else float("-inf")
    if at < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no UTC time: write 2026-11-21, 2026-11-21T09 or 2026-11-21T09:30:00Z"
        )
    return at


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="audit reconcile", description="Hold the PEP's record against the PDP's.")
    parser.add_argument("directory", type=Path, nargs="+", help="DIR or DIR/audit; several if they lie apart")
    parser.add_argument("--since", type=_since, default=0.0, help="a UTC time, or its beginning, such as 2026-11-21T09")
    parser.add_argument(
        "--keys", type=Path, action="append", help="PEM file or folder of *.pub (default DIR/pki/audit)"
    )
    parser.add_argument("--checkpoint", type=Path, help="checkpoints kept outside, as `verify` takes them")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as ending:  # argparse's own usage error is 2, which here means tampered
        return USAGE if ending.code else 0
    try:
        result = reconcile(options.directory, options.keys, options.checkpoint, since=options.since)
    except (KeyRefused, CheckpointRefused, CopiesDiffer, OSError) as error:
        sys.stderr.write(f"audit reconcile: {error}\n")
        return USAGE
    told = [as_json(result)] if options.format == "json" else lines(result)
    sys.stdout.writelines(f"{text}\n" for text in told)
    return result.exit_code
