"""What a condition comes to whatever is asked, as far as its own text and the types say; None where nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cedarpy import pst

from sallyport.pdp.types import Record

Literal: TypeAlias = pst.BoolLit | pst.LongLit | pst.StringLit | pst.EntityLit
_LITERALS: Final = (pst.BoolLit, pst.LongLit, pst.StringLit, pst.EntityLit)
_LONG: Final = (-(2**63), 2**63 - 1)
_ORDER: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "less": int.__lt__,
    "less_eq": int.__le__,
    "greater": int.__gt__,
    "greater_eq": int.__ge__,
}
_NEGATED: Final[Mapping[str, str]] = {
    "eq": "not_eq",
    "not_eq": "eq",
    "less": "greater_eq",
    "less_eq": "greater",
    "greater": "less_eq",
    "greater_eq": "less",
}
_TURNED: Final[Mapping[str, str]] = {
    "less": "greater",
    "less_eq": "greater_eq",
    "greater": "less",
    "greater_eq": "less_eq",
}


@dataclass(frozen=True, slots=True)
class Types:
    """One kind of request: an action on a type of resource."""

    resource: str
    attributes: Mapping[str, Record]  # of the types of principal, resource and context, by the variable's name
    bounds: Mapping[pst.Expr, tuple[int, int]] = field(default_factory=dict)  # of numbers that have some


@dataclass(frozen=True, slots=True)
class _Claim:
    """An expression compared with a literal."""

    left: pst.Expr
    op: str
    right: Literal


def fold(expression: pst.Expr, types: Types) -> bool | None:  # noqa: PLR0911 — one a case
    """Sound: what it says holds for every request of these types that evaluates at all."""
    match expression:
        case pst.BoolLit(value):
            return value
        case pst.UnaryOp("not", arg):
            inner = fold(arg, types)
            return None if inner is None else not inner
        case pst.IfThenElse(cond, then, otherwise):
            return _choice(fold(cond, types), (fold(then, types), fold(otherwise, types)))
        case pst.BinaryOp("and" | "or" as op, _, _):
            return _joined(list(chain(expression, op)), op, types)
        case pst.Is(pst.Var("principal" | "resource" as name), kind, None):
            return str(kind) == ("Compound" if name == "principal" else types.resource)
        case pst.HasAttr(base, (attr,)):
            return _has(_record(base, types), attr)
        case pst.BinaryOp("contains", pst.Set(elements), right) if isinstance(right, _LITERALS):
            known = all(isinstance(element, _LITERALS) for element in elements)
            return right in elements if known else None
        case pst.BinaryOp(op, left, right) if isinstance(left, _LITERALS) and isinstance(right, _LITERALS):
            return _compared(op, left, right)
        case pst.BinaryOp(op, _, _) if op in _NEGATED:
            return _bounded(_claim(expression), types)
        case _:
            return None


def chain(expression: pst.Expr, op: str) -> Iterator[pst.Expr]:
    """The parts of `a && b && c`, or of `a || b || c`."""
    if isinstance(expression, pst.BinaryOp) and expression.op == op:
        yield from chain(expression.left, op)
        yield from chain(expression.right, op)
    else:
        yield expression


def _choice(cond: object, branches: tuple[bool | None, bool | None]) -> bool | None:
    then, otherwise = branches
    if cond is None:
        return then if then is otherwise else None
    return then if cond else otherwise


def _joined(parts: list[pst.Expr], op: str, types: Types) -> bool | None:
    """`&&` is false, and `||` true, as soon as one part is, or where two of them can't be otherwise together."""
    ends = op == "or"
    folded = [fold(part, types) for part in parts]
    if ends in folded:
        return ends
    if all(value is (not ends) for value in folded):
        return not ends
    claims = [claim for part in parts if (claim := _claim(part)) is not None]
    if ends:
        claims = [_Claim(claim.left, _NEGATED[claim.op], claim.right) for claim in claims]
    return ends if _contradict(claims, types) else None


def _bounded(claim: _Claim | None, types: Types) -> bool | None:
    """A number compared with one that is out of its reach."""
    if claim is None or claim.left not in types.bounds:
        return None
    if _contradict([claim], types):
        return False
    return True if _contradict([_Claim(claim.left, _NEGATED[claim.op], claim.right)], types) else None


def _claim(expression: pst.Expr) -> _Claim | None:
    match expression:
        case pst.BinaryOp(op, left, right) if op in _NEGATED and isinstance(right, _LITERALS):
            return _Claim(left, op, right)
        case pst.BinaryOp(op, left, right) if op in _NEGATED and isinstance(left, _LITERALS):
            return _Claim(right, _TURNED.get(op, op), left)
        case _:
            return None


def _contradict(claims: Iterable[_Claim], types: Types) -> bool:
    """Is there an expression of which all that is claimed can't be so at once?"""
    by_left: dict[pst.Expr, list[_Claim]] = {}
    for claim in claims:
        by_left.setdefault(claim.left, []).append(claim)
    return any(_impossible(found, types.bounds.get(left, _LONG)) for left, found in by_left.items())


def _impossible(claims: list[_Claim], bounds: tuple[int, int]) -> bool:
    equal = {claim.right for claim in claims if claim.op == "eq"}
    if len(equal) > 1 or any(claim.op == "not_eq" and claim.right in equal for claim in claims):
        return True
    lowest, highest = bounds
    for claim in claims:
        if not isinstance(claim.right, pst.LongLit):
            continue
        value = claim.right.value
        if claim.op in {"greater", "greater_eq", "eq"}:
            lowest = max(lowest, value + (claim.op == "greater"))
        if claim.op in {"less", "less_eq", "eq"}:
            highest = min(highest, value - (claim.op == "less"))
    return lowest > highest


def _compared(op: str, left: Literal, right: Literal) -> bool | None:
    if op in {"eq", "not_eq"}:
        return (left == right) is (op == "eq")
    if op in _ORDER and isinstance(left, pst.LongLit) and isinstance(right, pst.LongLit):
        return _ORDER[op](left.value, right.value)
    return None


def _has(record: Record | None, attr: str) -> bool | None:
    if record is None or record.open or attr in record.left_out:
        return None
    if attr not in record.fields:
        return False
    return True if record.fields[attr].required else None


def _record(base: pst.Expr, types: Types) -> Record | None:
    match base:
        case pst.Var(name):
            return types.attributes.get(name)
        case pst.GetAttr(inner, attr):
            record = _record(inner, types)
            found = record.fields[attr].type if record is not None and attr in record.fields else None
            return found if isinstance(found, Record) else None
        case _:
            return None
