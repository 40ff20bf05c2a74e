"""The PEP's rooms and a real PDP in this process, without sockets in front: for tests that look inside one request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from sallyport.cli import issuer
from sallyport.cli.laptop import Laptop
from sallyport.pdp import settings as pdp_settings
from sallyport.pdp.inforce import InForce
from sallyport.pdp.load import load
from sallyport.pdp.observer import Observers, Reloaded
from sallyport.pdp.recorder import open_stream
from sallyport.pdp.server import Server
from sallyport.pep import assembly
from sallyport.pep import settings as pep_settings
from sallyport.pep.behind import Behind
from sallyport.pep.calls import Calls, Hands
from sallyport.pep.model import Answer, Emit, Era, Json, Peer, Request
from sallyport.pep.pipeline import Pipeline, Rooms
from sallyport.pep.settings import EgressEntry
from sallyport.runtime import mounted_dir
from sallyport.runtime.telemetry import Tracing
from tests.support import laptop

META = {
    "io.modelcontextprotocol/protocolVersion": Era.MODERN.value,
    "io.modelcontextprotocol/clientCapabilities": {},
}
Headers = tuple[tuple[bytes, bytes], ...]
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_NAMED: Final = ("name", "uri", "taskId")  # what Mcp-Name repeats


async def unheard(method: str, params: Mapping[str, Json]) -> None:
    """A client that reads no notifications."""


@dataclass(frozen=True)
class Gate:
    """`handle` is the front door; `directory` is what `sallyport init` made."""

    directory: Path
    rooms: Rooms
    behind: Behind
    pipeline: Pipeline

    @property
    def hands(self) -> Hands:
        """What calls are made with."""
        return self.rooms.calls._hands

    async def handle(self, request: Request, emit: Emit = unheard) -> Answer:
        return await self.pipeline.handle(request, emit)

    def with_rooms(self, **changed: Any) -> Gate:
        """The same gate with other rooms in some places."""
        rooms = replace(self.rooms, **changed)
        return Gate(self.directory, rooms, self.behind, Pipeline(rooms))

    def with_hands(self, **changed: Any) -> Gate:
        """The same gate whose calls are made with something else."""
        return self.with_rooms(calls=Calls(replace(self.hands, **changed)))

    def request(self, method: str, params: dict[str, Any] | None = None, **who: Any) -> Request:
        """A modern request by alice via coding-bot, or by `who` (fields of issuer.Identity)."""
        person = {"user": "alice", "agent": "coding-bot"} | who
        token = issuer.mint(Laptop.at(self.directory), issuer.Identity(**person))
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **(params or {})}}
        name = next((params[key] for key in _NAMED if params and key in params), None)
        headers: Headers = (
            (b"authorization", f"Bearer {token}".encode()),
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"mcp-protocol-version", Era.MODERN.value.encode()),
            (b"mcp-method", method.encode()),
            *(((b"mcp-name", name.encode()),) if name else ()),
        )
        return Request(Peer("127.0.0.1"), "POST", headers, json.dumps(body).encode())

    def call(self, name: str, arguments: dict[str, Any] | None = None, **who: Any) -> Request:
        return self.request("tools/call", {"name": name, "arguments": arguments or {}}, **who)

    def records(self, service: str = "pep") -> list[dict[str, Any]]:
        """Everything in the PEP's audit so far, as written; `service="pdp"` for the other witness."""
        return laptop.records(self.directory, service)


def body(answer: Answer) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(answer.body)
    return parsed


@asynccontextmanager
async def gate(
    directory: Path,
    *,
    without: tuple[str, ...] = (),
    policies: Mapping[str, str] = _NONE,
    otlp: str = "",
    deadline_ms: int = 5000,  # a busy machine is no outage
    prepare: Callable[[Path], None] = lambda _: None,
) -> AsyncIterator[Gate]:
    """`sallyport init` into a fresh directory, then all parts put together as the processes do it.

    `without` names policy files to leave out, such as the one that looks at the clock, `policies` gives others to add;
    `otlp` is where spans go, `deadline_ms` the PDP's time for an answer, `prepare` may change the directory as an operator would.
    """
    made = laptop.init(directory)
    for name in without:
        (made / "policies" / name).unlink()
    for name, text in policies.items():
        (made / "policies" / name).write_text(text)
    prepare(made)
    chosen = pdp_settings.load(made / "pdp.yaml")
    patient = chosen.limits.model_copy(update={"deadline_ms": deadline_ms})
    chosen = chosen.model_copy(update={"listen": "127.0.0.1:0", "health": "127.0.0.1:0", "limits": patient})
    in_force, snapshot = InForce(), load(mounted_dir.read(chosen.policies))
    in_force.put(snapshot)
    tracing = Tracing("pdp", otlp)
    tracing.start()
    pep = pep_settings.load(made / "pep.yaml")
    telemetry = pep.telemetry.model_copy(update={"otlp_endpoint": otlp})
    collector = (EgressEntry(destination=urlsplit(otlp).netloc),) if otlp else ()
    try:
        async with (
            open_stream(chosen.audit) as recorder,
            serving(chosen, in_force, tracing, Observers([recorder])) as pdp,
        ):
            recorder.reloaded(Reloaded(True, snapshot.revision, snapshot.revision, (), 0.0, "start"))
            address = pep.pdp.model_copy(update={"address": pdp.listen, "deadline_ms": deadline_ms})
            changed = {"pdp": address, "telemetry": telemetry, "egress": (*pep.egress, *collector)}
            async with assembly.assembled(pep.model_copy(update=changed)) as parts:
                yield Gate(made, parts.rooms, parts.behind, Pipeline(parts.rooms))
    finally:
        tracing.stop()


@asynccontextmanager
async def serving(
    chosen: pdp_settings.PdpSettings, in_force: InForce, tracing: Tracing, observers: Observers
) -> AsyncIterator[Server]:
    server = Server(chosen, in_force, tracing, observers)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
