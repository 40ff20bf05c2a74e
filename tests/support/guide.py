"""What a Markdown guide tells its reader to type and to write, in its order, so that a test can do it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED: Final = re.compile(r"`([^`\s]+\.(?:cedar|yaml))`[^`]*\Z")
_ANYTHING: Final = "…"


@dataclass(frozen=True, slots=True)
class Command:
    """One line after a `$`, and the lines that stand beneath it."""

    line: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A block whose paragraph before names a file last: to be written there."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A policy that no file is named for."""

    text: str


Step: TypeAlias = Command | File | Sample


def steps(guide: Path) -> Iterator[Step]:
    """Everything fenced. ValueError for a block that nobody could check."""
    text = guide.read_text()
    for block in _BLOCK.finditer(text):
        language, body = block[1], block[2]
        before = text[: block.start()].rstrip().rpartition("\n\n")[2]
        named = _NAMED.search(before)
        if language == "console":
            yield from _commands(body)
        elif language in {"cedar", "yaml"} and named and "```" not in before:
            yield File(named[1], body)
        elif language == "cedar":
            yield Sample(body)
        else:
            raise ValueError(f"{guide.name}: a block of {language or 'no language'} that no test can run: {body[:60]}")


def shows(output: str, expected: str) -> bool:
    """Does some line of the output hold this, with anything in place of an ellipsis?"""
    wanted = ".*".join(map(re.escape, expected.split(_ANYTHING)))
    return re.search(wanted, output) is not None


def _commands(body: str) -> Iterator[Command]:
    lines = body.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    if not starts or starts[0] != 0:
        raise ValueError(f"a console block begins with a command: {body[:60]}")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(lines[start][2:], tuple(line for line in lines[start + 1 : end] if line))
