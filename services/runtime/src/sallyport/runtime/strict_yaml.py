"""Read a small, unsurprising subset of YAML, with the line and column of every node.

No duplicate keys, anchors, aliases, merge keys or tags; keys are strings; `yes`, `on`, dates, `010`, `0x1f` and `1:30`
stay strings. Built on libyaml's event stream, so depth and size are bounded before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from sallyport.runtime.problems import ConfigError, Problem
from sallyport.runtime.strict_json import MAX_INTEGER, Json

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000
_MAX_PROBLEMS: Final = 100  # a hostile file must not make a hostile report

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,15})", re.ASCII)
_TOO_LONG: Final = re.compile(r"[-+]?[1-9][0-9]{16,}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,15})\.[0-9]{1,20}(?:[eE][-+]?[0-9]{1,2})?", re.ASCII)
_WIDE: Final = re.compile(r"-?[1-9][0-9]{0,20}", re.ASCII)  # up to exact_json.WIDEST


@dataclass(slots=True)
class _Node:
    line: int
    column: int
    key: tuple[int, int] | None = None  # where the node's key stands, if it is a mapping's value
    children: dict[str | int, _Node] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that hasn't ended yet."""

    node: _Node
    value: dict[str, Json] | list[Json]
    key: str | None = None
    key_at: tuple[int, int] | None = None
    awaits_key: bool = True


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value, and where each part of it stands."""

    name: str
    value: Json
    _root: _Node = field(repr=False, compare=False)

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column, from 1, of the node at `path`, or of its nearest parent that exists.

        A step that names no child is passed over, so the union tags in pydantic's locations do no harm.
        """
        node = self._find(path)
        return node.line, node.column

    def key_position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """The same, of the key that introduces the node, where it has one."""
        node = self._find(path)
        return node.key or (node.line, node.column)

    def _find(self, path: Sequence[str | int]) -> _Node:
        node = self._root
        for step in path:
            node = node.children.get(step, node)
        return node


def parse(data: bytes, name: str, *, exact: bool = False) -> Document:
    """Parse one document of at most 1 MiB, 32 levels and 100,000 nodes; ConfigError lists all that is wrong.

    With `exact` integers may have the 21 digits of `exact_json`: a catalog holds the schemas that others wrote.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError.about(name, f"larger than {MAX_BYTES} bytes; split the file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError.about(name, f"not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    if text.startswith("\ufeff"):
        raise ConfigError.about(name, "starts with a byte order mark; save the file without it")
    return _Builder(name, exact=exact).build(text)


class _Builder:
    def __init__(self, name: str, *, exact: bool) -> None:
        self._name, self._exact = name, exact
        self._problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._documents = 0
        self._nodes = 0
        self._root: tuple[Json, _Node] | None = None

    def build(self, text: str) -> Document:
        try:
            for event in _events(text):
                self._take(event)
        except yaml.YAMLError as error:
            self._problems.append(_syntax(self._name, error))
        except _TooMuch:
            pass
        if self._problems:
            raise ConfigError(self._problems)
        if self._root is None:
            raise ConfigError.about(self._name, "the file is empty")
        return Document(self._name, self._root[0], self._root[1])

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(event, "a second document; keep one a file")
        elif isinstance(event, yaml.AliasEvent):
            self._stop(event, "aliases are not allowed; write the value out")
        elif isinstance(event, yaml.NodeEvent):
            self._count(event)
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            else:
                self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._stack.pop()
            self._place(done.value, done.node)

    def _count(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} nodes; split the file")
        if event.anchor is not None:
            self._complain(event, "anchors are not allowed; write the value out")
        if event.tag is not None:
            self._complain(event, "tags are not allowed")

    def _begin(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH}")
        if self._awaits_key():
            self._stop(event, "a key must be a string")
        line, column = _at(event)
        value: dict[str, Json] | list[Json] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._stack.append(_Open(_Node(line, column), value))

    def _scalar(self, event: Any) -> None:
        if self._awaits_key():
            self._key(event)
            return
        line, column = _at(event)
        self._place(self._resolve(event), _Node(line, column))

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].awaits_key

    def _key(self, event: Any) -> None:
        mapping = self._stack[-1]
        key: str = event.value
        if event.implicit[0] and key == "<<":
            self._complain(event, "merge keys are not allowed; write the values out")
        elif not isinstance(self._resolve(event), str):
            self._complain(event, "a key must be a string; put it in quotes")
        elif key in mapping.value:
            first = mapping.node.children[key].key or (0, 0)
            self._complain(event, f"duplicate key {key[:64]!r}, first on line {first[0]}")
        mapping.key, mapping.key_at, mapping.awaits_key = key, _at(event), False

    def _place(self, value: Json, node: _Node) -> None:
        if not self._stack:
            self._root = (value, node)
            return
        parent = self._stack[-1]
        if isinstance(parent.value, list):
            parent.node.children[len(parent.value)] = node
            parent.value.append(value)
        elif parent.key is not None:
            node.key = parent.key_at
            parent.node.children[parent.key] = node
            parent.value[parent.key] = value
            parent.key, parent.awaits_key = None, True

    def _resolve(self, event: Any) -> Json:
        text: str = event.value
        if not event.implicit[0]:
            return text  # quoted, or a block: a string
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _INTEGER.fullmatch(text) and abs(int(text)) <= MAX_INTEGER:
            return int(text)
        if self._exact and _WIDE.fullmatch(text):
            return int(text)
        if _INTEGER.fullmatch(text) or _TOO_LONG.fullmatch(text):
            self._complain(event, "an integer beyond ±(2^53-1); put it in quotes if it is a name")
        return float(text) if _FLOAT.fullmatch(text) else text

    def _complain(self, event: Any, message: str) -> None:
        line, column = _at(event)
        self._problems.append(Problem(self._name, line, column, message))
        if len(self._problems) >= _MAX_PROBLEMS:
            raise _TooMuch

    def _stop(self, event: Any, message: str) -> None:
        self._complain(event, message)
        raise _TooMuch


class _TooMuch(Exception):
    """What follows can't be read sensibly."""


def _events(text: str) -> Iterator[Any]:
    loader = yaml.CSafeLoader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _at(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _syntax(name: str, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    if mark is None:
        return Problem(name, 1, 1, f"not YAML: {reason}")
    return Problem(name, mark.line + 1, mark.column + 1, f"not YAML: {reason}")
