"""A condition's tree written as Cedar, on one line; parts of it may be written as their values instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from cedarpy import pst

from sallyport.pdp.cedar_text import entity, quote

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESERVED: Final = frozenset({"true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"})
# How tightly Cedar's operators bind; what binds less than its place asks for is put into parentheses.
_IF, _OR, _AND, _RELATION, _ADD, _MUL, _UNARY, _MEMBER = range(8)
_INFIX: Final[Mapping[str, tuple[str, int]]] = {
    "or": ("||", _OR),
    "and": ("&&", _AND),
    "eq": ("==", _RELATION),
    "not_eq": ("!=", _RELATION),
    "less": ("<", _RELATION),
    "less_eq": ("<=", _RELATION),
    "greater": (">", _RELATION),
    "greater_eq": (">=", _RELATION),
    "in": ("in", _RELATION),
    "add": ("+", _ADD),
    "sub": ("-", _ADD),
    "mul": ("*", _MUL),
}
_METHODS: Final[Mapping[str, str]] = {
    "contains": "contains",
    "contains_all": "containsAll",
    "contains_any": "containsAny",
    "get_tag": "getTag",
    "has_tag": "hasTag",
    "is_in_range": "isInRange",
    "offset": "offset",
    "duration_since": "durationSince",
    "decimal_less_than": "lessThan",
    "decimal_less_eq": "lessThanOrEqual",
    "decimal_greater": "greaterThan",
    "decimal_greater_eq": "greaterThanOrEqual",
    "is_empty": "isEmpty",
    "is_ipv4": "isIpv4",
    "is_ipv6": "isIpv6",
    "is_loopback": "isLoopback",
    "is_multicast": "isMulticast",
    "to_date": "toDate",
    "to_time": "toTime",
    "to_milliseconds": "toMilliseconds",
    "to_seconds": "toSeconds",
    "to_minutes": "toMinutes",
    "to_hours": "toHours",
    "to_days": "toDays",
}
_FUNCTIONS: Final = frozenset({"datetime", "decimal", "duration", "ip"})
Known = Callable[[pst.Expr], str | None]


def text(expression: pst.Expr, known: Known = lambda _: None) -> str:
    """Parses to the same tree again; where `known` gives a text for a part, that stands in its place."""
    return _Writer(known).write(expression, _IF)


def scope(name: str, constraint: pst.PrincipalOrResourceConstraint | pst.ActionConstraint) -> str:  # noqa: PLR0911 — one a case
    """One part of a policy's scope, such as `principal in Role::"admin"`."""
    match constraint:
        case pst.ScopeEq(pst.EntityUid() as uid) | pst.ActionEq(uid):
            return f"{name} == {_uid(uid)}"
        case pst.ScopeIn(pst.EntityUid() as uid):
            return f"{name} in {_uid(uid)}"
        case pst.ScopeIs(kind):
            return f"{name} is {kind}"
        case pst.ScopeIsIn(kind, pst.EntityUid() as uid):
            return f"{name} is {kind} in {_uid(uid)}"
        case pst.ActionIn((uid,)):
            return f"{name} in {_uid(uid)}"
        case pst.ActionIn(uids):
            return f"{name} in [{', '.join(map(_uid, uids))}]"
        case _:
            return name


class _Writer:
    def __init__(self, known: Known) -> None:
        self._known = known

    def write(self, expression: pst.Expr, least: int) -> str:
        value = self._known(expression)
        if value is not None:
            return value
        written, level = self._plain(expression)
        return written if level >= least else f"({written})"

    def _plain(self, expression: pst.Expr) -> tuple[str, int]:  # noqa: PLR0911 — one a case
        match expression:
            case pst.BinaryOp(op, left, right):
                return self._binary(op, left, right)
            case pst.UnaryOp(op, arg):
                return self._unary(op, arg)
            case pst.HasAttr(base, attrs):
                name = ".".join(attrs) if all(map(_plain_name, attrs)) else quote(attrs[0])
                return f"{self.write(base, _ADD)} has {name}", _RELATION
            case pst.Like(base, pattern):
                return f"{self.write(base, _ADD)} like {_pattern(pattern)}", _RELATION
            case pst.Is(base, kind, within):
                tail = f" in {self.write(within, _ADD)}" if within is not None else ""
                return f"{self.write(base, _ADD)} is {kind}{tail}", _RELATION
            case pst.IfThenElse(cond, then, otherwise):
                parts = (self.write(part, _IF) for part in (cond, then, otherwise))
                return "if {} then {} else {}".format(*parts), _IF
            case pst.GetAttr(base, attr):
                step = f".{attr}" if _plain_name(attr) else f"[{quote(attr)}]"
                return self.write(base, _MEMBER) + step, _MEMBER
            case _:
                return self._literal(expression)

    def _literal(self, expression: pst.Expr) -> tuple[str, int]:  # noqa: PLR0911 — one a case
        match expression:
            case pst.LongLit(value):
                return str(value), _UNARY if value < 0 else _MEMBER
            case pst.BoolLit(value):
                return str(value).lower(), _MEMBER
            case pst.StringLit(value):
                return quote(value), _MEMBER
            case pst.EntityLit(uid):
                return _uid(uid), _MEMBER
            case pst.Set(elements):
                return f"[{', '.join(self.write(element, _IF) for element in elements)}]", _MEMBER
            case pst.Record(fields):
                inside = (
                    f"{name if _plain_name(name) else quote(name)}: {self.write(part, _IF)}"
                    for name, part in fields.items()
                )
                return "{" + ", ".join(inside) + "}", _MEMBER
            case pst.Var(name):
                return name, _MEMBER
            case _:
                raise ValueError("a part that no static policy has")

    def _binary(self, op: str, left: pst.Expr, right: pst.Expr) -> tuple[str, int]:
        if op in _METHODS:
            return f"{self.write(left, _MEMBER)}.{_METHODS[op]}({self.write(right, _IF)})", _MEMBER
        sign, level = _INFIX[op]
        # Relations don't chain in Cedar; the others lean to the left.
        first = level + 1 if level == _RELATION else level
        return f"{self.write(left, first)} {sign} {self.write(right, level + 1)}", level

    def _unary(self, op: str, arg: pst.Expr) -> tuple[str, int]:
        if op in _FUNCTIONS:
            return f"{op}({self.write(arg, _IF)})", _MEMBER
        if op in _METHODS:
            return f"{self.write(arg, _MEMBER)}.{_METHODS[op]}()", _MEMBER
        if op == "neg" and isinstance(arg, pst.LongLit):  # `-3` would be read as one number
            return f"-({arg.value})", _UNARY
        return ("!" if op == "not" else "-") + self.write(arg, _MEMBER), _UNARY


def _plain_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _RESERVED


def _pattern(pattern: tuple[pst.PatternElem, ...]) -> str:
    written = (
        "*" if isinstance(part, pst.Wildcard) else "\\*" if part.value == "*" else quote(part.value)[1:-1]
        for part in pattern
    )
    return '"' + "".join(written) + '"'


def _uid(uid: pst.EntityUid) -> str:
    return entity(str(uid.type), uid.id)
