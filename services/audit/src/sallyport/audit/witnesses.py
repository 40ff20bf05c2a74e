"""What the two witnesses of a decision said: of each record as much as the PEP and the PDP can be compared by."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sallyport.audit.record import Record
from sallyport.audit.stream import service_of

CONTRACT: Final = "grpc"  # the source of the PEP's own questions; all others have no PEP beside them
MISMATCH: Final = "ERROR_CODE_CATALOG_MISMATCH"
_BEFORE: Final = 10.0  # seconds read before `since`: the two sides write of one decision within two
CALL: Final = "tools/call"
_WHO: Final = ("issuer", "user", "agent", "org")


class Side(StrEnum):
    PEP = "pep"
    PDP = "pdp"


@dataclass(frozen=True, slots=True)
class Said:
    """One record of one side."""

    stream: str
    kind: str
    time: float
    who: tuple[str, ...] | None  # issuer, user, agent, org; None where the question couldn't be read
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    revision: str
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    request: str  # request_hmac, or empty
    purpose: str = ""  # of a decision
    effect: str = ""
    shown: int = 0
    hidden: int = 0
    obligations: bool = False
    reason: str = ""  # of a refusal
    detail: str = ""
    method: str = ""  # as the PEP says
    tool: str = ""
    named: bool = True  # the compound_id is its user's and its agent's

    @property
    def is_call(self) -> bool:
        """By the tool above all: whoever could call a call something else would have nothing of it compared."""
        return bool(self.tool) or self.method == CALL


@dataclass(slots=True)
class Account:
    """All that was said of one decision id."""

    told: list[Said] = field(default_factory=list)  # by the PEP: an intent or a refusal
    decisions: list[Said] = field(default_factory=list)  # by the PDP, in their order
    outcomes: list[str] = field(default_factory=list)  # their details

    @property
    def latest(self) -> float:
        return max(one.time for one in (*self.told, *self.decisions))


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time in which a stream lost records, as it says itself; `lost` counts those of one decision each."""

    side: Side
    stream: str
    begin: float
    end: float
    lost: int


@dataclass(slots=True)
class Stream:
    side: Side
    last: float  # time of the newest record
    last_told: float  # the same, checkpoints aside
    beat: float = 0.0  # seconds at most between two signed heads
    pending: int = 0  # intents without outcome, as its close or a gap states
    in_force: set[str] = field(default_factory=set)  # revisions it says came into force
    lost_policies: int = 0


class Witnesses:
    """Hears every verified record, and keeps it in the words above."""

    def __init__(self, since: float = 0.0) -> None:
        self._from = since - _BEFORE
        self.accounts: dict[str, Account] = {}
        self.streams: dict[str, Stream] = {}
        self.gaps: list[Gap] = []
        self.others: Counter[str] = Counter()  # decisions by a source that has no PEP

    def hear(self, line: Record) -> None:
        try:
            side = Side(service_of(line["stream"]))
        except ValueError:
            return  # another service's stream says nothing of decisions
        at = seconds(line["time"])
        known = self.streams.setdefault(line["stream"], Stream(side, at, at))
        self._of_stream(known, line, at)
        if at >= self._from:
            self._of_decision(side, line, at)
        known.last = at
        known.last_told = known.last_told if line["kind"] == "checkpoint" else at

    def _of_stream(self, known: Stream, line: Record, at: float) -> None:
        match line["kind"]:
            case "open":
                known.beat = _number(line.get("heartbeat_ms")) / 1000
            case "close":
                known.pending += _number(line.get("pending"))
            case "policy":
                known.in_force.add(_text(line.get("in_force")))
            case "gap":
                self._gap(known, line, at)

    def _gap(self, known: Stream, line: Record, at: float) -> None:
        lost = {kind: _number(count) for kind, count in line["lost"].items()}
        ours = "decision" if known.side is Side.PDP else "intent"
        total = sum(count for kind, count in lost.items() if kind == ours or kind.startswith("refusal:"))
        self.gaps.append(Gap(known.side, line["stream"], known.last_told, at, total))
        known.pending += lost.get("outcome", 0)
        known.lost_policies += lost.get("policy", 0)

    def _of_decision(self, side: Side, line: Record, at: float) -> None:
        kind = line["kind"]
        if kind == "outcome":
            account = self.accounts.get(line["decision_id"])
            if account is not None:
                account.outcomes.append(_text(line.get("detail")))
        elif side is Side.PDP and kind == "decision":
            if line["source"] == CONTRACT:
                self._account(line).decisions.append(_said(line, at))
            else:
                self.others[line["source"]] += 1
        elif side is Side.PEP and (kind == "intent" or (kind == "refusal" and "issuer" in line)):
            self._account(line).told.append(_said(line, at))

    def _account(self, line: Record) -> Account:
        return self.accounts.setdefault(_text(line.get("decision_id")), Account())


def seconds(time: str) -> float:
    """An impossible date is infinitely old."""
    try:
        return datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("-inf")


def _said(line: Record, at: float) -> Said:
    tool, method = _text(line.get("tool")), _text(line.get("method"))
    return Said(
        stream=line["stream"],
        kind=line["kind"],
        time=at,
        who=tuple(_text(line.get(name)) for name in _WHO) if "issuer" in line else None,
        actions=_texts(line, "actions") or (tool or method,),
        resources=_texts(line, "resources"),
        revision=_text(line.get("revision")),
        reasons=_texts(line, "reasons"),
        errors=_texts(line, "errors"),
        request=_text(line.get("request_hmac")),
        purpose=_text(line.get("purpose")),
        effect=_text(line.get("effect")),
        shown=_number(line.get("shown")),
        hidden=_number(line.get("hidden")),
        obligations=bool(line.get("obligations")),
        reason=_text(line.get("reason")),
        detail=_text(line.get("detail")),
        method=method,
        tool=tool,
        named="issuer" not in line or line.get("compound_id") == f"{line.get('user')} via {line.get('agent')}",
    )


def _texts(line: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = line.get(name)
    return tuple(map(_text, value)) if isinstance(value, list) else ()


def _text(value: Any) -> str:
    """The same few names stand in a million records: one copy of each."""
    return sys.intern(value) if type(value) is str else ""


def _number(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
