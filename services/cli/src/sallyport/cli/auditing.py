"""What the demo asks the audit record, in two words: what was decided, and whether the chain is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sallyport.audit import show
from sallyport.audit import verify as verifier
from sallyport.audit.report import WHOLE, State


@dataclass(frozen=True, slots=True)
class Decision:
    id: str
    permitted: bool
    policies: tuple[str, ...]  # ids of the policies that decided; empty: none permitted it


@dataclass(frozen=True, slots=True)
class Verdict:
    code: int  # as `sallyport audit verify` exits
    summary: str


def decision(directory: Path, *, token_id: str) -> Decision | None:
    """The one decision made on the token with this id; None if there is none, or more than one."""
    chosen = show.Filter(kinds=show.DECISIONS)
    match [record for record in show.records(directory, chosen) if record.get("token_id") == token_id]:
        case [{"decision_id": str(found), "effect": str(effect), "reasons": list(reasons)}]:
            return Decision(found, effect == "permit", tuple(map(str, reasons)))
        case _:
            return None


def verify(directory: Path, keys: Path) -> Verdict:
    report = verifier.verify(directory, [keys])
    if report.exit_code == WHOLE:
        records = sum(one.records for one in report.streams)
        return Verdict(WHOLE, f"{report.verdict}: {records} records, every link and signature holds")
    details = [one.detail for one in report.streams if one.state is not State.CLOSED] + report.missing
    return Verdict(report.exit_code, "; ".join(details) or report.verdict)
