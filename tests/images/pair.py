"""A PDP and a PEP from their images, over a directory of `sallyport init`, sealed as in a pod: one loopback, no network."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.images.engine import PYTHON, SEALED, docker, run
from tests.images.image import Image
from tests.support import laptop

_CALLER: Final = (Path(__file__).parent / "caller.py").read_text()
_PATIENCE: Final = 180.0
_USER: Final = 65532
_OWN: Final = """
import os, sys
for folder, folders, files in os.walk("/gate"):
    for name in (folder, *(os.path.join(folder, item) for item in folders + files)):
        os.lchown(name, *map(int, sys.argv[1:]))
"""
_READY: Final = """
import http.client, ssl
trusted = ssl.create_default_context(cafile="/gate/pki/ca/ca.crt")
there = http.client.HTTPSConnection("localhost", 8444, context=trusted, timeout=60)
there.request("GET", "/ready")
print(there.getresponse().status)
"""
_WRITE: Final = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"


@dataclass(frozen=True)
class Pair:
    directory: Path
    token: str
    pdp: str  # the containers' names
    pep: str

    def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        told = json.dumps({"token": self.token, "tool": tool, "arguments": arguments})
        answer: dict[str, Any] = json.loads(self.python(self.pep, _CALLER, said=told))
        return answer

    def python(self, container: str, code: str, *arguments: str, said: str | None = None) -> str:
        return docker("exec", "--interactive", container, PYTHON, "-I", "-c", code, *arguments, said=said)

    def write(self, path: str, text: str) -> None:
        """A file of the directory, as its owner: the test's own user may be another."""
        self.python(self.pdp, _WRITE, f"/gate/{path}", said=text)

    def logs(self, container: str) -> str:
        done = run("logs", container)
        return done.stdout + done.stderr

    def stop(self, container: str) -> int:
        docker("stop", "--time", "60", container)
        return int(docker("inspect", "--format", "{{.State.ExitCode}}", container))


@contextmanager
def pair(images: dict[str, Image], directory: Path) -> Iterator[Pair]:
    laptop.patient(laptop.init(directory))
    token, name = laptop.token(directory), f"sallyport-test-{uuid.uuid4().hex[:12]}"
    made = Pair(directory, token, f"{name}-pdp", f"{name}-pep")
    _give(images["pdp"], directory, _USER, _USER)
    try:
        _start(images["pdp"], made.pdp, directory, "none")
        _start(images["pep"], made.pep, directory, f"container:{made.pdp}")
        until(lambda: '"event":"listening"' in made.logs(made.pep), lambda: made.logs(made.pdp) + made.logs(made.pep))
        until(lambda: "policy set in force" in made.logs(made.pdp), lambda: made.logs(made.pdp))
        until(lambda: made.python(made.pep, _READY) == "200", lambda: made.logs(made.pep))
        yield made
    finally:
        run("rm", "--force", made.pep, made.pdp)
        _give(images["pdp"], directory, os.getuid(), os.getgid())


def until(holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < deadline, otherwise()


def _start(image: Image, name: str, directory: Path, network: str) -> None:
    sealed = (*SEALED[:-1], network)
    mount, config = f"{directory}:/gate", f"/gate/{image.service}.yaml"
    docker("run", "--detach", "--name", name, *sealed, "--volume", mount, image.name, "--config", config)


def _give(image: Image, directory: Path, user: int, group: int) -> None:
    """Make the directory this user's, as the engine's root: the test's own user needn't be root."""
    python = ("--user", "0:0", "--network", "none", "--entrypoint", PYTHON)
    docker(
        "run", "--rm", *python, "--volume", f"{directory}:/gate", image.name, "-I", "-c", _OWN, str(user), str(group)
    )
