"""A whole running gate before recording upstreams, the opponents' way in, and what must hold of the record after it all."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import jwt
import yaml

from sallyport.pep.upstream.outgoing import header_value
from sallyport.pep.upstream.pin import pin
from tests.support import laptop
from tests.support.laptop import Up
from tests.support.messages import META
from tests.support.recording_upstream import Recording, recording
from tests.support.second_key import SecondKey
from tests.support.stopwatch import Stopwatch
from tests.support.upstream_leg import LEGACY, MODERN

ROLE: Final = "everything"
POLICY: Final = """\
@id("through.use")
permit (principal, action, resource)
when { resource is Tool || resource is Prompt || resource is McpResource };
"""
_PERMISSIONS: Final = (
    *("tools:list", "tools:call", "resources:list", "resources:read", "resources:write", "prompts:list"),
    *("prompts:get", "completion:complete", "system:manage"),
)
_NAMED: Final = {"resources/read": "uri"} | dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), "taskId")
Headers = Iterable[tuple[str, str]]
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Answered:
    """What a client got: the last message, and the notifications before it."""

    status: int
    message: dict[str, Any]
    heard: list[dict[str, Any]]
    size: int

    @property
    def result(self) -> dict[str, Any]:
        assert "result" in self.message, self.message
        found: dict[str, Any] = self.message["result"]
        return found

    @property
    def error(self) -> dict[str, Any]:
        assert "error" in self.message, self.message
        found: dict[str, Any] = self.message["error"]
        return found

    @property
    def text(self) -> str:
        return str(self.result["content"][0]["text"])

    @property
    def decision(self) -> str:
        return str(self.error["data"]["decision_id"])


@dataclass
class Front:
    """Callers before the gate; `upstreams` stand behind it."""

    running: Up
    upstreams: Mapping[str, Recording]
    http: aiohttp.ClientSession
    tokens: dict[str, str] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)

    @property
    def directory(self) -> Path:
        return self.running.directory

    def stopwatch(self) -> Stopwatch:
        """Of what the gate takes, whoever else has the machine meanwhile."""
        return Stopwatch(self.running.endpoint.pep, self.running.endpoint.pdp)

    def token(self, *, signed_by: SecondKey | None = None, **who: Any) -> str:
        """Of alice by coding-bot, or of `who`: fields of issuer.Identity. By the usual key, or by another."""
        person: dict[str, Any] = {
            "user": "alice",
            "agent": "coding-bot",
            "org": "acme",
            "roles": (ROLE,),
            "ttl": 3600,
        } | who
        if signed_by is not None:
            return signed_by.token(**person)
        key = repr(sorted(person.items()))
        if key not in self.tokens:
            self.tokens[key] = laptop.token(self.directory, **person)
        return self.tokens[key]

    async def call(self, tool: str, arguments: Mapping[str, Any] | None = None, **told: Any) -> Answered:
        return await self.ask("tools/call", {"name": tool, "arguments": dict(arguments or {})}, **told)

    async def ask(self, method: str, params: Mapping[str, Any] | None = None, **told: Any) -> Answered:
        async with self.asked(method, params, **told) as response:
            heard = [one async for one in messages(response)]
            return Answered(response.status, heard.pop() if heard else {}, heard, response.content.total_bytes)

    @asynccontextmanager
    async def asked(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        number: Any = 1,
        server: str = "",
        era: str = MODERN,
        headers: Headers = (),
        **who: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response's head is there; leave early to hang up. `number` None: a notification."""
        given = dict(params or {})
        meta = given.pop("_meta", {})
        whole = (
            {**given, "_meta": {**META, **meta}} if era == MODERN else {**given, **({"_meta": meta} if meta else {})}
        )
        wire = {"jsonrpc": "2.0", "method": method, "params": whole} | ({} if number is None else {"id": number})
        body = json.dumps(wire).encode()
        sent = [*self._usual(method, given, era, self.token(**who)), *headers]
        url = self.running.endpoint.mcp_url + (f"/{server}" if server else "")
        async with self.http.post(url, data=body, headers=sent) as response:
            yield response

    def record(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """The PEP's own records of this kind, with these fields."""
        found = [one for one in laptop.records(self.directory) if one["kind"] == kind]
        return [one for one in found if all(one.get(key) == value for key, value in wanted.items())]

    async def served(self) -> None:
        """Wait until there is nothing to say against the gate or its upstreams."""
        deadline = time.monotonic() + laptop.PATIENCE / 2
        while wrong := await self.ready():
            assert time.monotonic() < deadline, (wrong, self.running.log("pep"))
            await asyncio.sleep(0.05)

    async def ready(self) -> dict[str, str]:
        """What readiness complains of, part by part."""
        return {name: detail for name, detail in (await self._parts()).items() if name != "policies"}

    async def revision(self) -> str:
        """Of the policy set that serves."""
        return (await self._parts())["policies"]

    async def _parts(self) -> dict[str, str]:
        return {one["name"]: one["detail"] for one in json.loads(await self._told("/ready"))}

    async def metric(self, name: str) -> float:
        lines = (await self._told("/metrics")).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    async def _told(self, path: str) -> str:
        async with self.http.get(self.running.endpoint.management_url + path) as response:
            return await response.text()

    def _usual(self, method: str, given: Mapping[str, Any], era: str, token: str) -> list[tuple[str, str]]:
        name = given.get(_NAMED.get(method, "name"))
        modern = [("Mcp-Method", method), *([("Mcp-Name", header_value(str(name)))] if name is not None else [])]
        return [
            ("Authorization", f"Bearer {token}"),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", era),
            *(modern if era == MODERN else []),
        ]


async def messages(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Each JSON-RPC message of a response, as it comes."""
    if response.content_type != "text/event-stream":
        body = await response.read()
        if body:
            yield json.loads(body)
        return
    async for line in response.content:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def tool(upstream: str, found: Mapping[str, Any], **told: Any) -> dict[str, Any]:
    """An approved tool's entry."""
    usual = {"name": found["name"], "description": found["description"], "effect": "read_only", "pin": pin(found)}
    return {**usual, "provider": {"upstream": upstream}, "input": found["inputSchema"], **told}


@asynccontextmanager
async def front(
    directory: Path,
    upstreams: Mapping[str, Recording],
    catalog: Mapping[str, Any],
    *,
    entries: Mapping[str, Entry] | None = None,
    prepare: Callable[[Path], None] = lambda _: None,
) -> AsyncIterator[Front]:
    """The gate, up until the end; then its record must be whole, and reconcile with the PDP's."""
    async with AsyncExitStack() as stack:
        for upstream in upstreams.values():
            upstream.watched = lambda: written(directory)
            await stack.enter_async_context(recording(upstream))
        given = {name: {"assertion": True, **told} for name, told in (entries or {}).items()}
        urls = {name: {"url": upstreams[name].url} if name in upstreams else {} for name in (*upstreams, *given)}
        urls = {name: {**told, **given.get(name, {})} for name, told in urls.items()}
        prepared(directory, urls, catalog)
        prepare(directory)
        with ExitStack() as blocking:
            running = await asyncio.to_thread(blocking.enter_context, laptop.up(directory, "--no-restart"))
            try:
                trust = ssl.create_default_context(cafile=running.endpoint.ca_file)
                connector = aiohttp.TCPConnector(ssl=trust, limit=0)
                async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as http:
                    made = Front(running, upstreams, http)
                    await made.served()
                    yield made
            finally:
                await asyncio.to_thread(blocking.close)
        whole(made)


def prepared(directory: Path, upstreams: Mapping[str, Entry], catalog: Mapping[str, Any]) -> None:
    """Whoever has the role may use all of it; the hour of the day has no say."""
    laptop.init(directory)
    for name in ("business_hours.cedar", "business_hours.test.yaml"):
        (directory / "policies" / name).unlink()
    (directory / "policies/through.cedar").write_text(POLICY)
    merge(directory / "policies/catalog.yaml", {"upstreams": upstreams, **catalog})
    merge(directory / "policies/roles.yaml", {"roles": {ROLE: {"permissions": [*_PERMISSIONS]}}})
    pep = yaml.safe_load((directory / "pep.yaml").read_text())
    pep["issuers"][0]["roles"]["map"][ROLE] = ROLE
    pep["egress"] = sorted({urlsplit(entry["url"]).netloc for entry in upstreams.values()})
    (directory / "pep.yaml").write_text(yaml.safe_dump(pep))
    laptop.patient(directory)  # a crowd of callers on a busy machine is no outage


def put(file: Path, text: str) -> None:
    """Into a folder that is followed, where half a file must never stand."""
    fresh = file.parent.parent / f".{file.name}"
    fresh.write_text(text)
    fresh.replace(file)


def merge(file: Path, more: Mapping[str, Any]) -> None:
    document = yaml.safe_load(file.read_text())
    for key, value in more.items():
        old = document.get(key)
        document[key] = [*(old or []), *value] if isinstance(value, list) else {**(old or {}), **value}
    plain = json.loads(json.dumps(document))  # what stands there twice would become an anchor
    put(file, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def written(directory: Path) -> int:
    """How much the PEP has on record at this moment."""
    return sum(file.stat().st_size for file in (directory / "audit").glob("pep-*/*.jsonl"))


def whole(made: Front) -> None:
    """N27: verified, reconciled, and no call reached an upstream before its intent was on record."""
    verified = laptop.here("audit", "verify", made.directory)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    reconciled = laptop.here("audit", "reconcile", made.directory)
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
    intents, outcomes = intended(made.directory)
    for name, upstream in made.upstreams.items():
        for call in upstream.calls():
            decision = claims(call).get("sallyport_decision")
            if decision is not None:
                assert intents[decision] <= call.written, (
                    f"{name} got a call of {call.params['name']} before its intent"
                )
    assert intents.keys() <= outcomes


def intended(directory: Path) -> tuple[dict[str, int], set[str]]:
    """Where each intent ends in the record, and of which there is an outcome."""
    ends, outcomes, at = {}, set(), 0
    for file in sorted((directory / "audit").glob("pep-*/*.jsonl")):
        for line in file.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # it is being written
            at += len(line)
            record = json.loads(line)
            if record["kind"] == "intent":
                ends[record["decision_id"]] = at
            elif record["kind"] == "outcome":
                outcomes.add(record["decision_id"])
    return ends, outcomes


def claims(got: Any) -> dict[str, Any]:
    """Of the assertion that came with a request, unverified; none: there was none."""
    assertion = got.headers.get("sallyport-identity")
    if assertion is None:
        return {}
    found: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    return found


__all__ = ["LEGACY", "MODERN", "Answered", "Front", "front", "tool"]
