"""The clients of others, each in a process of its own, and what they make of one gate."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
PATIENCE: Final = 280.0  # seconds for all that one client does

Ask = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the gate is, and as whom to ask."""

    url: str
    ca_file: str
    token: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client made of it. A refusal is {"error": message}, with its code where the client keeps that."""

    tools: list[str]
    answers: list[Any]
    era: str


Drive = Callable[[Gate, Sequence[Ask], Path], Seen]


@cache
def installed(client: str) -> tuple[str, Path]:
    """The program that runs its driver, and the folder it is installed in."""
    done = subprocess.run([HERE / "install.sh", client], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{client} can't be installed:\n{done.stderr}"
    program, folder = done.stdout.split()
    return program, Path(folder)


def python(client: str, *mode: str) -> Drive:
    """By drivers/with_CLIENT.py; mcp 2.x is the one that stands beside these tests."""

    def drive(gate: Gate, asked: Sequence[Ask], _: Path) -> Seen:
        program = sys.executable if client == "mcp2" else installed(client)[0]
        return _drive(gate, asked, program, "-m", f"tests.clients.drivers.with_{client}", gate.url, *mode)

    return drive


def node(client: str, *mode: str) -> Drive:
    """By drivers/with_CLIENT.mjs, put where Node looks for its packages: beside node_modules."""

    def drive(gate: Gate, asked: Sequence[Ask], scratch: Path) -> Seen:
        program, folder = installed(client)
        driver = Path(shutil.copy(HERE / "drivers" / f"with_{client}.mjs", scratch))
        (scratch / "node_modules").symlink_to(folder / "node_modules")
        return _drive(gate, asked, program, str(driver), gate.url, *mode)

    return drive


def inspector(era: str) -> Drive:
    """A process for each question: there is no session that could die."""

    def drive(gate: Gate, asked: Sequence[Ask], scratch: Path) -> Seen:
        headers = {"Authorization": f"Bearer {gate.token}"}
        server = {"type": "streamable-http", "url": gate.url, "protocolEra": era, "headers": headers}
        config = scratch / "inspector.json"  # not an argument, which everybody on the machine could read
        config.write_text(json.dumps({"mcpServers": {"gate": server}}))
        program, folder = installed("inspector")
        command = (program, str(folder / "node_modules/.bin/mcp-inspector"), "--cli")
        told = (*command, "--config", str(config), "--server", "gate", "--format", "json", "--method")
        listed = _json(_run(gate, (), *told, "tools/list").stdout)["result"]["tools"]
        answers = [_inspected(_run(gate, (), *told, "tools/call", *_named(ask))) for ask in asked]
        return Seen([tool["name"] for tool in listed], answers, "")

    return drive


def _named(ask: Ask) -> tuple[str, ...]:
    name, arguments = ask
    return (
        "--tool-name",
        name,
        *(word for key, value in arguments.items() for word in ("--tool-arg", f"{key}={value}")),
    )


def _inspected(done: subprocess.CompletedProcess[str]) -> Any:
    if done.returncode:
        return {"error": _json(done.stderr)["error"]["message"]}
    return _json(done.stdout)["result"]["content"][0]["text"]


def _json(said: str) -> Any:
    return json.loads(said[said.index("{") :])


def _drive(gate: Gate, asked: Sequence[Ask], *command: str) -> Seen:
    done = _run(gate, asked, *command)
    assert done.returncode == 0, done.stderr
    return Seen(**json.loads(done.stdout.splitlines()[-1]))


def _run(gate: Gate, asked: Sequence[Ask], *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "TOKEN": gate.token,
        "ASKED": json.dumps(asked),
        "SSL_CERT_FILE": gate.ca_file,
        "NODE_EXTRA_CA_CERTS": gate.ca_file,
        "NO_COLOR": "1",
    }
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
