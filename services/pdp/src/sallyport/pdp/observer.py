"""Who hears what the PDP does: its audit stream and its metrics. The service and the reload tell, and know no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Verdict
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
    client: str = ""  # over AuthZEN, the gateway that asked: the SPIFFE id or DNS name by which it is listed


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
    """All of them, in order: who may refuse stands before who counts."""

    members: Sequence[Observer] = ()

    def decided(self, decision: Decision) -> None:
        """Everybody hears of it. Raises the first exception; whoever comes after it hears the denial that this makes."""
        failure: Exception | None = None
        for member in self.members:
            try:
                member.decided(decision)
            except Exception as error:  # noqa: BLE001 — raised again, when all have heard
                failure, decision = failure or error, _denied(decision)
        if failure is not None:
            raise failure

    def reloaded(self, event: Reloaded) -> None:
        for member in self.members:
            member.reloaded(event)


def _denied(decision: Decision) -> Decision:
    """As it is answered when it can't be recorded."""
    return replace(decision, verdicts=(Verdict(Effect.DENY, errors=(ErrorCode.INTERNAL,)),) * len(decision.verdicts))


def errors_of(decision: Decision) -> tuple[ErrorCode, ...]:
    """Every kind of error in the answer, each once."""
    return tuple(dict.fromkeys(code for verdict in decision.verdicts for code in verdict.errors))
