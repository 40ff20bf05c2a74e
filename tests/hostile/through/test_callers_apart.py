"""N1: callers with equal ids, at once, through upstreams of both eras: nobody's bytes reach anybody else."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from tests.hostile.through.front import LEGACY, MODERN, Front, claims, front, tool
from tests.hostile.through.sdk_server import DEFINITION, Sdk, sdk, who
from tests.support.recording_upstream import Recording, Seen, complete
from tests.support.upstream_leg import chunk, event, result, stream_head

CALLERS: Final = (
    *(
        {"user": user, "agent": agent, "org": "acme"}
        for user in ("alice", "bob")
        for agent in ("coding-bot", "chat-bot")
    ),
    *({"user": user, "agent": "coding-bot", "org": "globex"} for user in ("alice", "carol")),
)
TOOLS: Final = ("late", "old_late", "stateless_late", "sdk_echo")
ROUNDS: Final = 4


async def late(seen: Seen, _reader: Any, writer: Any) -> None:
    """Progress that names the tag, a pause of any length, and the tag."""
    tag, token = seen.arguments["tag"], seen.params.get("_meta", {}).get("progressToken")
    progress = {"progressToken": token, "progress": 1, "total": 2, "message": tag}
    told = {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}
    writer.write(stream_head() + (chunk(event(told)) if token is not None else b""))
    await asyncio.sleep(random.random() / 20)
    writer.write(chunk(event(result(seen, complete(tag)))) + chunk(b""))


@pytest.fixture(scope="module")
def stateful() -> Iterator[Sdk]:
    with sdk() as made:
        yield made


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory, stateful: Sdk) -> AsyncIterator[Front]:
    upstreams = {"modern": Recording(), "old": Recording(LEGACY, sessions=True), "stateless": Recording(LEGACY)}
    for name, upstream in zip(TOOLS, upstreams.values(), strict=False):
        upstream.offer(name, late)
    found = [tool(at, one) for at, upstream in upstreams.items() for one in upstream.tools.values()]
    entries = {
        "modern": {},
        "old": {"era": LEGACY},
        "stateless": {"era": LEGACY},
        "sdk": {"era": LEGACY, "url": stateful.url},
    }
    directory = tmp_path_factory.mktemp("apart") / "laptop"
    catalog = {"tools": [*found, tool("sdk", DEFINITION)]}
    async with front(directory, upstreams, catalog, entries=entries) as made:
        yield made


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_n1_no_answer_and_no_progress_reaches_another_caller(gate: Front, era: str) -> None:
    """All with the same id and the same progress token, all at once, through all upstreams."""
    serials = itertools.count()

    async def one(who: dict[str, str], name: str) -> None:
        tag = f"{who['user']}/{who['agent']}/{who['org']}/{name}/{next(serials)}"
        params = {"name": name, "arguments": {"tag": tag}, "_meta": {"progressToken": 1}}
        answered = await gate.ask("tools/call", params, era=era, number=1, **who)
        assert (answered.message["id"], answered.text) == (1, tag)
        assert [told["params"]["message"] for told in answered.heard] == [tag]
        assert [told["params"]["progressToken"] for told in answered.heard] == [1]

    crowd = [one(dict(who), name) for _ in range(ROUNDS) for who in CALLERS for name in TOOLS]
    random.shuffle(crowd)
    await asyncio.gather(*crowd)


async def test_n1_the_gate_uses_no_id_and_no_progress_token_twice(gate: Front) -> None:
    await asyncio.gather(*(gate.call("late", {"tag": "x"}, number=1, **dict(who)) for who in CALLERS))
    for upstream in gate.upstreams.values():
        ids = Counter(seen.id for seen in upstream.calls())
        assert not [one for one, count in ids.items() if count > 1]


async def test_n1_a_session_of_a_stateful_upstream_serves_one_user_agent_and_org(gate: Front, stateful: Sdk) -> None:
    crowd = [gate.call(name, {"tag": "x"}, **dict(who)) for who in CALLERS for name in ("old_late", "sdk_echo") * 3]
    for answered in await asyncio.gather(*crowd):
        assert answered.text == "x"
    callers = {tuple(one.values()) for one in CALLERS}
    seen: dict[str, set[tuple[str, str, str]]] = {}
    for call in gate.upstreams["old"].calls():
        seen.setdefault(call.headers["mcp-session-id"], set()).add(who(call.headers["sallyport-identity"]))
    for sessions in (seen, stateful.sessions):
        served = Counter(person for people in sessions.values() for person in people if person[0])
        assert all(len(people) == 1 for people in sessions.values()), sessions
        assert served == Counter(callers)  # one each: used again, and never shared
    assert not [call for call in gate.upstreams["stateless"].calls() if "mcp-session-id" in call.headers]


async def test_n1_each_call_is_told_for_its_own_caller(gate: Front) -> None:
    """The assertion that came with a tag names who sent that tag."""
    sent = [(dict(one), name) for one in CALLERS for name in TOOLS[:3]]
    tags = ["#".join(("told", *one.values(), name)) for one, name in sent]
    crowd = [gate.call(name, {"tag": tag}, **one) for (one, name), tag in zip(sent, tags, strict=True)]
    await asyncio.gather(*crowd)
    for upstream in gate.upstreams.values():
        for call in upstream.calls():
            word, _, rest = call.arguments["tag"].partition("#")
            if word == "told":
                assert "#".join(who(call.headers["sallyport-identity"])) == rest.rpartition("#")[0]
                assert claims(call)["sallyport_issuer"] == "laptop"
