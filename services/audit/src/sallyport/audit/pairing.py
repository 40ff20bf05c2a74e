"""Hold what the PEP says of one decision against what the PDP says of it: where one of them is silent, or they differ.

The PEP asks in this order, all under one decision id: is the tool visible, then may it be called; for a listing, may the
method be used, then which tools are visible. A prompt, a resource and the like are judged once; what a list of them
shows by filters, which permit nothing by themselves. Where the PDP held another catalog it asks all of it once more. After
the intent it asks by filters alone: whether a stream may go on. Another catalog that these meet changes nothing of what was permitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from sallyport.audit.witnesses import CALL, MISMATCH, Account, Said, Side

UNASKABLE: Final = "unknown:tool"  # how the PEP asks for a name that no tool can have
ARGUMENTS: Final = "the arguments aren't the same"
NOT_RUN: Final = "permitted_not_run"  # the PDP permitted it; that it didn't run is the PEP's word alone
_LISTING: Final = "tools/list"
# Judged on the prompt, the resource or the task's tool, without a question of visibility before.
_DIRECT: Final = frozenset(
    {
        "prompts/get",
        "resources/read",
        "resources/subscribe",
        "completion/complete",
        "tasks/get",
        "tasks/update",
        "tasks/cancel",
    }
)
_LISTEN: Final = "subscriptions/listen"
# Judged as methods of the server, with the outcome's words for what they show: nothing but what a filter permits.
_SHOWS: Final = {
    "prompts/list": "prompts shown",
    "resources/list": "resources shown",
    "resources/templates/list": "resourceTemplates shown",
    _LISTEN: "resources followed",
}
_METHODS: Final = frozenset({*_SHOWS, "logging/setLevel"})
_BROKEN: Final = "ERROR_CODE_INTERNAL"  # the PDP couldn't judge, or couldn't record; either is a denial
_NO: Final = frozenset({"denied", "insufficient_scope", "unknown_tool", "unknown_obligation"})  # they quote the PDP
# Refusals of what the PDP called visible, or would permit. The others may come before: then the record names neither
# a tool nor a resource.
_SEEN: Final = frozenset({"invalid_arguments", "quarantined", "not_served"})
_UNFIT: Final = frozenset({*_SEEN, "invalid_params", "header_mismatch", "foreign_handle"})
# Refusals at any moment: the answer came too late or not at all, or the PEP itself broke.
_ANY_TIME: Final = frozenset({"no_decision", "internal", "cancelled", "audit_unavailable"})
_UNRESOLVED: Final = "unresolved: "
_TOOLS: Final = "tools shown"
_SHOWN: Final = re.compile(r"(\d{1,9}) ([a-zA-Z]{1,32} (?:shown|followed))(?:; .*)?", re.ASCII | re.DOTALL)
_VISIBILITY, _CALL, _FILTER = "visibility", "call", "filter"
_ANOTHER: Final = "the visibility of another tool was asked for"


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
        settled = _settled(told[0], account.decisions)
        counts = _counts(account.outcomes)
        said = _said_of(told[0], settled, counts)
        faults = [*_named(account), *_formed(told[0]), *said, *_overshown(told[0], settled, counts)]
        for side, what, missing in faults:
            yield finding(decision_id, told[0], side, what, missing=missing)
        if not faults and told[0].kind == "refusal" and any(map(_permits, settled)):
            what = f"the PDP permitted it, and that it didn't run ({told[0].reason}) only the PEP says"
            yield finding(decision_id, told[0], Side.PEP, what).explained(NOT_RUN)


Fault = tuple[Side, str, bool]
Count = tuple[int, str]  # of what a list has shown


def _named(account: Account) -> Iterator[Fault]:
    for side, said in ((Side.PEP, account.told), (Side.PDP, account.decisions)):
        if not all(one.named for one in said):
            yield side, "the compound_id isn't its user via its agent", False


def _formed(told: Said) -> Iterator[Fault]:
    """A tool comes with one method alone; and what is neither a call nor a listing is never permitted."""
    if told.tool and told.method != CALL:
        yield Side.PEP, f"it names a tool, but its method is {told.method or 'missing'}", False
    elif told.kind == "intent" and not told.tool and told.method not in {_LISTING, *_DIRECT, *_METHODS}:
        yield Side.PEP, "it is neither the call of a tool nor any other method that is judged", False


def _said_of(told: Said, settled: Sequence[Said], counts: Sequence[Count]) -> Iterator[Fault]:
    strangers = [one for one in settled if one.who != told.who and (one.who is not None or one.purpose)]
    if strangers:
        yield _differ(f"the PDP judged another caller: {' '.join(strangers[0].who or ())}")
    elif told.kind == "intent":
        yield from _intent(told, settled, nothing=counts == [(0, _TOOLS)])
    elif told.reason in _NO or (told.revision and told.reason not in _ANY_TIME):
        yield from _denial(told, settled)
    elif told.reason in (_UNFIT if told.tool or told.resources or _of(settled, _VISIBILITY) else _SEEN):
        yield from _unfit(told, settled)
    elif told.reason in _ANY_TIME:
        yield from _whenever(told, settled)
    elif settled:
        yield _differ(f"refused as {told.reason}, which comes before any question, but the PDP was asked")


def _intent(told: Said, settled: Sequence[Said], *, nothing: bool) -> Iterator[Fault]:
    """`nothing`: a listing without tools, of which nothing need be asked."""
    calls, seen = _of(settled, _CALL), _of(settled, _VISIBILITY)
    if not calls:
        yield _absent("no decision permits this intent")
        if not seen or told.method in _DIRECT | _METHODS:
            return  # said once is enough
    elif len(calls) > 1:
        yield _differ(f"{len(calls)} decisions about one call")
    elif not _permits(calls[0]):
        yield _differ("the PDP denied what the PEP let happen")
    else:
        yield from _same(told, calls[0], ("revision", "actions", "reasons"))
        yield from _bound(told, calls[0]) if told.is_call or told.method in _DIRECT else ()
    if told.method not in _DIRECT | _METHODS and not (nothing and not told.is_call and not seen):
        yield from _visible(told, seen, shown=True)


def _bound(told: Said, decided: Said) -> Iterator[Fault]:
    """Each call is bound to its resources and arguments by both, so that silence can't pass for agreement."""
    yield from _same(told, decided, ("resources",))
    for side, said in ((Side.PEP, told), (Side.PDP, decided)):
        if not said.request:
            yield side, "no request_hmac binds the arguments", False
    if told.request and decided.request and told.request != decided.request:
        yield _differ(ARGUMENTS)


def _whenever(told: Said, settled: Sequence[Said]) -> Iterator[Fault]:
    """Whatever was asked so far; but about this, once, and of the revision that the PEP quotes."""
    calls, seen = _of(settled, _CALL), _of(settled, _VISIBILITY)
    if len(calls) > 1:
        yield _differ(f"{len(calls)} decisions about one call")
    elif calls:
        yield from _same(told, calls[0], ("revision", "actions") if told.revision else ("actions",))
    if told.is_call and any(one.actions not in {told.actions, (UNASKABLE,)} for one in seen):
        yield _differ(_ANOTHER)


def _denial(told: Said, settled: Sequence[Said]) -> Iterator[Fault]:
    if _BROKEN in told.errors or any(not one.purpose for one in settled):
        # The PDP couldn't judge it, or couldn't read or record it; that it denied is all there is.
        yield from _whenever(told, settled)
        return
    calls, seen = _of(settled, _CALL), _of(settled, _VISIBILITY)
    if told.method in _DIRECT and not calls:
        seen = _of(settled, _FILTER)
    hidden = (told.is_call or told.method in _DIRECT) and not calls and any(not one.shown for one in seen)
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
    if told.method in _DIRECT:
        if not any(one.shown for one in _of(settled, _FILTER)):
            yield _differ("the PEP tells what is wrong with a request that the PDP wouldn't permit")
    else:
        yield from _visible(told, _of(settled, _VISIBILITY), shown=True)


def _visible(told: Said, seen: Sequence[Said], *, shown: bool) -> Iterator[Fault]:
    """The visibility question that belongs to every call, and to every listing."""
    if not seen:
        yield _absent("no decision says whether this was visible")
    elif len(seen) > 1:
        yield _differ(f"{len(seen)} decisions about one visibility")
    elif told.is_call:
        if seen[0].actions not in {told.actions, (UNASKABLE,)}:
            yield _differ(_ANOTHER)
        elif bool(seen[0].shown) is not shown:
            yield _differ("what the PDP hid, the PEP let through" if shown else "what the PDP showed, the PEP hid")


def _same(told: Said, decided: Said, names: Sequence[str]) -> Iterator[Fault]:
    for name in names:
        if getattr(told, name) != getattr(decided, name):
            yield _differ(f"the {name} aren't the same" if name.endswith("s") else f"the {name} isn't the same")


def _counts(outcomes: Iterable[str]) -> list[Count]:
    found = map(_SHOWN.fullmatch, outcomes)
    return [(int(one[1]), one[2]) for one in found if one]


def _overshown(told: Said, settled: Sequence[Said], counts: Iterable[Count]) -> Iterator[Fault]:
    """A list's outcome says how much was shown; the PDP says how much may be."""
    visible = {one.shown for one in _of(settled, _VISIBILITY)}
    for count, what in counts:
        if told.method == _LISTING and what == _TOOLS and visible and count not in visible:
            yield _differ(f"the PEP showed {count} tools, which isn't what the PDP showed")
        permitted = sum(one.shown for one in _before(told, settled))
        if what == _SHOWS.get(told.method) and count > permitted:
            yield _absent(f"the PEP says {count} {what}, and filters permit {permitted}")


def _before(told: Said, settled: Sequence[Said]) -> Iterator[Said]:
    """The filters of what was shown: a stream that is asked about anew is asked first whether it may listen."""
    return takewhile(lambda one: told.method != _LISTEN or one.actions != (_LISTEN,), _of(settled, _FILTER))


def _settled(told: Said, decisions: Sequence[Said]) -> Sequence[Said]:
    """The attempt that counts: what came before another catalog was named was asked once more.

    After an intent only filters are asked; what these meet takes nothing back.
    """
    last = max((number for number, one in enumerate(decisions) if one.purpose != _FILTER), default=-1)
    late = last if told.kind == "intent" else len(decisions)
    turned = max((number for number, one in enumerate(decisions[: late + 1]) if MISMATCH in one.errors), default=-1)
    return decisions[turned + 1 :]


def _permits(decided: Said) -> bool:
    return decided.purpose == _CALL and decided.effect == "permit" and not decided.errors


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
