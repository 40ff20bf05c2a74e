"""Who hears what the PDP does: its audit stream and its metrics. The service and the reload tell, and know no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sallyport.pdp.model import ErrorCode, Principal, Purpose, Query, Verdict
from sallyport.runtime.problems import Problem


@dataclass(frozen=True, slots=True)
class Decision:
    """One question that is answered: what was asked, and what the answer will say."""

    decision_id: str  # 32 hex digits
    source: str  # "grpc" or "authzen"
    principal: Principal | None  # None where the question couldn't be read so far
    purpose: Purpose | None
    queries: tuple[Query, ...]
    verdicts: tuple[Verdict, ...]  # one for each query, or as many as the answer has
    revision: str  # of the snapshot that judged; empty if none serves
    question_sha256: bytes  # of the question as it travelled
    seconds: float  # from the question read to the verdicts made
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """One attempt at a policy set."""

    serves: bool  # the directory as read serves now
    revision: str  # what was read; empty if it couldn't be read whole
    in_force: str  # the revision that serves now; empty if none
    problems: tuple[Problem, ...]
    seconds: float
    trigger: str  # "start", "change", "signal" or "operator"


class Observer(Protocol):
    """An exception from `decided` makes the answer a denial: what can't be recorded isn't permitted."""

    def decided(self, decision: Decision) -> None: ...

    def reloaded(self, event: Reloaded) -> None: ...


@dataclass(frozen=True, slots=True)
class Observers:
    """All of them, in order."""

    members: Sequence[Observer] = ()

    def decided(self, decision: Decision) -> None:
        for member in self.members:
            member.decided(decision)

    def reloaded(self, event: Reloaded) -> None:
        for member in self.members:
            member.reloaded(event)


def errors_of(decision: Decision) -> tuple[ErrorCode, ...]:
    """Every kind of error in the answer, each once."""
    return tuple(dict.fromkeys(code for verdict in decision.verdicts for code in verdict.errors))
