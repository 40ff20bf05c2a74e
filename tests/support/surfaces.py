"""A gate with everything that MCP has behind it: an upstream that says what a test tells it to, and who may use what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from sallyport.pep.model import Answer, Json, Request
from tests.support import gate as gates
from tests.support.fake_server import fake_server
from tests.support.gate import META as BARE_META
from tests.support.gate import Gate, body
from tests.support.upstream_leg import MODERN, Got, Opponent, answer

CAPABILITIES: Final[dict[str, Any]] = {"roots": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}
META: Final = {**BARE_META, "io.modelcontextprotocol/clientCapabilities": CAPABILITIES}
ROLE: Final = "everything"
PERMISSIONS: Final = (
    "tools:list",
    "tools:call",
    "resources:list",
    "resources:read",
    "prompts:list",
    "prompts:get",
    "completion:complete",
    "system:manage",
)
POLICY: Final = """\
@id("surfaces.use")
permit (principal, action, resource)
when { resource is Tool || resource is Prompt || resource is McpResource };

@id("surfaces.hidden_prompt")
forbid (principal, action, resource == Prompt::"hidden");

@id("surfaces.hidden_resource")
forbid (principal, action, resource == McpResource::"test://hidden");

@id("surfaces.hidden_tool")
forbid (principal, action == Action::"hidden", resource);
"""
REGION: Final = {"type": "string", "x-mcp-header": "Region"}
_PROMPTS: Final = ("greet", "hidden", "elsewhere")


def _tool(name: str, upstream: str = "one", **input_: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": input_, "additionalProperties": False}
    return {"name": name, "effect": "read_only", "provider": {"upstream": upstream}, "input": schema}


def entries(url: str) -> dict[str, Any]:
    """What the catalog has besides the shipped tools, of two upstreams that are one server and differ by their paths."""
    return {
        "upstreams": {"one": {"url": url, "era": MODERN}, "two": {"url": f"{url}/two", "era": MODERN}},
        "tools": [
            _tool("echo", text={"type": "string"}),
            _tool("ask", "one", text={"type": "string"}),
            _tool("ask_too", "two", text={"type": "string"}),
            _tool("start"),
            _tool("start_too", "two"),
            _tool("hidden"),
            _tool("crossed", area={**REGION}, region={"type": "string"}),
            _tool("placed", region=REGION, deep={"type": "object", "properties": {"n": {"type": "integer"}}}),
        ],
        "prompts": [
            {"name": name, "upstream": "one", "arguments": [{"name": "who", "required": True}, {"name": "how"}]}
            for name in _PROMPTS
        ]
        + [{"name": "read_file", "upstream": "one", "arguments": [{"name": "path"}]}],
        "resources": [
            {"uri": "test://plain", "upstream": "one"},
            {"uri": "test://hidden", "upstream": "one"},
            {"prefix": "test://folder/", "upstream": "one"},
            {"template": "test://item/{id}", "upstream": "one"},
            {"prefix": "two://", "upstream": "two"},
        ],
        "servers": {
            "small": {"tools": ["echo", "start"], "prompts": ["greet"], "resources": ["test://plain"]},
            "other": {"tools": ["ask"], "prompts": ["elsewhere"], "resources": ["test://folder/"]},
        },
    }


def prepared(url: str) -> Callable[[Path], None]:
    """Put all of it into a fresh directory."""

    def prepare(directory: Path) -> None:
        (directory / "policies/surfaces.cedar").write_text(POLICY)
        merge(directory / "policies/catalog.yaml", entries(url))
        merge(directory / "policies/roles.yaml", {"roles": {ROLE: {"permissions": [*PERMISSIONS]}}})
        pep = yaml.safe_load((directory / "pep.yaml").read_text())
        pep["issuers"][0]["roles"]["map"][ROLE] = ROLE
        pep["egress"] = [url.removeprefix("http://").partition("/")[0]]
        (directory / "pep.yaml").write_text(yaml.safe_dump(pep))

    return prepare


def merge(file: Path, more: dict[str, Any]) -> None:
    document = yaml.safe_load(file.read_text())
    for key, value in more.items():
        old = document.get(key)
        document[key] = [*(old or []), *value] if isinstance(value, list) else {**(old or {}), **value}
    file.write_text(yaml.safe_dump(document, sort_keys=False))


Say = Callable[[Got], Mapping[str, Any]]


def usual(got: Got) -> Mapping[str, Any]:  # noqa: PLR0911 — a table
    """What an honest upstream answers."""
    named = got.message["params"].get("name", "")
    match got.method:
        case "tools/call" if named.startswith("ask") and "requestState" not in got.message["params"]:
            form = {"method": "roots/list", "params": {}}
            return {"resultType": "input_required", "inputRequests": {"r": form}, "requestState": f"state-of-{named}"}
        case "tools/call" if named.startswith("start"):
            about = {"status": "working", "createdAt": "2026-11-21T00:00:00Z", "lastUpdatedAt": "2026-11-21T00:00:00Z"}
            return {"resultType": "task", "taskId": f"task-of-{named}", "ttlMs": None, **about}
        case "tools/call":
            return {"resultType": "complete", "content": [{"type": "text", "text": "said"}]}
        case "prompts/get":
            message = {"role": "user", "content": {"type": "text", "text": "hello"}}
            return {"resultType": "complete", "messages": [message]}
        case "resources/read":
            found = {"uri": got.message["params"]["uri"], "text": "read"}
            return {"resultType": "complete", "contents": [found], "ttlMs": 0, "cacheScope": "private"}
        case "completion/complete":
            return {"resultType": "complete", "completion": {"values": ["a", "b"]}}
        case "tasks/get" | "tasks/update" | "tasks/cancel":
            about = {"status": "working", "createdAt": "2026-11-21T00:00:00Z", "lastUpdatedAt": "2026-11-21T00:00:00Z"}
            return {"resultType": "complete", "taskId": got.message["params"]["taskId"], "ttlMs": None, **about}
        case "resources/list":
            return _page("resources", "uri", got)
        case "resources/templates/list":
            return {"resultType": "complete", "resourceTemplates": [{"uriTemplate": "test://item/{id}", "name": "i"}]}
    raise AssertionError(f"the gate asked for {got.method}")


def _page(key: str, name: str, got: Got) -> Mapping[str, Any]:
    """Two pages: what the catalog has, and what it doesn't."""
    first = "cursor" not in got.message["params"]
    uris = ["test://plain", "test://hidden", "test://nowhere"] if first else ["test://folder/x", "file:///etc/passwd"]
    page = {key: [{name: uri, "name": uri, "_meta": {"x": 1}, "icons": []} for uri in uris]}
    return {"resultType": "complete", **page, **({"nextCursor": "second"} if first else {})}


@dataclass
class Surfaces:
    """The gate, and what its upstream got."""

    gate: Gate
    opponent: Opponent
    said: list[Say] = field(default_factory=lambda: [usual])

    @property
    def got(self) -> list[Got]:
        """All that was asked of the upstream but for what comes first."""
        return [one for one in self.opponent.got if one.method != "server/discover"]

    def request(self, method: str, params: dict[str, Any] | None = None, server: str = "", **who: Any) -> Request:
        """By alice via coding-bot, whose client can do all that an upstream may ask for, or by `who`."""
        told = {"_meta": META, **(params or {})}
        return replace(self.gate.request(method, told, **{"roles": (ROLE,), **who}), server=server)

    async def ask(self, method: str, params: dict[str, Any] | None = None, server: str = "", **who: Any) -> Told:
        return await self.send(self.request(method, params, server, **who))

    async def send(self, request: Request) -> Told:
        heard: list[tuple[str, Mapping[str, Json]]] = []

        async def emit(method: str, params: Mapping[str, Json]) -> None:
            heard.append((method, params))

        answered = await self.gate.handle(request, emit)
        return Told(answered, heard, self)


@dataclass
class Told:
    """One answer, with what its stream said before and what the record says of it."""

    answer: Answer
    heard: list[tuple[str, Mapping[str, Json]]]
    surfaces: Surfaces

    @property
    def body(self) -> dict[str, Any]:
        return body(self.answer)

    @property
    def result(self) -> dict[str, Any]:
        found = self.body.get("result")
        assert found is not None, self.body
        return dict(found)

    @property
    def error(self) -> dict[str, Any]:
        found = self.body.get("error")
        assert found is not None, self.body
        return dict(found)

    @property
    def shape(self) -> tuple[int, int, str, frozenset[str]]:
        """All that a refusal shows of itself but which decision it was."""
        return self.answer.status, self.error["code"], self.error["message"], frozenset(self.error["data"])

    def reason(self) -> str:
        """Why it was refused, as the record has it."""
        decision = self.error["data"]["decision_id"]
        found = [one for one in self.surfaces.gate.records() if one.get("decision_id") == decision]
        assert [one["kind"] for one in found] == ["refusal"], found
        return str(found[0]["reason"])


@asynccontextmanager
async def surfaces(directory: Path) -> AsyncIterator[Surfaces]:
    """The gate before an upstream; what it approved is taken to be what the upstream has (see Definitions)."""
    said: list[Say] = [usual]

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(got, dict(said[-1](got))))

    opponent = Opponent(say)
    async with fake_server(opponent) as port:
        prepare = prepared(f"http://127.0.0.1:{port}/mcp")
        async with gates.gate(directory, without=("business_hours.cedar",), prepare=prepare) as opened:
            yield Surfaces(trusting(opened), opponent, said)


def trusting(opened: Gate, quarantined: Mapping[str, str] | None = None) -> Gate:
    """The same gate with exactly this in quarantine."""

    def held(_digest: str) -> Mapping[str, str]:
        return quarantined or {}

    lists = replace(opened.rooms.lists, quarantined=held)
    listening = replace(opened.rooms.listening, lists=lists)
    return opened.with_hands(quarantined=held).with_rooms(lists=lists, listening=listening)
