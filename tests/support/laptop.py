"""A whole Sallyport on this machine for end-to-end tests: `init` into a directory, `up` as a subprocess, a clean stop.

Nothing here sleeps: `up` says on its standard output when both services are up, and that line is waited for.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sallyport.cli import endpoint, issuer, readiness, shipped
from sallyport.cli.__main__ import main
from sallyport.cli.commands.init import make
from sallyport.cli.endpoint import Endpoint
from sallyport.cli.laptop import Laptop

PATIENCE = 60.0  # seconds; the machine that runs the tests may be busy


def init(directory: Path) -> Path:
    """A fresh directory with the shipped policies; returns it."""
    assert make(directory, shipped.find()) == ()
    return directory


def patient(directory: Path, deadline_ms: int = 5000) -> Path:
    """The PDP may be slow: a busy machine must look like no outage."""
    for name, part in (("pep.yaml", "pdp"), ("pdp.yaml", "limits")):
        chosen = yaml.safe_load((directory / name).read_text())
        chosen[part]["deadline_ms"] = deadline_ms
        (directory / name).write_text(yaml.safe_dump(chosen))
    return directory


def cli(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `sallyport …` to its end, as an operator would."""
    command = [sys.executable, "-m", "sallyport.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **{"timeout": PATIENCE, **options})


def here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The same within this process: much faster, for commands that don't wait for signals."""
    command = [*map(str, arguments)]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(command)
        except SystemExit as ending:
            code = int(ending.code or 0)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def token(directory: Path, user: str = "alice", agent: str = "coding-bot", **options: Any) -> str:
    """An access token of the directory's own issuer; options are those of issuer.Identity."""
    return issuer.mint(Laptop.at(directory), issuer.Identity(user, agent, **options))


@dataclass
class Up:
    """A running `sallyport up`."""

    directory: Path
    process: subprocess.Popen[bytes]
    said: list[str] = field(default_factory=list)
    _rest: bytes = b""

    @property
    def endpoint(self) -> Endpoint:
        return endpoint.read(Laptop(self.directory))

    def until(self, words: str, patience: float = PATIENCE) -> str:
        """Wait for the next line of output that holds these words; returns it."""
        deadline = time.monotonic() + patience
        while (line := self._line(deadline)) is not None:
            self.said.append(line)
            if words in line:
                return line
        logs = "".join(self.log(name) for name in ("pdp", "pep"))
        raise AssertionError(f"`sallyport up` never said {words!r}, but:\n{''.join(self.said)}\n{logs}")

    def _line(self, deadline: float) -> str | None:
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], left)
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode() + "\n"

    def ready(self) -> None:
        """Wait until calls are judged. `up` itself waits for two seconds; then it warns, and goes on."""
        deadline = time.monotonic() + PATIENCE
        while reasons := readiness.reasons(self.endpoint.management_url, self.endpoint.ca_file):
            assert time.monotonic() < deadline, reasons

    def log(self, service: str) -> str:
        path = Laptop(self.directory).log(service)
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        self.said.append((self._rest + rest).decode())
        self._rest = b""
        return self.process.returncode


def start(directory: Path, *options: str, port: int | None = 0) -> Up:
    """`sallyport up DIR --port 0 …`, not waited for; None leaves the port to pep.yaml. Its output is one stream."""
    chosen = () if port is None else ("--port", str(port))
    command = [sys.executable, "-m", "sallyport.cli", "up", str(directory), *chosen, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    return Up(directory, process)


@contextmanager
def up(directory: Path, *options: str) -> Iterator[Up]:
    """A Sallyport that is up (both services listen, endpoint.json is written), and is stopped at the end."""
    running = start(directory, *options)
    try:
        running.until("Ctrl-C stops both")
        yield running
    finally:
        code = running.stop()
    assert code in {0, -signal.SIGKILL}, "".join(running.said)  # unless the test killed it, it stops cleanly


@pytest.fixture(scope="session")
def sallyport(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One running Sallyport for all tests of a worker that only call it; stopped at the session's end."""
    directory = patient(init(tmp_path_factory.mktemp("sallyport") / "laptop"))
    with up(directory, "--no-restart") as running:
        running.ready()
        yield running


def records(directory: Path, service: str = "pep") -> list[dict[str, Any]]:
    """All records of the PEP's audit, stream by stream; `service="pdp"` for the other witness."""
    paths = sorted((directory / "audit").glob(f"{service}-*/*.jsonl"))
    lines = (line for path in paths for line in path.read_bytes().splitlines(keepends=True))
    return [json.loads(line) for line in lines if line.endswith(b"\n")]  # the last may still be being written
