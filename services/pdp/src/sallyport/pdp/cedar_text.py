"""Cedar's text, as far as its lexer goes: statements with their places, and names put safely into text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\r\n]*)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>::|\|\||&&|[=!<>]=|[0-9]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|x([0-7][0-9A-Fa-f])|(.))", re.DOTALL)
_BLAMED = re.compile(r"`([^`]+)`|'([^']+)'|: (\S+)$")
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_LAST_CODE_POINT = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # string, name or sign
    text: str
    line: int  # 1-based
    column: int  # 1-based, in code points

    @property
    def value(self) -> str:
        """What a name or a string stands for."""
        return unquote(self.text) if self.kind == "string" else self.text


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy's own text, from its first token to its semicolon."""

    file: str
    text: str
    tokens: tuple[Token, ...]

    @property
    def start(self) -> tuple[int, int]:
        return self.tokens[0].line, self.tokens[0].column

    def find(self, *values: str) -> tuple[int, int]:
        """Line and column where these tokens stand one after the other; else where the statement starts."""
        wanted = len(values)
        for at in range(len(self.tokens) - wanted + 1):
            if all(self.tokens[at + i].value == values[i] for i in range(wanted)):
                return self.tokens[at].line, self.tokens[at].column
        return self.start

    def find_entity(self, type_name: str, entity_id: str) -> tuple[int, int]:
        return self.find(type_name, "::", entity_id)


def tokens(text: str) -> Iterator[tuple[Token, int, int]]:
    """Each token that isn't blank or a comment, with its start and end in the text."""
    line, line_start = 1, 0
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if match.lastgroup not in {None, "blank"}:
            yield Token(str(match.lastgroup), match.group(), line, start - line_start + 1), start, end
        newlines = text.count("\n", start, end)
        if newlines:
            line, line_start = line + newlines, text.rindex("\n", start, end) + 1


def statements(text: str, file: str) -> Iterator[Statement]:
    """The text cut at its semicolons; strings and comments are the only places where one means nothing."""
    held: list[Token] = []
    first = last = 0
    for token, start, end in tokens(text):
        first = first if held else start
        held.append(token)
        last = end
        if token.text == ";":
            yield Statement(file, text[first:end], tuple(held))
            held = []
    if held:  # no semicolon at the end: Cedar's own parser says so
        yield Statement(file, text[first:last], tuple(held))


def blamed(message: str, held: Sequence[Token]) -> tuple[int, int]:
    """Cedar's parser names what it dislikes, not where: its place if it stands there once, else the beginning."""
    named = _BLAMED.search(message)
    places = [(token.line, token.column) for token in held if named and token.text == named[named.lastindex or 0]]
    if len(places) == 1:
        return places[0]
    return (held[0].line, held[0].column) if held else (1, 1)


def quote(value: str) -> str:
    """A Cedar string literal; whatever isn't printable is escaped, so that no name breaks out or breaks a line."""
    return '"' + "".join(_escaped(char) for char in value) + '"'


def entity(type_name: str, entity_id: str) -> str:
    return f"{type_name}::{quote(entity_id)}"


def unquote(literal: str) -> str:
    return _ESCAPE.sub(_unescaped, literal[1:-1])


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\u{{{ord(char):x}}}"


def _unescaped(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    if digits is None:
        return _SIMPLE.get(match[3], match[3])
    code = int(digits, 16)
    return chr(code) if code <= _LAST_CODE_POINT else "\ufffd"
