"""`python -m sallyport.pdp.vet`: checks policy directories for a PDP, which starts it and talks to it over pipes.

What is checked may be hostile to the checker: a text that kills Cedar's parser, or one that takes all memory, ends this
process and not the one that decides.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sallyport.pdp import frames, memory
from sallyport.pdp.load import load
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

_ADDRESS_SPACE: Final = 4 << 30
_LEAST: Final = 16 << 20  # what some hundred policies take; less would refuse any set
_KEPT: Final = 16 << 20  # more than that isn't sat upon between two questions
_STACK: Final = 4 << 20  # half of what the PDP's threads have: what passes here can't overflow there
_NICENESS: Final = 10  # the processor belongs to questions first


def problems_of(contents: Contents, *, tests: bool) -> Sequence[Problem]:
    """Everything that keeps this directory from serving; whatever breaks on it is one of them."""
    try:
        snapshot = load(contents)
        if tests:
            from sallyport.pdp import policy_tests  # noqa: PLC0415 — only where they are required

            return policy_tests.problems(snapshot, contents)
    except ConfigError as error:
        return error.problems
    except Exception as error:  # noqa: BLE001 — a set that breaks its checks is a bad set
        return ConfigError.about("policies", f"can't be checked: {type(error).__name__}").problems
    return ()


def main() -> int:
    questions, answers = _pipes()
    _confine()
    at_first = memory.own()
    while head := _take(questions, frames.HEAD.size):
        length, seconds, tests = frames.HEAD.unpack(head)
        _allow(seconds)
        files = frames.files_in(_take(questions, length))
        contents = Contents(files, mounted_dir.revision(files))
        answer = frames.of_problems(contents.revision, problems_of(contents, tests=bool(tests)))
        _give(answers, frames.ANSWER.pack(len(answer)) + answer)
        del files, contents
        gc.collect()
        # The PDP needs it now, to build that set; the next one is for another process.
        if memory.own() - at_first > _KEPT:
            break
    return 0


def _pipes() -> tuple[int, int]:
    """Descriptors of our own: whatever else prints or reads would break the protocol."""
    questions, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    return questions, answers


def _most_data() -> int:
    """Most of what the container has left: one that runs out is ended as a whole, the PDP with it.

    The PDP then builds the same set in the same place, with less than we took, since it checks nothing.
    """
    free = memory.left()
    return _ADDRESS_SPACE if free is None else memory.own() + max(_LEAST, free * 3 // 4)


def _confine() -> None:
    """No core file (it would hold policies), no files written, bounded memory; first to go if memory is short."""
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, _ADDRESS_SPACE),
        (resource.RLIMIT_DATA, _most_data()),
        (resource.RLIMIT_STACK, _STACK),
    ):
        soft, hard = resource.getrlimit(limit)
        lowest = min((bound for bound in (soft, hard, most) if bound != resource.RLIM_INFINITY), default=most)
        resource.setrlimit(limit, (lowest, hard))
    os.nice(_NICENESS)
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")


def _allow(seconds: int) -> None:
    """So much more processor time than was used up to now."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, hard))


def _take(descriptor: int, length: int) -> bytes:
    """Exactly so much, or nothing if the PDP has ended or has no more questions."""
    parts = bytearray()
    while len(parts) < length:
        part = os.read(descriptor, min(length - len(parts), 1 << 20))
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _give(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


if __name__ == "__main__":
    sys.exit(main())
