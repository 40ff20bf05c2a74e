"""How a policy directory travels to the process that checks it, and what is wrong with it back: lengths and bytes.

No pickle: the process is there because what it reads may break it, so nothing that it says may run anything here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

from sallyport.runtime import canonical_json, strict_json
from sallyport.runtime.problems import Problem

Tests: TypeAlias = Literal["ignore", "require"]
HEAD: Final = struct.Struct(">QHB")  # bytes that follow, seconds of processor time, whether tests are required
ANSWER: Final = struct.Struct(">I")  # bytes that follow
MAX_ANSWER_BYTES: Final = 4 << 20
_LENGTHS: Final = struct.Struct(">HI")  # of a name and of its file
_MAX_PROBLEMS: Final = 500
_MAX_TEXT: Final = 2000  # characters: what an engine says of a big literal may hold all of it


def of_files(files: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, data in files.items():
        encoded = name.encode()
        yield _LENGTHS.pack(len(encoded), len(data)) + encoded
        yield data


def files_in(body: bytes) -> dict[str, bytes]:
    """The other way round; ValueError or struct.error if the lengths don't add up."""
    view, at, found = memoryview(body), 0, dict[str, bytes]()
    while at < len(body):
        name, data = _LENGTHS.unpack_from(body, at)
        start = at + _LENGTHS.size
        at = start + name + data
        found[bytes(view[start : start + name]).decode()] = bytes(view[start + name : at])
    if at != len(body):
        raise ValueError("cut short")
    return found


def of_problems(revision: str, problems: Iterable[Problem]) -> bytes:
    """The answer: of which directory, and everything that is wrong with it. Nothing is good."""
    found = tuple(problems)
    rows: list[strict_json.Json] = [_row(problem) for problem in found[:_MAX_PROBLEMS]]
    if len(found) > _MAX_PROBLEMS:
        rows.append(_row(Problem("policies", 0, 0, f"and {len(found) - _MAX_PROBLEMS} more; `policy check` shows all")))
    return canonical_json.encode({"revision": revision, "problems": rows})


def problems_in(answer: bytes, revision: str) -> tuple[Problem, ...]:
    """What is wrong with the directory of this revision; ValueError for anything else than an answer about it."""
    match strict_json.parse(answer):
        case {"revision": str(told), "problems": list(rows)} if told == revision:
            return tuple(_problem(row) for row in rows)
        case _:
            raise ValueError("no answer to this question")


def _row(problem: Problem) -> strict_json.Json:
    texts = (problem.file, problem.message, problem.subject)
    file, message, subject = (text[:_MAX_TEXT].encode("utf-8", "replace").decode() for text in texts)
    return [file, problem.line, problem.column, message, subject]


def _problem(row: strict_json.Json) -> Problem:
    match row:
        case [str(file), int(line), int(column), str(message), str(subject)]:
            return Problem(file, line, column, message, subject)
        case _:
            raise ValueError("no problem")
