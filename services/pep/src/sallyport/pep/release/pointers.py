"""Fields and rows taken out of JSON. Where a pointer meets another shape than it was written for, nothing leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sallyport.pep.model import Json
from sallyport.pep.release.grammar import DropRows, Redact
from sallyport.pep.release.withheld import Withheld

EACH: Final = "*"
MARK: Final = "[redacted]"


def redact(value: Json, demand: Redact, *, marked: bool) -> Json:
    """Without the field, or with a mark in its place. Found nowhere, it may stand there under another name: withheld."""
    *parents, last = demand.steps
    seen: list[bool] = []
    changed = _at(value, parents, lambda parent: _without(parent, last, seen, marked=marked))
    if seen and not any(seen):
        raise Withheld("a field to redact is nowhere in the result")
    return changed


def drop_rows(value: Json, demand: DropRows) -> Json:
    """Only the rows that are known to stay: a row without the field, or with another type in it, goes."""

    def kept(rows: Json) -> Json:
        if rows is None:
            return None
        if not isinstance(rows, list):
            raise Withheld("rows to drop are in no array")
        return [row for row in rows if _stays(row, demand)]

    return _at(value, list(demand.rows), kept)


def shorten(value: Json, most: int) -> Json:
    """No array with more items than that, at any depth."""
    if isinstance(value, list):
        return [shorten(item, most) for item in value[:most]]
    if isinstance(value, dict):
        return {key: shorten(item, most) for key, item in value.items()}
    return value


def _at(value: Json, steps: list[str], change: Callable[[Json], Json]) -> Json:
    if not steps:
        return change(value)
    if value is None:  # where nothing is, nothing is beneath
        return None
    head, rest = steps[0], steps[1:]
    if head == EACH and isinstance(value, list):
        return [_at(item, rest, change) for item in value]
    if head == EACH or not isinstance(value, dict) or head not in value:
        raise Withheld("the result isn't of the shape that an obligation names")
    return {**value, head: _at(value[head], rest, change)}


def _without(parent: Json, last: str, seen: list[bool], *, marked: bool) -> Json:
    if parent is None:
        return None
    if last == EACH and isinstance(parent, list):
        return [_blank(item) for item in parent] if marked else []
    if last == EACH or not isinstance(parent, dict):
        raise Withheld("the result isn't of the shape that an obligation names")
    seen.append(last in parent)
    rest = {key: item for key, item in parent.items() if key != last}
    return {**parent, last: _blank(parent[last])} if marked and last in parent else rest


def _blank(value: Json) -> Json:
    return MARK if isinstance(value, str) else None


def _stays(row: Json, demand: DropRows) -> bool:
    found = row
    for step in demand.field:
        if not isinstance(found, dict) or step not in found:
            return False
        found = found[step]
    if isinstance(found, float) and found.is_integer():  # 1.0 is 1 in JSON
        found = int(found)
    if type(found) is not type(demand.value):
        return False
    return (found == demand.value) is not demand.equal
