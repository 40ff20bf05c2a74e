"""N28: what ends a permission ends the streams that stand on it, and nothing is sent after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.hostile.through.front import LEGACY, MODERN, Front, front, merge, messages, put, tool
from tests.support.recording_upstream import Recording, Seen, complete
from tests.support.second_key import SecondKey
from tests.support.upstream_leg import chunk, event, result, stream_head, until

BOUND: Final = 2.0  # seconds after the new policy set serves
ROLES: Final = ("one", "two")
PERMISSIONS: Final = ("tools:list", "tools:call", "resources:list", "resources:read")
URI: Final = "crm://ticks"
TTL: Final = 6


async def ticking(seen: Seen, _reader: Any, writer: Any) -> None:
    """Progress for as long as anybody listens."""
    token, number = seen.params["_meta"]["progressToken"], 0
    writer.write(stream_head())
    while not writer.transport.is_closing():
        number += 1
        params = {"progressToken": token, "progress": number}
        writer.write(chunk(event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})))
        await asyncio.sleep(0.05)


async def updating(seen: Seen, _reader: Any, writer: Any) -> None:
    """The resource changes all the time."""
    wanted = seen.params["notifications"]
    told = {"method": "notifications/subscriptions/acknowledged", "params": {"notifications": wanted}}
    writer.write(stream_head() + chunk(event({"jsonrpc": "2.0", **told})))
    while not writer.transport.is_closing():
        params = {"uri": URI}
        writer.write(chunk(event({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params})))
        await asyncio.sleep(0.05)


def prepare(directory: Path) -> None:
    roles = {name: {"permissions": [*PERMISSIONS]} for name in ROLES}
    merge(directory / "policies/roles.yaml", {"roles": roles})
    pep = yaml.safe_load((directory / "pep.yaml").read_text())
    pep["issuers"][0]["roles"]["map"] |= {name: name for name in ROLES}
    pep["issuers"][0]["leeway_seconds"] = 0
    (directory / "pep.yaml").write_text(yaml.safe_dump(pep))


@pytest.fixture(scope="module")
def pausing() -> Pausing:
    return Pausing()


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory, pausing: Pausing) -> AsyncIterator[Front]:
    modern, legacy = Recording(), Recording(LEGACY, sessions=True)
    limits = {"timeout_ms": 60_000}
    modern.acts["subscriptions/listen"] = updating
    catalog = {
        "tools": [
            tool("modern", modern.offer("tick", ticking), limits=limits),
            tool("modern", modern.offer("pause", pausing.act), limits=limits),
            tool("legacy", legacy.offer("old_tick", ticking), limits=limits),
        ],
        "resources": [{"uri": URI, "upstream": "modern"}],
    }
    directory = tmp_path_factory.mktemp("revoked") / "laptop"
    entries: dict[str, Any] = {"modern": {"era": MODERN}, "legacy": {"era": LEGACY}}
    upstreams = {"modern": modern, "legacy": legacy}
    async with front(directory, upstreams, catalog, entries=entries, prepare=prepare) as made:
        yield made


class Stream:
    """One open answer, read to its end; `at` are the times of its frames."""

    def __init__(self, gate: Front, method: str, params: dict[str, Any], **who: Any) -> None:
        self.gate, self.at, self.last = gate, list[float](), dict[str, Any]()
        self.ended = 0.0
        self.task = asyncio.create_task(self._read(method, params, who))

    async def _read(self, method: str, params: dict[str, Any], who: dict[str, Any]) -> None:
        async with self.gate.asked(method, params, **who) as response:
            async for message in messages(response):
                self.at.append(time.time())
                self.last = message
        self.ended = time.time()


def opened(gate: Front, **who: Any) -> list[Stream]:
    """A subscription and two long calls."""
    call = {"arguments": {}, "_meta": {"progressToken": "p"}}
    wanted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": [URI]}}
    return [
        Stream(gate, "tools/call", {"name": "tick", **call}, **who),
        Stream(gate, "tools/call", {"name": "old_tick", **call}, **who),
        Stream(gate, "subscriptions/listen", wanted, **who),
    ]


async def flowing(streams: list[Stream], frames: int = 3) -> None:
    await until(lambda: all(len(stream.at) >= frames for stream in streams))
    assert not [stream.last for stream in streams if stream.ended]


async def over(gate: Front, streams: list[Stream], since: float, bound: float) -> None:
    """Each ended in time, says that it was refused, and its upstream has heard of it."""
    took = await ended(gate, streams, since)
    assert took < bound, [stream.last for stream in streams]
    for stream in streams:
        assert stream.last["error"]["code"] == -32010, stream.last
    for call in streams[:2]:
        assert call.last["error"]["data"]["effect"] == "unknown"
    legacy = gate.upstreams["legacy"]
    await until(lambda: bool([one for one in legacy.calls(method="notifications/cancelled") if one.at >= since - 1]))


async def ended(gate: Front, streams: list[Stream], since: float) -> float:
    """How long after `since` the last of them ended, and its last frame but the refusal came."""
    await until(lambda: time.time() >= since)
    watch = gate.stopwatch()
    async with asyncio.timeout(60):
        await asyncio.gather(*(stream.task for stream in streams))
    return max(at for stream in streams for at in (stream.ended, *stream.at[:-1])) - since - watch.queued


async def served(gate: Front, before: str) -> float:
    """When another policy set serves."""
    async with asyncio.timeout(60):
        while await gate.revision() == before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.time()


async def test_n28_an_expired_token_ends_every_stream(gate: Front) -> None:
    began = int(time.time())
    streams = opened(gate, user="expiring", ttl=TTL)
    await flowing(streams)
    await over(gate, streams, began + TTL + 1, 1.0)


class Pausing:
    """One sign of progress, and the rest when the test says so."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def act(self, seen: Seen, _reader: Any, writer: Any) -> None:
        params = {"progressToken": seen.params["_meta"]["progressToken"], "progress": 1}
        told = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        writer.write(stream_head() + chunk(event(told)))
        await self.go_on.wait()
        writer.write(chunk(event(result(seen, complete("too late")))) + chunk(b""))


async def test_n28_an_answer_that_comes_too_late_for_its_stream_is_not_sent(gate: Front, pausing: Pausing) -> None:
    ends = int(time.time()) + 5
    call = {"name": "pause", "arguments": {}, "_meta": {"progressToken": "p"}}
    stream = Stream(gate, "tools/call", call, user="waiting", ttl=4)
    await flowing([stream], 1)
    await until(lambda: time.time() > ends)
    pausing.go_on.set()
    await stream.task
    assert stream.last["error"]["code"] == -32010
    assert len(stream.at) == 2


def forbidden(gate: Front, user: str) -> None:
    text = f'@id("through.{user}") forbid (principal, action, resource) when {{ principal.user_id == "{user}" }};\n'
    put(gate.directory / f"policies/{user}.cedar", text)


def without(gate: Front, role: str) -> None:
    file = gate.directory / "policies/roles.yaml"
    merge(file, {"roles": {role: {"permissions": ["completion:complete"]}}})


def no_agent(gate: Front, agent: str) -> None:
    file = gate.directory / "policies/agents.yaml"
    document = yaml.safe_load(file.read_text())
    del document["agents"][agent]
    put(file, yaml.safe_dump(document))


REVOCATIONS: Final[dict[str, tuple[Callable[[Front], None], dict[str, Any]]]] = {
    "a policy": (lambda gate: forbidden(gate, "dave"), {"user": "dave"}),
    "a role": (lambda gate: without(gate, "one"), {"user": "erin", "roles": ("one",)}),
    "an agent": (lambda gate: no_agent(gate, "chat-bot"), {"user": "frank", "agent": "chat-bot"}),
}


async def believed(gate: Front, second: SecondKey) -> bool:
    async with gate.asked("tools/list", user="heidi", signed_by=second) as response:
        return response.status == 200


async def turned(gate: Front, second: SecondKey, *, believed_now: bool) -> float:
    """When the gate has taken the key, or let it go."""
    async with asyncio.timeout(60):
        while await believed(gate, second) is not believed_now:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.time()


async def test_n28_a_key_that_is_taken_out_ends_the_streams_of_its_tokens_and_no_other(gate: Front) -> None:
    second = SecondKey(gate.directory)
    await turned(gate, second, believed_now=True)
    streams, others = opened(gate, user="heidi", signed_by=second), opened(gate, user="heidi")
    await flowing([*streams, *others])
    second.go()
    since = await turned(gate, second, believed_now=False)
    await over(gate, streams, since, BOUND)
    await flowing(others, max(len(stream.at) for stream in others) + 5)
    for stream in others:
        stream.task.cancel()
    await asyncio.gather(*(stream.task for stream in others), return_exceptions=True)


async def test_n28_a_key_that_is_taken_out_ends_what_has_fallen_silent(gate: Front, pausing: Pausing) -> None:
    second = SecondKey(gate.directory)
    await turned(gate, second, believed_now=True)
    pausing.go_on.clear()
    call = {"name": "pause", "arguments": {}, "_meta": {"progressToken": "p"}}
    wanted = {"notifications": {"promptsListChanged": True}}
    streams = [
        Stream(gate, "tools/call", call, user="ivan", signed_by=second),
        Stream(gate, "subscriptions/listen", wanted, user="ivan", signed_by=second),
    ]
    await flowing(streams, 1)
    second.go()
    since = await turned(gate, second, believed_now=False)
    assert await ended(gate, streams, since) < BOUND
    for stream in streams:
        assert len(stream.at) == 2
        assert stream.last["error"]["code"] == -32010


@pytest.mark.parametrize("level", REVOCATIONS)
async def test_n28_a_revocation_ends_the_streams_that_stand_on_it_and_no_other(gate: Front, level: str) -> None:
    revoke, who = REVOCATIONS[level]
    streams, others = opened(gate, **who), opened(gate, user="grace", roles=("two",))
    await flowing([*streams, *others])
    before = await gate.revision()
    revoke(gate)
    since = await served(gate, before)
    await over(gate, streams, since, BOUND)
    await flowing(others, max(len(stream.at) for stream in others) + 5)
    for stream in others:
        stream.task.cancel()
    await asyncio.gather(*(stream.task for stream in others), return_exceptions=True)
