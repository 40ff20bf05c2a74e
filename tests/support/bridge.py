"""A running `sallyport stdio-bridge`, and a client that says exactly what a test wants said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

PATIENCE = 60.0  # seconds; the machine that runs the tests may be busy
ACCEPT = "application/json, text/event-stream"


@dataclass
class Bridge:
    url: str
    token_file: Path
    log: Path
    process: subprocess.Popen[bytes]

    def client(self, **headers: str) -> httpx2.Client:
        known = {"Authorization": self.token_file.read_text(), "Accept": ACCEPT} | headers
        return httpx2.Client(headers=known, timeout=PATIENCE)

    def logged(self) -> list[dict[str, Any]]:
        whole = self.log.read_bytes().rpartition(b"\n")[0]  # the last may still be being written
        return [json.loads(line) for line in whole.splitlines()]


@dataclass
class Mcp:
    """One session."""

    http: httpx2.Client
    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def begin(self, **params: Any) -> httpx2.Response:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        answer = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello | params})
        if "mcp-session-id" in answer.headers:
            self.headers = {"Mcp-Session-Id": answer.headers["mcp-session-id"]}
            self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def post(self, message: Any, **headers: str) -> httpx2.Response:
        return self.http.post(self.url, json=message, headers=self.headers | headers)

    def request(self, method: str, params: dict[str, Any], number: Any = 1) -> httpx2.Response:
        return self.post({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    def call(self, tool: str, **arguments: Any) -> Any:
        """What the tool gave, as JSON."""
        return said(self.request("tools/call", {"name": tool, "arguments": arguments}))

    def end(self) -> httpx2.Response:
        return self.http.delete(self.url, headers=self.headers)


def said(answer: httpx2.Response) -> Any:
    body = answer.json()
    assert "result" in body, body
    return json.loads(body["result"]["content"][0]["text"])


def command(*options: str, token_file: Path) -> list[str]:
    return [sys.executable, "-m", "sallyport.cli", "stdio-bridge", "--token-file", str(token_file), *options]


@contextmanager
def bridge(place: Path, program: list[str], *options: str, env: dict[str, str] | None = None) -> Iterator[Bridge]:
    """At the end it is told to go, and goes in an orderly way."""
    token_file, log = place / "token", place / "bridge.log"
    started = command(*options, "--", *program, token_file=token_file)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            started, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(env or {})}, cwd="/"
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        assert url, log.read_text()
        yield Bridge(url, token_file, log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)
        if process.stdout is not None:
            process.stdout.close()
    assert code in {0, -signal.SIGKILL}, log.read_text()


@contextmanager
def session(running: Bridge, **params: Any) -> Iterator[Mcp]:
    with running.client() as http:
        mcp = Mcp(http, running.url)
        answer = mcp.begin(**params)
        assert answer.status_code == 200, answer.text
        yield mcp
        if running.process.poll() is None:
            mcp.end()


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """A zombie is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def tree(root: int) -> set[int]:
    """All that descend from it."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}
