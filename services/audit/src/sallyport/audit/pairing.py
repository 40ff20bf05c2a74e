"""Hold what the PEP says of one decision against what the PDP says of it: where one of them is silent, or they differ.

The PEP asks in this order, all under one decision id: is the tool visible, then may it be called; for a listing, may the
method be used, then which tools are visible. Where the PDP held another catalog it asks all of it once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sallyport.audit.witnesses import MISMATCH, Account, Said, Side

UNASKABLE: Final = "unknown:tool"  # how the PEP asks for a name that no tool can have
ARGUMENTS: Final = "the arguments aren't the same"
_BROKEN: Final = "ERROR_CODE_INTERNAL"  # the PDP couldn't judge, or couldn't record; either is a denial
_NO: Final = frozenset({"denied", "insufficient_scope", "unknown_tool", "unknown_obligation"})  # they quote the PDP
_SEEN: Final = frozenset({"invalid_arguments"})  # refusals of a tool that the PDP called visible
# Refusals at any moment: the answer came too late or not at all, or the PEP itself broke.
_ANY_TIME: Final = frozenset({"no_decision", "internal", "cancelled", "audit_unavailable"})
_UNRESOLVED: Final = "unresolved: "
_TOOLS_SHOWN: Final = re.compile(r"(\d{1,9}) tools shown", re.ASCII)
_VISIBILITY, _CALL = "visibility", "call"


@dataclass(frozen=True, slots=True)
class Finding:
    """`missing` on `side`; else both are there and `what` says how they differ. `why` is set where that is explained."""

    decision_id: str
    side: Side
    missing: bool
    what: str
    time: float
    stream: str  # of the record that stands alone, or differs
    who: str
    action: str
    why: str = ""

    def explained(self, why: str) -> Finding:
        return replace(self, why=why)


def judge(decision_id: str, account: Account) -> Iterator[Finding]:
    """Nothing if both sides agree."""
    told = account.told
    if not told:
        last = account.decisions[-1]
        yield finding(
            decision_id, last, Side.PEP, "neither an intent nor a refusal answers this decision", missing=True
        )
    elif len(told) > 1:
        yield finding(decision_id, told[-1], Side.PEP, f"{len(told)} records of one decision")
    else:
        settled = _settled(account.decisions)
        for side, what, missing in (*_said_of(told[0], settled), *_extra(account)):
            yield finding(decision_id, told[0], side, what, missing=missing)


Fault = tuple[Side, str, bool]


def _said_of(told: Said, settled: Sequence[Said]) -> Iterator[Fault]:
    strangers = [one for one in settled if one.who is not None and one.who != told.who]
    if strangers:
        yield _differ(f"the PDP judged another caller: {' '.join(strangers[0].who or ())}")
    elif told.kind == "intent":
        yield from _intent(told, settled)
    elif told.reason in _NO or (told.revision and told.reason not in _ANY_TIME):
        yield from _denial(told, settled)
    elif told.reason in _SEEN:
        yield from _unfit(told, settled)
    elif told.reason not in _ANY_TIME and settled:
        yield _differ(f"refused as {told.reason}, which comes before any question, but the PDP was asked")


def _intent(told: Said, settled: Sequence[Said]) -> Iterator[Fault]:
    calls, seen = _of(settled, _CALL), _of(settled, _VISIBILITY)
    if not calls:
        yield _absent("no decision permits this intent")
        if not seen:
            return  # said once is enough
    elif len(calls) > 1:
        yield _differ(f"{len(calls)} decisions about one call")
    elif calls[0].effect != "permit" or calls[0].errors:
        yield _differ("the PDP denied what the PEP let happen")
    else:
        yield from _same(told, calls[0], ("revision", "actions", "reasons"))
        yield from _same(told, calls[0], ("resources",) if told.is_call else ())
        if told.request and calls[0].request and told.request != calls[0].request:
            yield _differ(ARGUMENTS)
    yield from _visible(told, seen, shown=True)


def _denial(told: Said, settled: Sequence[Said]) -> Iterator[Fault]:
    if _BROKEN in told.errors or any(not one.purpose for one in settled):
        return  # the PDP couldn't judge it, or couldn't read it; that it denied is all there is
    calls, seen = _of(settled, _CALL), _of(settled, _VISIBILITY)
    hidden = told.is_call and not calls and any(not one.shown for one in seen)
    if len(calls) > 1:
        yield _differ(f"{len(calls)} decisions about one call")
    elif hidden:
        yield from _same(told, seen[0], ("revision", "reasons", "errors"))
    elif not calls:
        yield _absent("no decision denies what the PEP says that the PDP denied")
    elif told.reason == "unknown_obligation":
        if calls[0].effect != "permit" or not calls[0].obligations:
            yield _differ("the PDP demanded no obligation that the PEP could have refused")
        yield from _same(told, calls[0], ("revision", "actions"))
    elif calls[0].effect == "permit" and not told.detail.startswith(_UNRESOLVED):
        yield _differ("the PDP permitted what the PEP says that it denied")
    else:
        said = () if calls[0].effect == "permit" else ("reasons", "errors")
        yield from _same(told, calls[0], ("revision", "actions", *said))
    if told.is_call:
        yield from _visible(told, seen, shown=not hidden)


def _unfit(told: Said, settled: Sequence[Said]) -> Iterator[Fault]:
    if _of(settled, _CALL):
        yield _differ("refused before the call was judged, but the PDP judged it")
    yield from _visible(told, _of(settled, _VISIBILITY), shown=True)


def _visible(told: Said, seen: Sequence[Said], *, shown: bool) -> Iterator[Fault]:
    """The visibility question that belongs to every call, and to every listing."""
    if not seen:
        yield _absent("no decision says whether this was visible")
    elif len(seen) > 1:
        yield _differ(f"{len(seen)} decisions about one visibility")
    elif told.is_call:
        if seen[0].actions not in {told.actions, (UNASKABLE,)}:
            yield _differ("the visibility of another tool was asked for")
        elif bool(seen[0].shown) is not shown:
            yield _differ("what the PDP hid, the PEP let through" if shown else "what the PDP showed, the PEP hid")


def _same(told: Said, decided: Said, names: Sequence[str]) -> Iterator[Fault]:
    for name in names:
        if getattr(told, name) != getattr(decided, name):
            yield _differ(f"the {name} aren't the same" if name.endswith("s") else f"the {name} isn't the same")


def _extra(account: Account) -> Iterator[Fault]:
    """A listing's outcome says how many tools were shown; the PDP says how many may be."""
    counts = {one.shown for one in account.decisions if one.purpose == _VISIBILITY}
    for detail in account.outcomes if not account.told[0].is_call else ():
        found = _TOOLS_SHOWN.fullmatch(detail)
        if found and counts and int(found[1]) not in counts:
            yield _differ(f"the PEP showed {found[1]} tools, which isn't what the PDP showed")


def _settled(decisions: Sequence[Said]) -> Sequence[Said]:
    """The attempt that counts: what came before another catalog was named was asked once more."""
    turned = max((number for number, one in enumerate(decisions) if MISMATCH in one.errors), default=-1)
    return decisions[turned + 1 :]


def _of(decisions: Sequence[Said], purpose: str) -> list[Said]:
    return [one for one in decisions if one.purpose == purpose]


def _differ(what: str) -> Fault:
    return Side.PDP, what, False


def _absent(what: str) -> Fault:
    return Side.PDP, what, True


def finding(decision_id: str, said: Said, side: Side, what: str, *, missing: bool = False) -> Finding:
    """What is wrong with this record of one side, or with the other side beside it."""
    who = f"{said.who[1]} via {said.who[2]}" if said.who else ""
    return Finding(decision_id, side, missing, what, said.time, said.stream, who, ", ".join(said.actions))
