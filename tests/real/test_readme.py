"""The README's "Your MCP servers behind it", line by line: its server over HTTP, its commands, its two calls."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sallyport.cli import ports
from tests.real.conftest import installed
from tests.real.test_through_the_gate import whole
from tests.support import laptop

README = Path(__file__).resolve().parents[2] / "README.md"
PORT = "3001"  # the server's own, which the README names
DENIED = 3  # of `sallyport call`


@pytest.fixture(scope="module")
def told() -> str:
    return README.read_text().partition("## Your MCP servers behind it\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def port(told: str) -> Iterator[str]:
    """The server that it names, started by the words it names, on a port that is free here."""
    found = re.search(r"`npx -y (\S+) ([^`]+)`", told)
    assert found
    program = installed("everything")
    assert found[1] in program[-1]
    number = str(ports.free(set()))
    with server([*program, *shlex.split(found[2])], number):
        yield number


@contextmanager
def server(program: list[str], port: str) -> Iterator[None]:
    environment = {"PATH": os.environ["PATH"], "PORT": port}
    with subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if b"listening" in line:
                    break
            else:
                pytest.fail("the server ended before it listened")
            yield
        finally:
            process.terminate()


def commands(told: str, directory: Path, port: str) -> list[tuple[str, ...]]:
    """What is typed behind `sallyport`, in order; all of it is ours."""
    blocks = "".join(re.findall(r"^```\n(.*?)^```$", told, re.MULTILINE | re.DOTALL))
    words = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    assert {line[0] for line in words} == {".venv/bin/sallyport"}
    return [
        tuple(re.sub(rf":{PORT}\b", f":{port}", one.replace("./mine", str(directory))) for one in line[1:])
        for line in words
    ]


def test_a_server_over_http_stands_behind_the_gate_as_the_readme_tells_it(told: str, port: str, tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    *first, start, permitted, denied = commands(told, directory, port)
    for command in first:
        done = laptop.here(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert [command[0] for command in first] == ["init", "catalog", "catalog"]
    assert start == ("up", str(directory))
    with laptop.up(directory, "--no-restart") as running:
        running.ready()
        echoed, hidden = laptop.here(*permitted), laptop.here(*denied)
    assert (echoed.returncode, "hello" in echoed.stdout) == (0, True), echoed.stderr
    assert (hidden.returncode, "PATH" in hidden.stdout + hidden.stderr) == (DENIED, False), hidden.stderr
    whole(directory)


@pytest.mark.allow_hosts(["127.0.0.2"])
def test_the_server_listens_on_every_address_as_the_readme_warns(told: str, port: str) -> None:
    assert "on every address" in told
    with socket.create_connection(("127.0.0.2", int(port))):
        pass
