"""The AuthZEN port as a gateway meets it: real mutual TLS, real policies, and an observer that remembers."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp

from sallyport.pdp.authzen import server
from sallyport.pdp.authzen.settings import Authzen
from sallyport.pdp.http import Listener
from sallyport.pdp.load import load
from sallyport.pdp.observer import Decision, Observer, Observers, Reloaded
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.telemetry import Tracing
from tests.support import pki

RECORDS: Final = Path(__file__).with_name("records")
GATEWAY: Final = "spiffe://test/gateway"
URL: Final = "https://pdp.example.test:7353"
CLIENT: Final[Mapping[str, Any]] = {
    "spiffe": GATEWAY,
    "issuer": "gateway",
    "orgs": ["acme"],
    "agent": "gateway",
    "roles": {"property": "role", "map": {"admin": "admin"}, "everyone": ["member"]},
    "resource_types": {"record": "Record", "tool": "Tool"},
    "resource_attributes": {"Record": ["status"]},
}
SECONDS: Final = aiohttp.ClientTimeout(total=30)


@cache
def records() -> Snapshot:
    return load(mounted_dir.read(RECORDS))


class Memory:
    """Everything that was told."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def reloaded(self, event: Reloaded) -> None:
        raise AssertionError(event)


def settings(directory: Path, *clients: Mapping[str, Any], **more: Any) -> Authzen:
    certificate, key = pki.authority().server().write(directory, "server")
    (directory / "ca.crt").write_bytes(pki.authority().pem)
    given: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "url": URL,
        "tls": {"certificate": str(certificate), "key": str(key), "client_ca": str(directory / "ca.crt")},
        "clients": clients or (CLIENT,),
        **more,
    }
    return Authzen.model_validate_json(json.dumps(given))


def trusting(client: pki.Pair | None) -> ssl.SSLContext:
    return pki.authority().client_context(client)


@cache
def gateway() -> ssl.SSLContext:
    return trusting(pki.authority().client(GATEWAY))


@dataclass
class Pdp:
    """A listener at work, and a gateway's session with it."""

    port: int
    listener: Listener
    session: aiohttp.ClientSession
    memory: Memory
    headers: Mapping[str, str] = field(default_factory=dict)  # of the last answer

    async def send(
        self, path: str, body: bytes | None, method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        chosen = {"Content-Type": "application/json", **(headers or {})}
        url = f"https://localhost:{self.port}{path}"
        async with self.session.request(method, url, data=body, headers=chosen) as answer:
            self.headers = answer.headers
            return answer.status, await answer.read()

    async def ask(self, question: Mapping[str, Any], path: str = "/access/v1/evaluation") -> dict[str, Any]:
        """A question that is answered with 200."""
        status, body = await self.send(path, json.dumps(question).encode())
        assert (status, self.headers["Content-Type"]) == (200, "application/json"), body
        answer: dict[str, Any] = json.loads(body)
        return answer

    async def batch(self, question: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = await self.ask(question, "/access/v1/evaluations")
        assert answer.keys() == {"evaluations"}
        found: list[dict[str, Any]] = answer["evaluations"]
        return found

    async def decision(self, question: Mapping[str, Any]) -> bool:
        found = (await self.ask(question))["decision"]
        assert isinstance(found, bool)
        return found

    async def decisions(self, question: Mapping[str, Any]) -> list[bool]:
        return [item["decision"] for item in await self.batch(question)]

    async def refusal(self, question: Any, path: str = "/access/v1/evaluation") -> int:
        """The status of a question that isn't decided."""
        status, body = await self.send(path, question if isinstance(question, bytes) else json.dumps(question).encode())
        assert b"decision" not in body
        return status


@asynccontextmanager
async def serving(
    directory: Path,
    *clients: Mapping[str, Any],
    held: Snapshot | None = None,
    seconds: float = 10.0,
    tracing: Tracing | None = None,
    observers: tuple[Observer, ...] = (),
    empty: bool = False,
    **more: Any,
) -> AsyncIterator[Pdp]:
    memory = Memory()
    snapshot = None if empty else held or records()
    listener = server.listener(
        settings(directory, *clients, **more),
        lambda: snapshot,
        Observers((memory, *observers)),
        tracing or Tracing("pdp"),
        seconds=seconds,
    )
    address = await listener.start("127.0.0.1:0")
    connector = aiohttp.TCPConnector(ssl=gateway())
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=SECONDS) as session:
            yield Pdp(int(address.rpartition(":")[2]), listener, session, memory)
    finally:
        await listener.stop(1.0)


def evaluation(
    user: str = "alice",
    action: str = "read",
    record: str = "record-1",
    *,
    soft: bool | None = None,
    status: str | None = None,
    role: str | None = None,
) -> dict[str, Any]:
    def entity(properties: Mapping[str, Any], **names: str) -> dict[str, Any]:
        given = {name: value for name, value in properties.items() if value is not None}
        return {**names, "properties": given} if given else dict(names)

    return {
        "subject": entity({"role": role}, type="user", id=user),
        "action": entity({"soft": soft}, name=action),
        "resource": entity({"status": status}, type="record", id=record),
    }
