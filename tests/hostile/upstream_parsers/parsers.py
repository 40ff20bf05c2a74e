"""What servers in other languages read in the bytes that they receive, compared without trusting any serialiser."""

from __future__ import annotations

import base64
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sallyport.pep.model import Json

HERE: Final = Path(__file__).parent
PATIENCE: Final = 120.0


def notation(value: Json) -> str:
    """A value as parse.mjs and parse.go write it: numbers as the bits of a double, texts and keys as UTF-8 in hex."""
    match value:
        case None:
            return "null;"
        case bool():
            return f"{value};".lower()
        case int() | float():
            return f"n{struct.pack('>d', value).hex()};"
        case str():
            return f"s{value.encode().hex()};"
        case list():
            return f"[{''.join(map(notation, value))}]"
        case dict():
            members = sorted((notation(key), notation(item)) for key, item in value.items())
            return f"{{{''.join(key + item for key, item in members)}}}"


def expected(method: str, name: str, arguments: Json) -> str:
    return " ".join((notation(method), notation(name), notation(arguments)))


def node(bodies: Iterable[bytes]) -> list[str]:
    return _run(bodies, _program("node"), str(HERE / "parse.mjs"))


def go(bodies: Iterable[bytes], scratch: Path) -> list[str]:
    built = scratch / "parse"
    subprocess.run([_program("go"), "build", "-o", built, HERE / "parse.go"], check=True, timeout=PATIENCE)
    return _run(bodies, str(built))


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} isn't installed; this test compares what its parser reads"
    return found


def _run(bodies: Iterable[bytes], *command: str) -> list[str]:
    lines = b"".join(base64.b64encode(body) + b"\n" for body in bodies)
    done = subprocess.run(command, input=lines, capture_output=True, check=True, timeout=PATIENCE)
    return done.stdout.decode().splitlines()
