"""Room 5: the only place where a `Permit` is made, and only from the PDP's sealed answer to this very question.

The PDP decides; here is no authorization logic. A visibility question comes before any resolver, so that nobody
learns from a lookup what they may not see.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pep.decision import question as ask
from sallyport.pep.decision.client import NoDecision, PdpClient
from sallyport.pep.decision.counts import CallCounts, Reservation
from sallyport.pep.decision.permit import Permit, PermitRefused, make
from sallyport.pep.decision.question import Sought
from sallyport.pep.model import SCOPE_TOKEN, Caller, CheckedCall, Identity, Resolved, ResourceRef, Unresolved
from sallyport.pep.refusal import Reason, Refusal

__all__ = [
    "Decider",
    "Denied",
    "EachOf",
    "Mismatch",
    "NoDecision",
    "PdpClient",
    "Permit",
    "PermitRefused",
    "Permitted",
    "ResolverPort",
    "Seen",
    "Sought",
    "server",
]

SERVER: Final = ("Server", "sallyport")
TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
# The PDP's own trouble, and no word of a policy: it couldn't judge or couldn't record.
BROKEN: Final = frozenset({pb.ERROR_CODE_INTERNAL, pb.ERROR_CODE_NO_POLICIES})
NO_TOOL: Final = "unknown:tool"  # a colon is outside the alphabet of names


class ResolverPort(Protocol):
    """How a hosted tool's own lookup is reached from here without importing the tool."""

    def has_resolver(self, name: str) -> bool: ...

    async def resolve(self, identity: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved: ...

    async def release(self, resolved: tuple[Resolved, ...]) -> None: ...


@dataclass(frozen=True, slots=True)
class Permitted:
    """A method without an effect of its own is permitted; this runs no tool."""

    reasons: tuple[str, ...]
    revision: str
    obligations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """A refusal with what the PDP said, for the record."""

    refusal: Refusal
    reasons: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The answer to a visibility question; `reasons` are of what is hidden, for the record."""

    names: frozenset[str]
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    revision: str


@dataclass(frozen=True, slots=True)
class EachOf:
    """The answer about several resources; `reasons` are of all, for the record."""

    permitted: Mapping[ResourceRef, tuple[str, ...]]  # with what each permit demands
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    revision: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The PDP holds another catalog: rooms 4 and 5 run once more with that one."""

    catalog_digest: str


class Decider:
    """The room's door. `deadline` is absolute, on the monotonic clock, and holds for all questions of one call."""

    def __init__(self, client: PdpClient, resolvers: ResolverPort, fulfils: Callable[[str], bool]) -> None:
        """`fulfils` tells what release/ can do: a permit that demands anything else is none."""
        self._client = client
        self._resolvers = resolvers
        self._fulfils = fulfils
        self._counts = CallCounts()

    async def visible(
        self, caller: Caller, who: Identity, names: Sequence[str], catalog_digest: str, deadline: float
    ) -> Seen | Denied | Mismatch:
        """Which of these tools some permit may still match for; an unknown name is never among them."""
        question = ask.about_visibility(caller, who, [_askable(name) for name in names], catalog_digest)
        answer = await self._ask(question, deadline, batch=True)
        if not isinstance(answer, pb.Answer):
            return answer
        if all(_is_broken(result) for result in answer.results):
            return _undecided(answer)
        may = frozenset(name for name, result in zip(names, answer.results, strict=True) if _may(result))
        return Seen(may, _union(result.reasons for result in answer.results), _errors(answer), answer.revision)

    async def method(
        self, caller: Caller, who: Identity, on: tuple[str, str], catalog_digest: str, deadline: float
    ) -> Permitted | Denied | Mismatch:
        """May this caller use a method on a server? `on`: the method, and the named set or nothing."""
        question = ask.about_method(caller, who, on[0], server(on[1]), catalog_digest)
        answer = await self._ask(question, deadline, batch=False)
        if not isinstance(answer, pb.Answer):
            return answer
        (result,) = answer.results
        return self._denial(answer) or Permitted(tuple(result.reasons), answer.revision, tuple(result.obligations))

    async def each(
        self,
        caller: Caller,
        who: Identity,
        sought: Sought,
        catalog_digest: str,
        deadline: float,
    ) -> EachOf | Denied | Mismatch:
        """On which of these the call would be permitted, by the same rule as the call itself (N9)."""
        question = ask.about_each(caller, who, sought, catalog_digest, self._counts.of(who))
        answer = await self._ask(question, deadline, batch=True)
        if not isinstance(answer, pb.Answer):
            return answer
        if all(_is_broken(result) for result in answer.results):
            return _undecided(answer)
        each = zip(sought.refs, answer.results, strict=True)
        may = {ref: tuple(result.obligations) for ref, result in each if self._plain(result)}
        return EachOf(may, _union(result.reasons for result in answer.results), _errors(answer), answer.revision)

    def _plain(self, result: pb.Result) -> bool:
        """A permit that this gate could act on."""
        fulfilled = all(self._fulfils(obligation) for obligation in result.obligations)
        return result.effect == pb.EFFECT_PERMIT and not result.errors and fulfilled

    async def call(
        self, caller: Caller, who: Identity, call: CheckedCall, catalog_digest: str, deadline: float
    ) -> Permit | Denied | Mismatch:
        """A permit for exactly this call, or why not; whoever gets one ends it when the call is over.

        On anything but a permit all handles are let go, and the call counts no longer.
        To be asked only where the tool is visible to the caller: a resolver's lookup must tell nobody else anything.
        """
        resolved = await self._resolve(who, call)
        if isinstance(resolved, Unresolved):
            # Asked all the same, for nothing: what a lookup found must not be told by how soon the answer comes.
            unopened = tuple(Resolved(ref) for ref in call.resources)
            judged = await self._judge(caller, who, call, unopened, catalog_digest, deadline)
            if isinstance(judged, Permit):
                judged.end()
            return _unresolved(resolved, judged)
        permit: Permit | Denied | Mismatch | None = None
        try:
            permit = await self._judge(caller, who, call, resolved, catalog_digest, deadline)
        finally:
            if not isinstance(permit, Permit):
                await self._resolvers.release(resolved)
        return permit

    async def _resolve(self, who: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        # A prompt may be called like a hosted tool; what that one looks up isn't the prompt's.
        if call.method != "tools/call" or not self._resolvers.has_resolver(call.name):
            return tuple(Resolved(ref) for ref in call.resources)
        return await self._resolvers.resolve(who, call)

    async def _judge(
        self,
        caller: Caller,
        who: Identity,
        call: CheckedCall,
        resolved: tuple[Resolved, ...],
        catalog_digest: str,
        deadline: float,
    ) -> Permit | Denied | Mismatch:
        """Calls that are judged at the same time count each other: a limit isn't passed by calling in parallel."""
        reservation = self._counts.reserve(who)
        permit: Permit | Denied | Mismatch | None = None
        try:
            permit = await self._put(caller, who, call, resolved, catalog_digest, deadline, reservation)
        finally:
            if not isinstance(permit, Permit):
                reservation.give_back()
        return permit

    async def _put(
        self,
        caller: Caller,
        who: Identity,
        call: CheckedCall,
        resolved: tuple[Resolved, ...],
        catalog_digest: str,
        deadline: float,
        reservation: Reservation,
    ) -> Permit | Denied | Mismatch:
        question = ask.about_call(caller, who, call, resolved, catalog_digest, reservation.before)
        answer = await self._ask(question, deadline, batch=len(resolved) != 1)
        if not isinstance(answer, pb.Answer):
            return answer
        denial = self._denial(answer)
        if denial is not None:
            return denial
        return make(
            caller=caller,
            call=call,
            identity=who,
            resolved=resolved,
            revision=answer.revision,
            reasons=_union(result.reasons for result in answer.results),
            obligations=_union(result.obligations for result in answer.results),
            reservation=reservation,
        )

    async def _ask(self, question: pb.Question, deadline: float, *, batch: bool) -> pb.Answer | Denied | Mismatch:
        try:
            answer = await self._client.ask(question, batch=batch, timeout=deadline - time.monotonic())
        except NoDecision as error:
            return Denied(Refusal(Reason.NO_DECISION, str(error)))
        if any(pb.ERROR_CODE_CATALOG_MISMATCH in result.errors for result in answer.results):
            return Mismatch(answer.catalog_digest)
        if not answer.revision or not answer.results:
            return Denied(Refusal(Reason.NO_DECISION, "no policy set serves"), errors=_errors(answer))
        return answer

    def _denial(self, answer: pb.Answer) -> Denied | None:
        """None only where every result is a permit without errors whose obligations are all known."""
        if all(result.effect == pb.EFFECT_PERMIT and not result.errors for result in answer.results):
            demanded = _union(result.obligations for result in answer.results)
            unknown = {obligation for obligation in demanded if not self._fulfils(obligation)}
            if not unknown:
                return None
            refusal = Refusal(Reason.UNKNOWN_OBLIGATION, f"unknown obligations: {sorted(unknown)}")
            return Denied(refusal, revision=answer.revision)
        if any(_is_broken(result) for result in answer.results):
            return _undecided(answer)
        denying = [result for result in answer.results if result.effect != pb.EFFECT_PERMIT or result.errors]
        advice = _union(result.advice for result in denying)
        return Denied(
            _refused(_wanted_scopes(denying), advice),
            reasons=_union(result.reasons for result in denying),
            errors=_errors(answer),
            revision=answer.revision,
        )


def server(name: str) -> tuple[str, str]:
    """The resource that methods are judged on: the gate, or one named set of it."""
    return (SERVER[0], name) if name else SERVER


def _is_broken(result: pb.Result) -> bool:
    return not BROKEN.isdisjoint(result.errors)


def _undecided(answer: pb.Answer) -> Denied:
    """Denied, but by nobody's policy: who calls again later may be permitted."""
    refusal = Refusal(Reason.NO_DECISION, "the PDP couldn't judge it, or couldn't record it")
    return Denied(refusal, errors=_errors(answer), revision=answer.revision)


def _wanted_scopes(denying: Sequence[pb.Result]) -> tuple[str, ...]:
    """The scopes that would help, or none: where one result is denied for another reason too, more scope is no help.

    They go into a header, so one that is no scope token spoils them all.
    """
    scopes = _union(result.scopes for result in denying)
    helpful = all(result.scopes and not result.errors for result in denying)
    return scopes if helpful and all(SCOPE_TOKEN.fullmatch(scope) for scope in scopes) else ()


def _refused(scopes: tuple[str, ...], advice: tuple[str, ...]) -> Refusal:
    if not scopes:
        return Refusal(Reason.DENIED, "denied by the PDP", advice=advice)
    wanted = " ".join(scopes)
    return Refusal(Reason.INSUFFICIENT_SCOPE, f"scope missing: {wanted}", advice=advice, data={"scope": wanted})


def _unresolved(why: Unresolved, judged: Permit | Denied | Mismatch) -> Denied | Mismatch:
    """Denied whatever the PDP said; what it said is recorded, and its advice isn't given.

    A missing scope is told all the same: the PDP didn't know that the lookup found nothing, so it tells nothing of it.
    """
    if isinstance(judged, Mismatch):
        return judged
    if isinstance(judged, Denied) and judged.refusal.reason is not Reason.DENIED:
        return judged
    refusal = Refusal(Reason.DENIED, f"unresolved: {why.detail}")
    reasons = judged.reasons if isinstance(judged, Denied) else ()
    errors = judged.errors if isinstance(judged, Denied) else ()
    return Denied(refusal, reasons, errors, judged.revision)


def _askable(name: str) -> str:
    """A name that no tool can have is asked as one that none has: the answer and its time are those of an unknown one."""
    return name if TOOL_NAME.fullmatch(name) else NO_TOOL


def _may(result: pb.Result) -> bool:
    return result.effect in {pb.EFFECT_PERMIT, pb.EFFECT_CONDITIONAL} and not result.errors


def _errors(answer: pb.Answer) -> tuple[str, ...]:
    return _union((_name(code) for code in result.errors) for result in answer.results)


def _name(code: pb.ErrorCode.ValueType) -> str:
    return pb.ErrorCode.Name(code) if code in pb.ErrorCode.values() else f"ERROR_CODE_{code}"


def _union(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for group in groups for item in group))
