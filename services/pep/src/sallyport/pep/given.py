"""What is given out to be brought back: sealed to caller, upstream and call, so that nobody else can use it (N2).

Possession is no proof of identity (MCP, State Handle Hijacking): a handle opens only for the compound principal and
org that it was made for, and every use of it is decided anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sallyport.pep.handles import Handles
from sallyport.pep.model import Caller, Json
from sallyport.runtime import canonical_json, strict_json

_STATE_SECONDS: Final = 600.0
_TASK_SECONDS: Final = 86_400.0
_CURSOR_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Task:
    """A task as its upstream knows it."""

    upstream: str
    tool: str  # the exposed name of the tool that began it
    id: str
    obligations: tuple[str, ...] = ()  # of the permit that began it: what it gives in the end is held to them, too


@dataclass(frozen=True, slots=True)
class Place:
    """Where the listing of one upstream goes on."""

    upstream: str
    cursor: str  # the upstream's own; empty: from its beginning
    after: str = ""  # the last entry of that page which is done, in the order of their names


@dataclass(frozen=True, slots=True)
class Ahead:
    """Where a listing goes on."""

    begun: tuple[Place, ...]
    then: str  # the first upstream that hasn't been asked; empty: none is left


class Given:
    """Seals and opens. What doesn't open is None, whatever the cause."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles

    def state(self, caller: Caller, upstream: str, call: tuple[str, str, str], state: str) -> str:
        """An upstream's requestState. `call`: method, name, digest of the arguments alone."""
        return self._handles.seal("state", (*_who(caller), upstream, *call), state.encode(), ttl=_STATE_SECONDS)

    def opened_state(self, caller: Caller, upstream: str, call: tuple[str, str, str], handle: str) -> str | None:
        found = self._handles.open("state", (*_who(caller), upstream, *call), handle)
        return None if found is None else found.decode()

    def task(self, caller: Caller, task: Task) -> str:
        payload = canonical_json.encode([task.upstream, task.tool, task.id, *task.obligations])
        return self._handles.seal("task", _who(caller), payload, ttl=_TASK_SECONDS)

    def opened_task(self, caller: Caller, handle: str) -> Task | None:
        match self._opened("task", _who(caller), handle):
            case [str(upstream), str(tool), str(name), *obligations]:
                return Task(upstream, tool, name, tuple(map(str, obligations)))
        return None

    def cursor(self, caller: Caller, listing: tuple[str, str], ahead: Ahead) -> str:
        """`listing`: the named set and the method."""
        begun: list[Json] = [[place.upstream, place.cursor, place.after] for place in ahead.begun]
        payload = canonical_json.encode([ahead.then, *begun])
        return self._handles.seal("cursor", (*_who(caller), *listing), payload, ttl=_CURSOR_SECONDS)

    def opened_cursor(self, caller: Caller, listing: tuple[str, str], handle: str) -> Ahead | None:
        match self._opened("cursor", (*_who(caller), *listing), handle):
            case [str(then), *begun]:
                places = [_place(one) for one in begun]
                return None if None in places else Ahead(tuple(place for place in places if place), then)
        return None

    def _opened(self, kind: str, bound_to: tuple[str, ...], handle: str) -> Json:
        found = self._handles.open(kind, bound_to, handle)
        return None if found is None else strict_json.parse(found)


def _who(caller: Caller) -> tuple[str, ...]:
    return caller.issuer, caller.user, caller.agent, caller.org


def _place(told: Json) -> Place | None:
    match told:
        case [str(upstream), str(cursor), str(after)]:
            return Place(upstream, cursor, after)
    return None  # of another version of this program
