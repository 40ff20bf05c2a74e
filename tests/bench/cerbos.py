"""The peer: Cerbos, a PDP in Go, with rules that say what ours say. Its npm package holds the server's binary."""

from __future__ import annotations

import asyncio
import importlib
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc.aio
import yaml
from grpc_tools import protoc  # type: ignore[import-untyped]

HERE: Final = Path(__file__).parent
_CHECK: Final = "/cerbos.svc.v1.CerbosService/CheckResources"
_MACHINES: Final = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_OWN_FILE: Final = "R.attr.owner == P.attr.user_id && P.attr.agent_trust_level >= 5.0"
_A_PRINCIPAL: Final = 3  # of so many further rules, two are a principal's and one a resource's


class NotThereError(Exception):
    """Why there is no peer on this machine."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server and one question to it, asked with the same gRPC client that asks ours."""

    pid: int
    _check: Any
    _request: Any

    async def ask(self) -> None:
        answer = await self._check(self._request)
        if answer.results[0].actions != {"read_file": 1}:
            raise RuntimeError(f"not the expected answer: {answer}")


def binary() -> Path:
    """Installed by npm the first time. Raises NotThereError."""
    name = f"cerbos-{sys.platform}-{_MACHINES.get(platform.machine(), platform.machine())}"
    found = HERE / "node_modules" / "@cerbos" / name / name
    if found.is_file():
        return found
    if shutil.which("npm") is None:
        raise NotThereError("npm isn't installed")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode or not found.is_file():
        raise NotThereError(f"npm can't install it: {(done.stderr or done.stdout).strip()[:200]}")
    return found


@asynccontextmanager
async def running(rules: int) -> AsyncIterator[Peer]:
    """Serving so many rules, nearly all of them of other people and other resources, as in ours."""
    server = binary()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        _write(directory / "policies", rules)
        ports = [_free_port(), _free_port()]
        config = {
            "server": {"httpListenAddr": f"127.0.0.1:{ports[0]}", "grpcListenAddr": f"127.0.0.1:{ports[1]}"},
            "storage": {"driver": "disk", "disk": {"directory": str(directory / "policies"), "watchForChanges": False}},
            "telemetry": {"disabled": True},
            "audit": {"enabled": False},
        }
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        command = [str(server), "server", "--config", str(directory / "config.yaml"), "--log-level=error"]
        process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
                yield await _connected(channel, process.pid, directory)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _connected(channel: grpc.aio.Channel, pid: int, directory: Path) -> Peer:
    words = _words(directory)
    check: Any = channel.unary_unary(
        _CHECK,
        request_serializer=words.CheckResourcesRequest.SerializeToString,
        response_deserializer=words.CheckResourcesResponse.FromString,
    )
    peer = Peer(pid, check, _request(words))
    await check(peer._request, wait_for_ready=True, timeout=60)
    await peer.ask()
    return peer


def _words(directory: Path) -> Any:
    """Compiled from cerbos.proto here and now: nothing generated is committed for a bench."""
    include = str(importlib.import_module("grpc_tools").__path__[0]) + "/_proto"
    if protoc.main(["", f"-I{HERE}", f"-I{include}", f"--python_out={directory}", "cerbos.proto"]):
        raise NotThereError("its contract can't be compiled")
    if "cerbos_pb2" not in sys.modules:  # a contract can be registered once in a process
        sys.path.insert(0, str(directory))
        try:
            importlib.import_module("cerbos_pb2")
        finally:
            sys.path.remove(str(directory))
    return sys.modules["cerbos_pb2"]


def _request(words: Any) -> Any:
    asked = words.CheckResourcesRequest(request_id="0" * 32)
    asked.principal.id = "laptop:alice:coding-bot"
    asked.principal.roles.append("developer")
    for name, text in (("user_id", "alice"), ("agent_id", "coding-bot"), ("org", "acme"), ("ip", "127.0.0.1")):
        asked.principal.attr[name].string_value = text
    asked.principal.attr["agent_trust_level"].number_value = 8
    asked.principal.attr["risk"].number_value = 3
    entry = asked.resources.add(actions=["read_file"])
    entry.resource.kind, entry.resource.id = "File", "alice/notes.txt"
    entry.resource.attr["owner"].string_value = "alice"
    entry.resource.attr["org"].string_value = "acme"
    return asked


def _write(directory: Path, rules: int) -> None:
    """The shipped rules as one policy for each type; further ones for principals, or among the resource's rules."""
    directory.mkdir()
    further = range(max(0, rules - 10))
    named = [_rule(["read_file"], "DENY", f'R.id == "bob/f{number}.txt" && !("admin" in P.roles)') for number in further if number % _A_PRINCIPAL == 0]  # fmt: skip
    for kind, held in (("File", [*_shipped(), *named]), ("Table", _shipped())):
        body = {"version": "default", "resource": kind, "rules": held}
        _dump(directory / f"{kind}.yaml", {"resourcePolicy": body})
    for number in further:
        if number % _A_PRINCIPAL:
            who = "alice" if number == 1 else f"u{number}"  # one policy for each principal is all that it takes
            action = {"action": "read_file", "effect": "EFFECT_ALLOW", "condition": {"match": {"expr": _OWN_FILE}}}
            body = {
                "principal": f"laptop:{who}:coding-bot",
                "version": "default",
                "rules": [{"resource": "File", "actions": [action]}],
            }
            _dump(directory / f"p{number}.yaml", {"principalPolicy": body})


def _shipped() -> list[dict[str, Any]]:
    return [
        _rule(["read_file"], "ALLOW", _OWN_FILE),
        _rule(["write_file", "delete_file"], "ALLOW", "R.attr.owner == P.attr.user_id"),
        _rule(["read_file", "list_files"], "DENY", "P.attr.agent_trust_level < 1.0"),
        _rule(["write_file"], "DENY", "P.attr.agent_trust_level < 5.0"),
        _rule(["*"], "DENY", "R.attr.org != P.attr.org"),
    ]


def _rule(actions: list[str], effect: str, condition: str) -> dict[str, Any]:
    return {
        "actions": actions,
        "effect": f"EFFECT_{effect}",
        "roles": ["*"],
        "condition": {"match": {"expr": condition}},
    }


def _dump(path: Path, policy: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump({"apiVersion": "api.cerbos.dev/v1", **policy}))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
