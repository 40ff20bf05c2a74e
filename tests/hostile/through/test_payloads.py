"""N19, N20: lists of attacks in every place where a client can put text: no canary sings, and upstreams get it verbatim."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import quote

import pytest

from sallyport.pep.upstream.pin import pin
from tests.hostile.egress.test_canaries import Canaries, urls
from tests.hostile.through.front import Front, front, tool
from tests.support.attacks import texts
from tests.support.attacks.lists import PAYLOADS, both
from tests.support.recording_upstream import Recording

FILES: Final = (
    "command-injection_intruder_command-execution-unix.txt",
    "directory-traversal_intruder_directory_traversal.txt",
    "sql-injection_intruder_sqli_polyglots.txt",
    "sql-injection_intruder_auth_bypass.txt",
)
EVERY: Final = 12  # of the long list, of which many lines are alike
AT_ONCE: Final = 8
SECRETS: Final = ("root:x:0", "root:*:0", "BEGIN PRIVATE KEY", "uid=0")
METHODS: Final = (
    *("tools/call", "prompts/get", "resources/list", "resources/templates/list"),
    *("tasks/get", "tasks/cancel"),
)
Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    with ExitStack() as stack:
        yield Canaries(stack)


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    upstream = Recording()
    upstream.offer("echo")
    prompt: dict[str, Any] = {"name": "greet", "arguments": [{"name": "who"}]}
    upstream.results |= {
        "prompts/list": {"prompts": [prompt]},
        "prompts/get": {"messages": []},
        "resources/read": {"contents": []},
        "resources/list": {"resources": []},
        "completion/complete": {"completion": {"values": []}},
    }
    catalog = {
        "tools": [tool("crm", upstream.tools["echo"])],
        "prompts": [{**prompt, "upstream": "crm", "pin": pin(prompt)}],
        "resources": [{"prefix": "crm://", "upstream": "crm"}, {"template": "item://{id}/x", "upstream": "crm"}],
    }
    directory = tmp_path_factory.mktemp("payloads") / "laptop"
    async with front(directory, {"crm": upstream}, catalog, entries={"crm": {"assertion": True}}) as made:
        yield made


@pytest.fixture(scope="module", params=both(PAYLOADS))
def payloads(canaries: Canaries, request: pytest.FixtureRequest) -> list[str]:
    """URLs lead to the canaries' port, too; the rest stands as it is."""
    source: str = request.param
    pointed = {re.sub(r":(80|443|22|11211|11111|25)\b", f":{canaries.port}", url) for url in urls(source)}
    ours = {f"http://{host}:{canaries.port}/" for host in ("127.0.0.1", "127.0.0.2", "[::1]", "0.0.0.0", "localhost")}
    found = sorted({*pointed, *ours, *(_own() if source == "own" else _public())} - {""})
    assert len(found) > 600
    return found


def _own() -> list[str]:
    return [*texts.traversals(), *texts.commands(), *texts.statements()]


def _public() -> list[str]:
    lines = [line for name in FILES for line in _text(name).splitlines()]
    return lines + _text("directory-traversal_intruder_deep_traversal.txt").splitlines()[::EVERY]


def _text(name: str) -> str:
    return (PAYLOADS / name).read_text(errors="replace")


async def each(payloads: Iterable[str], ask: Ask) -> list[Any]:
    """All of them, some at once."""
    left = iter(payloads)
    told: list[Any] = []

    async def some() -> None:
        told.extend([await ask(payload) for payload in left])

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return told


def quiet(gate: Front, canaries: Canaries, told: list[Any]) -> None:
    assert canaries.connects() == 0
    leaked = [one.message for one in told if any(secret in str(one.message) for secret in SECRETS)]
    assert not leaked
    assert not [one.status for one in told if one.status >= 500]
    targets = {(seen.verb, seen.target) for seen in gate.upstreams["crm"].seen}
    assert targets == {("POST", "/mcp")}


async def test_n20_an_upstream_gets_arguments_verbatim_or_nothing(
    gate: Front, canaries: Canaries, payloads: list[str]
) -> None:
    upstream = gate.upstreams["crm"]
    before = len(upstream.calls("echo"))
    told = await each(payloads, lambda one: gate.call("echo", {"url": one, "deep": {one: [one]}}))
    quiet(gate, canaries, told)
    got = [call.arguments for call in upstream.calls("echo")[before:]]
    assert all(one == {"url": one["url"], "deep": {one["url"]: [one["url"]]}} for one in got)
    assert {one["url"] for one in got} <= set(payloads)
    assert len(got) == sum("result" in one.message for one in told) > len(payloads) * 0.9


HOSTED: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "read_file": lambda one: {"path": one},
    "list_files": lambda one: {"path": f"alice/{one}"},
    "database_query": lambda one: {"table": one},
}


@pytest.mark.parametrize("name", HOSTED)
async def test_n20_hosted_tools_reach_nothing_but_what_is_theirs(
    gate: Front, canaries: Canaries, payloads: list[str], name: str
) -> None:
    told = await each(payloads[::2], lambda one: gate.call(name, HOSTED[name](one), roles=("developer",)))
    quiet(gate, canaries, told)


async def test_n20_a_resources_uri_arrives_as_it_was_judged_or_not_at_all(
    gate: Front, canaries: Canaries, payloads: list[str]
) -> None:
    upstream = gate.upstreams["crm"]
    before = len(upstream.calls(method="resources/read"))
    asked = [one[:2000] for one in payloads[::2]]
    asked += [f"crm://{one}"[:2000] for one in asked] + [f"item://{quote(one, safe='')}/x"[:2000] for one in asked]
    told = await each(asked, lambda one: gate.ask("resources/read", {"uri": one}))
    quiet(gate, canaries, told)
    for seen in upstream.calls(method="resources/read")[before:]:
        uri = seen.params["uri"]
        assert uri in asked
        assert uri.startswith(("crm://", "item://"))
        assert ".." not in re.split(r"[/?#:]", uri.replace("%2e", ".").replace("%2E", "."))


async def test_n20_names_prompts_cursors_and_tasks_lead_nowhere(
    gate: Front, canaries: Canaries, payloads: list[str]
) -> None:
    upstream = gate.upstreams["crm"]
    few = payloads[::9]
    before = len(upstream.calls(method="prompts/get"))
    told = await each(few, lambda one: gate.ask("prompts/get", {"name": "greet", "arguments": {"who": one}}))
    assert {seen.arguments["who"] for seen in upstream.calls(method="prompts/get")[before:]} <= set(few)
    ways: list[Ask] = [
        lambda one: gate.call(one[:128], {}),
        lambda one: gate.ask("prompts/get", {"name": one[:128], "arguments": {}}),
        lambda one: gate.ask("resources/list", {"cursor": one}),
        lambda one: gate.ask("resources/templates/list", {"cursor": one}),
        lambda one: gate.ask("tasks/get", {"taskId": one}),
        lambda one: gate.ask("tasks/cancel", {"taskId": one}),
    ]
    calls = [len(upstream.calls(method=name)) for name in METHODS]
    for way in ways:
        refused = await each(few, way)
        assert all("error" in one.message for one in refused)
        told += refused
    assert calls == [len(upstream.calls(method=name)) for name in METHODS]
    quiet(gate, canaries, told)
