"""What a permit's obligation says; docs/obligations.md. What isn't written exactly so is unknown, and refuses the call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

MASKS: Final = frozenset({"card", "email", "iban", "ip", "phone", "secret", "ssn"})
MAX_ROWS: Final = 1_000_000

_POINTER: Final = r"(?:/(?:[^\s/~,;'\"\\]|~[01])++)++"  # RFC 6901 §3, `*` for each item; no blank, no quote
_VALUE: Final = r"'[^'\\\x00-\x1f\x7f]*+'|-?[0-9]{1,15}|true|false"
_DROP: Final = re.compile(rf"(?P<rows>{_POINTER})? where (?P<field>{_POINTER}) (?P<sign>!?=) (?P<value>{_VALUE})")


@dataclass(frozen=True, slots=True)
class Mask:
    """Hide what looks like one of these, wherever it stands."""

    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Redact:
    """Take a member out, or every item of an array."""

    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DropRows:
    """Of an array, keep the rows that are known not to match."""

    rows: tuple[str, ...]
    field: tuple[str, ...]
    equal: bool  # whether rows with that value go, or all others
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class MaxRows:
    """No array has more items."""

    most: int


Demand: TypeAlias = Mask | Redact | DropRows | MaxRows


@lru_cache(maxsize=1024)
def parse(obligation: str) -> tuple[Demand, ...]:
    """The demands of one obligation, parted by `; `; empty if a single one of them isn't known."""
    demands = [_demand(*each.partition(":")) for each in obligation.split("; ")]
    known = tuple(demand for demand in demands if demand is not None)
    return known if len(known) == len(demands) else ()


def _demand(family: str, _: str, rest: str) -> Demand | None:
    read = FAMILIES.get(family)
    return read(rest) if read else None


def _mask(rest: str) -> Mask | None:
    kinds = tuple(rest.split(","))
    return Mask(kinds) if set(kinds) <= MASKS and len(set(kinds)) == len(kinds) else None


def _redact(rest: str) -> Redact | None:
    return Redact(_steps(rest)) if re.fullmatch(_POINTER, rest) else None


def _drop_rows(rest: str) -> DropRows | None:
    found = _DROP.fullmatch(rest)
    if not found or "*" in _steps(found["field"]):  # a row has one value there, or none
        return None
    return DropRows(_steps(found["rows"] or ""), _steps(found["field"]), found["sign"] == "=", _value(found["value"]))


def _max_rows(rest: str) -> MaxRows | None:
    number = int(rest) if re.fullmatch("[1-9][0-9]{0,6}", rest) else 0
    return MaxRows(number) if 0 < number <= MAX_ROWS else None


def _steps(pointer: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _value(literal: str) -> str | int | bool:
    if literal.startswith("'"):
        return literal[1:-1]
    return literal == "true" if literal in {"true", "false"} else int(literal)


# The closed table: a family without a row is no obligation that this gate fulfils.
FAMILIES: Final = {"mask": _mask, "redact": _redact, "drop_rows": _drop_rows, "max_rows": _max_rows}
