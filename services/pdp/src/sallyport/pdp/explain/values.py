"""What the names in a condition stand for in one request: the JSON of entities and context, written as Cedar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cedarpy import pst

from sallyport.pdp.cedar_text import entity, quote
from sallyport.pdp.explain.prepared import Prepared
from sallyport.pdp.world import Uid

_LONGEST: Final = 80  # characters of one value shown
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Values:
    prepared: Prepared

    def written(self, expression: pst.Expr) -> str | None:
        """The value of a path such as `resource.owner`; None for anything else, and for what isn't there."""
        if not isinstance(expression, pst.GetAttr | pst.BinaryOp):
            return None
        value = self._value(expression)
        return None if value is _MISSING else write(value)

    def has(self, expression: pst.Expr) -> str:
        """The names of the attributes that there are."""
        value = self._value(expression)
        fields = self._fields(value)
        if fields is None:
            return ""
        return f"{_subject(expression)} has {', '.join(sorted(fields))}" if fields else "there are no attributes"

    def named(self, expression: pst.Expr) -> str:
        """What an entity is."""
        uid = _uid_of(self._value(expression))
        return f"{_subject(expression)} is {entity(*uid)}" if uid is not None else ""

    def within(self, expression: pst.Expr, asked: pst.PstNode) -> str:
        """What an entity is in, as far as the types that are asked for go."""
        uid = _uid_of(self._value(expression))
        types = sorted({str(one.type) for one in pst.entity_uids((asked,))})
        if uid is None or not types:
            return ""
        above = [entity(*parent) for parent in (uid, *self.prepared.within(uid)) if parent[0] in types]
        return f"{_subject(expression)} is in {', '.join(above) or 'no ' + ' or '.join(types)}"

    def _value(self, expression: pst.Expr) -> Any:
        match expression:
            case pst.Var("context"):
                return self.prepared.request["context"]
            case pst.Var(name):
                return {"__entity": self.prepared.request[name]}
            case pst.GetAttr(base, attr):
                fields = self._fields(self._value(base))
                return _MISSING if fields is None else fields.get(attr, _MISSING)
            case _:
                return _MISSING

    def _fields(self, value: Any) -> Mapping[str, Any] | None:
        uid = _uid_of(value)
        if uid is not None:
            return self.prepared.attributes.get(uid, {})
        return value if isinstance(value, Mapping) and "__extn" not in value else None


def write(value: Any) -> str:
    """JSON of Cedar's as Cedar would write it, cut where it is long."""
    written = _written(value)
    return written if len(written) <= _LONGEST else written[: _LONGEST - 3] + "..."


def _written(value: Any) -> str:  # noqa: PLR0911 — one a case
    match value:
        case {"__entity": {"type": str(kind), "id": str(identity)}}:
            return entity(kind, identity)
        case {"__extn": {"fn": str(function), "arg": argument}}:
            return f"{function}({_written(argument)})"
        case bool():
            return str(value).lower()
        case str():
            return quote(value)
        case dict():
            return "{" + ", ".join(f"{name}: {_written(part)}" for name, part in value.items()) + "}"
        case list() | tuple():
            return f"[{', '.join(map(_written, value))}]"
        case _:
            return str(value)


def _uid_of(value: Any) -> Uid | None:
    match value:
        case {"__entity": {"type": str(kind), "id": str(identity)}}:
            return kind, identity
        case _:
            return None


def _subject(expression: pst.Expr) -> str:
    match expression:
        case pst.Var(name):
            return name
        case pst.GetAttr(base, attr):
            return f"{_subject(base)}.{attr}"
        case _:
            return "it"
