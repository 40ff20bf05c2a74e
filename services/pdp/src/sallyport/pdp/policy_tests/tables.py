"""A test's rows: each is what stands beside the table, with its cells put where the columns say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sallyport.pdp.policy_tests.fixtures import unknown
from sallyport.pdp.policy_tests.form import CaseForm, Entry, PrincipalForm, SessionForm
from sallyport.pdp.policy_tests.limits import plain
from sallyport.runtime.problems import Problem
from sallyport.runtime.strict_yaml import MAX_DEPTH, Document

Path = tuple[str, ...]
Said = dict[str, Any]
_BESIDE: Final = frozenset({"name", "columns", "rows"})
# What a column may go on with after its dot; None: whatever the tool or the type has.
_PARTS: Final[Mapping[str, frozenset[str] | None]] = {
    "principal": frozenset(PrincipalForm.model_fields) - {"like"},
    "resource": frozenset({"attributes"}),
    "session": frozenset(SessionForm.model_fields),
    "input": None,
}
_FORMS_BY_NAME: Final = ("principal", "resource")


@dataclass(frozen=True, slots=True)
class Row:
    """One case as it is said, and where its parts stand."""

    name: str
    said: Said
    document: Document
    at: tuple[str | int, ...]  # of the case
    beside: tuple[str | int, ...]  # of what is said once
    columns: tuple[Path, ...] = ()

    def place(self, path: Sequence[str | int] = ()) -> tuple[int, int]:
        """Line and column of a part, in its cell if it has one."""
        steps = tuple(step for step in path if step not in {"by name", "in place"})
        if not steps:
            return self.document.position(self.at)
        for number, column in enumerate(self.columns):
            if steps[: len(column)] == column or column[: len(steps)] == steps:
                return self.document.position([*self.at, number, *steps[len(column) :]])
        return self.document.position([*self.beside, *steps])

    def problem(self, message: str, path: Sequence[str | int] = ()) -> Problem:
        return Problem(self.document.name, *self.place(path), f"case {self.name}: {message}", self.name)


def rows(entry: Entry, number: int, document: Document, problems: list[Problem]) -> Iterator[Row]:
    """Every case of one element of `tests`."""
    at = ("tests", number)
    said = {key: value for key, value in _dig(document.value, at).items() if key not in _BESIDE}
    if entry.columns is None and entry.rows is None:
        yield Row(entry.name, said, document, at, at)
        return
    if entry.columns is None or entry.rows is None:
        missing = "columns" if entry.columns is None else "rows"
        problems.append(Problem(document.name, *document.position(at), f"case {entry.name}: a table needs `{missing}`"))
        return
    columns = tuple(tuple(column.split(".")) for column in entry.columns)
    complaints = [
        Problem(document.name, *document.position((*at, "columns", place)), message)
        for place in range(len(columns))
        if (message := _bad_column(columns, place, said))
    ]
    problems += complaints
    if not complaints:
        yield from _table(entry, columns, Row(entry.name, said, document, at, at, columns), problems)


def _table(entry: Entry, columns: tuple[Path, ...], table: Row, problems: list[Problem]) -> Iterator[Row]:
    for number, cells in enumerate(entry.rows or ()):
        at = (*table.at, "rows", number)
        if len(cells) != len(columns):
            message = f"row {number + 1} has {len(cells)} cells for {len(columns)} columns"
            problems.append(Problem(table.document.name, *table.document.position(at), message, entry.name))
            continue
        label = next((cell for path, cell in zip(columns, cells, strict=True) if path == ("name",)), None)
        name = f"{entry.name} / {plain(str(label))}" if label is not None else f"{entry.name} (row {number + 1})"
        yield Row(name, _filled(table.said, columns, cells), table.document, at, table.beside, columns)


def _filled(said: Said, columns: Sequence[Path], cells: Sequence[Any]) -> Said:
    """Shorter paths first, so that `principal.roles` changes the principal that its own row names."""
    filled = dict(said)
    for path, cell in sorted(zip(columns, cells, strict=True), key=lambda pair: len(pair[0])):
        if path != ("name",) and (cell is not None or path[0] == "session"):  # an empty cell says nothing
            _put(filled, path, cell)
    return filled


def _put(said: Said, path: Path, value: Any) -> None:
    """Copies what it changes: rows share what stands beside them."""
    held = said
    for step in path[:-1]:
        below = held.get(step)
        if isinstance(below, str) and held is said and step in _FORMS_BY_NAME:
            key = "resource" if step == "resource" and "::" in below else "like"
            below = {key: below}
        held[step] = dict(below) if isinstance(below, dict) else {}
        held = held[step]
    held[path[-1]] = value


def _bad_column(columns: Sequence[Path], place: int, said: Said) -> str:
    path = columns[place]
    head, known = path[0], {*CaseForm.model_fields, "name"}
    if head not in known:
        return unknown("column", ".".join(path), known)
    if path in columns[:place]:
        return f"column {'.'.join(path)!r} stands there twice"
    if len(path) > 1:
        return _bad_part(path)
    return f"{head!r} is said beside the table too; say it once" if head in said else ""


def _bad_part(path: Path) -> str:
    head, part = path[:2]
    if head not in _PARTS:
        return f"{head!r} has no parts"
    if len(path) > MAX_DEPTH:
        return f"a column of more than {MAX_DEPTH} parts"
    parts = _PARTS[head]
    if parts is not None and part not in parts:
        return unknown("column", ".".join(path), [f"{head}.{known}" for known in parts])
    return f"'{head}.{part}' has no parts" if head in {"principal", "session"} and len(path) > 2 else ""  # noqa: PLR2004


def _dig(value: Any, path: Sequence[str | int]) -> Said:
    for step in path:
        value = value[step]
    return dict(value)
