"""Builds SELECTs from reflected tables and bound parameters alone (CWE-89).

The text depends on the shape of the arguments: which columns, operators and directions, and how many values. No
string of the caller is ever part of it: a name is only looked up among the reflected ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Enum, Numeric, Select, String, Table, Text, bindparam, cast, select
from sqlalchemy.sql import operators
from sqlalchemy.types import NullType, TypeEngine

from sallyport.pep.model import Json
from sallyport.pep.tools.hosted import ToolFailure

MAX_ROWS: Final = 1000
MAX_LIST: Final = 100
MAX_PATTERN: Final = 256  # characters of a LIKE pattern: matching is quadratic in it
ESCAPE: Final = "\\"

Scalar: TypeAlias = str | int | float | bool
Bind: TypeAlias = Callable[[ColumnElement[Any], Scalar], ColumnElement[Any]]

_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operators.eq,
    "ne": operators.ne,
    "lt": operators.lt,
    "le": operators.le,
    "gt": operators.gt,
    "ge": operators.ge,
}


def bind_native(_: ColumnElement[Any], value: Scalar) -> ColumnElement[Any]:
    """SQLite: the value goes as it is, and the column's affinity compares."""
    return bindparam(None, value, type_=NullType(), unique=True)


def bind_text(column: ColumnElement[Any], value: Scalar) -> ColumnElement[Any]:
    """PostgreSQL: the value goes as text, and the server reads it as the column's type, or refuses."""
    bound = bindparam(None, _spell(value), type_=Text(), unique=True)
    if isinstance(column.type, String) and not isinstance(column.type, Enum):
        return bound
    if isinstance(column.type, NullType):
        raise ToolFailure("a column of this type can't be filtered")
    return cast(bound, _unbounded(column.type))


def build(table: Table, arguments: Mapping[str, Json], bind: Bind) -> tuple[Select[Any], int]:
    """The statement, which asks for one row more than wanted, and how many rows are wanted."""
    names = arguments.get("columns") or list(table.columns.keys())
    columns = [_column(table, name, f"/columns/{i}") for i, name in enumerate(_list(names, "/columns"))]
    filters = enumerate(_list(arguments.get("filters", []), "/filters"))
    order = enumerate(_list(arguments.get("order", []), "/order"))
    limit = arguments.get("limit", 100)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_ROWS:
        raise ToolFailure(f"/limit: expected 1 to {MAX_ROWS}")
    statement = (
        select(*columns)
        .where(*(_condition(table, item, f"/filters/{i}", bind) for i, item in filters))
        .order_by(*(_ordering(table, item, f"/order/{i}") for i, item in order))
        .limit(limit + 1)
    )
    return statement, limit


def _condition(table: Table, item: Json, at: str, bind: Bind) -> ColumnElement[bool]:
    if not isinstance(item, dict):
        raise ToolFailure(f"{at}: expected an object")
    column = _column(table, item.get("column"), f"{at}/column")
    operator, value = item.get("op"), item.get("value")
    if operator == "in":
        values = _list(value, f"{at}/value")
        if not 1 <= len(values) <= MAX_LIST:
            raise ToolFailure(f"{at}/value: expected 1 to {MAX_LIST} values")
        return column.in_([bind(column, _scalar(one, f"{at}/value/{i}")) for i, one in enumerate(values)])
    if operator == "like":
        return _like(column, value, f"{at}/value")
    if not isinstance(operator, str) or operator not in _COMPARE:
        raise ToolFailure(f"{at}/op: no such operator")
    compared: ColumnElement[bool] = _COMPARE[operator](column, bind(column, _scalar(value, f"{at}/value")))
    return compared


def _like(column: ColumnElement[Any], value: Json, at: str) -> ColumnElement[bool]:
    if not isinstance(value, str) or len(value) > MAX_PATTERN:
        raise ToolFailure(f"{at}: expected a pattern of at most {MAX_PATTERN} characters")
    textual = column if isinstance(column.type, String | NullType) else cast(column, Text)
    return textual.like(bindparam(None, value, type_=Text(), unique=True), escape=ESCAPE)


def _ordering(table: Table, item: Json, at: str) -> ColumnElement[Any]:
    if not isinstance(item, dict):
        raise ToolFailure(f"{at}: expected an object")
    column = _column(table, item.get("column"), f"{at}/column")
    direction = item.get("direction", "asc")
    if direction not in {"asc", "desc"}:
        raise ToolFailure(f"{at}/direction: expected asc or desc")
    return column.desc() if direction == "desc" else column.asc()


def _column(table: Table, name: Json, at: str) -> ColumnElement[Any]:
    if not isinstance(name, str) or name not in table.columns:
        raise ToolFailure(f"{at}: the table has no such column")
    return table.columns[name]


def _list(value: Json, at: str) -> list[Json]:
    if not isinstance(value, list):
        raise ToolFailure(f"{at}: expected a list")
    return value


def _scalar(value: Json, at: str) -> Scalar:
    if not isinstance(value, str | int | float):
        raise ToolFailure(f"{at}: expected a string, a number or a boolean")
    return value


def _spell(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _unbounded(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """A cast to NUMERIC(5, 2) would round the value that is looked for."""
    return Numeric() if isinstance(kind, Numeric) and type(kind).__name__ == "NUMERIC" else kind
