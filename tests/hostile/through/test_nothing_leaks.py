"""N8, N17, N20: of a client's headers, token and `_meta` nothing reaches an upstream; what does is the gate's own word."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest

from sallyport.runtime import canonical_json
from tests.hostile.through.front import LEGACY, MODERN, Front, claims, front, intended, tool
from tests.support import laptop
from tests.support.recording_upstream import Recording, Seen
from tests.support.upstream_leg import until

AUDIENCE = "https://crm.example"
CANARY = "cAnArY51d0aa"
OURS = {
    *("host", "content-type", "accept", "accept-encoding", "user-agent", "content-length", "mcp-protocol-version"),
    *("mcp-method", "mcp-name", "mcp-session-id", "x-service-key", "sallyport-identity"),
}
NAMES = (
    *("Cookie", "X-User-ID", "X-User", "X-Agent-ID", "X-Org-ID", "X-Tenant", "X-Remote-User", "Remote-User"),
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User", "X-Forwarded-Email", "X-Real-IP"),
    *("X-Forwarded-Access-Token", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Host", "Via"),
    *("Mcp-Session-Id", "Last-Event-ID", "Sallyport-Identity", "sallyport-identity", "SALLYPORT-IDENTITY"),
    *("Sallyport_Identity", "X_User_ID", "X-Service-Key", "X_Service_Key", "x-service-key", "X-Api-Key", "Api-Key"),
    *("Proxy-Authorization", "X-Authorization", "X-Access-Token", "X-Amz-Security-Token", "X-Goog-Iap-Jwt-Assertion"),
    *("traceparent", "tracestate", "baggage", "b3", "X-B3-TraceId", "uber-trace-id", "X-Request-Id", "Origin"),
    *("Referer", "From", "User-Agent", "Accept-Language", "If-None-Match", "Range", "TE", "Trailer", "Mcp-Param-Tag"),
)
HOSTILE = [
    *([(name, CANARY)] for name in NAMES),
    [("Forwarded", f"for={CANARY};host={CANARY};proto=https;by={CANARY}")],
    [("Cookie", f"session={CANARY}"), ("Cookie", f"other={CANARY}")],
    [("Connection", f"close, {CANARY}, X-Service-Key"), (CANARY, CANARY)],
    [("Connection", "Sallyport-Identity, Authorization, X-Service-Key, Mcp-Name")],
    [("Authorization", f"Bearer {CANARY}")],
    [("Authorization", f"Basic {base64.b64encode(CANARY.encode()).decode()}")],
    [("Mcp-Method", f"{CANARY}")],
    [("Mcp-Name", f"{CANARY}")],
    [("Content-Type", f"application/json; {CANARY}=1")],
    [("Accept", f"text/{CANARY}")],
    [("Accept-Encoding", f"gzip, {CANARY}")],
    [("MCP-Protocol-Version", CANARY)],
    [("Transfer-Encoding", CANARY)],
    [("Content-Encoding", CANARY)],
    [("Expect", CANARY)],
    [("Upgrade", CANARY), ("Connection", "upgrade")],
]
HOSTS = (
    "evil.example",
    f"{CANARY}.example",
    "localhost@evil.example",
    f"localhost:{CANARY}",
    "127.0.0.1:1",
    "crm.example",
)


def shown(directory: Path) -> None:
    folder = directory / "upstreams/modern"
    folder.mkdir(parents=True)
    (folder / "credential").write_text("key-of-the-first-day")
    (folder / "credential").chmod(0o600)


def entry(**told: Any) -> dict[str, Any]:
    return {"assertion": True, "audience": AUDIENCE, **told}


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    modern, legacy = Recording(), Recording(LEGACY, sessions=True)
    modern.offer("echo")
    modern.offer("drop", annotations={"destructiveHint": True})
    legacy.offer("old_echo")
    modern.results["prompts/list"] = {"prompts": [{"name": "greet", "arguments": [{"name": "who"}]}]}
    modern.results["prompts/get"] = {"messages": []}
    modern.results["resources/read"] = {"contents": []}
    modern.results["completion/complete"] = {"completion": {"values": []}}
    catalog = {
        "tools": [
            tool("modern", modern.tools["echo"]),
            tool("modern", modern.tools["drop"], effect="destructive"),
            tool("legacy", legacy.tools["old_echo"]),
        ],
        "resources": [{"prefix": "crm://", "upstream": "modern"}],
    }
    entries = {"modern": entry(credential="x-service-key"), "legacy": entry(era=LEGACY)}
    directory = tmp_path_factory.mktemp("leaks") / "laptop"
    upstreams = {"modern": modern, "legacy": legacy}
    async with front(directory, upstreams, catalog, entries=entries, prepare=shown) as made:
        yield made


def everything(gate: Front) -> bytes:
    return b"\n".join(one.whole for upstream in gate.upstreams.values() for one in upstream.seen)


def last(gate: Front, tool: str, upstream: str = "modern") -> Seen:
    return gate.upstreams[upstream].calls(tool)[-1]


@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.parametrize("name", ["echo", "old_echo"])
async def test_n8_no_header_of_a_client_reaches_an_upstream(gate: Front, name: str, era: str) -> None:
    through = 0
    for headers in HOSTILE:
        answered = await gate.call(name, {"tag": "x"}, era=era, headers=headers)
        through += "result" in answered.message
    for host in HOSTS:
        answered = await gate.call(name, {"tag": "x"}, era=era, headers=[("Host", host)])
        through += "result" in answered.message
    assert through > 40, "too few of these requests get through for this to say anything"
    sent = everything(gate).lower()
    assert CANARY.lower().encode() not in sent
    assert base64.b64encode(CANARY.encode()).lower() not in sent
    assert b"evil.example" not in sent


async def test_n8_every_header_that_goes_out_is_ours_and_stands_there_once(gate: Front) -> None:
    await gate.call("echo", headers=[("X-Service-Key", CANARY), ("Sallyport-Identity", CANARY)])
    await gate.call("old_echo", headers=[("X-Service-Key", CANARY), ("Mcp-Session-Id", CANARY)])
    for upstream in gate.upstreams.values():
        for seen in upstream.seen:
            names = [name for name, _ in seen.pairs]
            assert len(set(names)) == len(names), seen.pairs
            assert set(names) <= OURS, seen.pairs
            assert seen.target == "/mcp"
            assert seen.headers["host"] == f"127.0.0.1:{upstream.port}"


async def test_n17_no_part_of_the_callers_token_goes_out(gate: Front) -> None:
    for name in ("echo", "old_echo"):
        for era in (MODERN, LEGACY):
            await gate.call(name, {"tag": "x"}, era=era)
    sent = everything(gate)
    for token in gate.tokens.values():
        for part in token.split("."):
            pieces = {part[start : start + 32] for start in range(max(1, len(part) - 31))}
            assert not [piece for piece in pieces if piece.encode() in sent]
        assert jwt.decode(token, options={"verify_signature": False})["jti"].encode() not in sent


async def test_n8_nothing_of_meta_goes_out_but_what_the_gate_says_itself(gate: Front) -> None:
    hostile = {"authorization": CANARY, "sallyport.io/user": CANARY, "tracestate": CANARY, "baggage": f"user={CANARY}"}
    more = {"io.modelcontextprotocol/clientInfo": {"name": CANARY, "version": CANARY}, "progressToken": CANARY}
    capable: dict[str, Any] = {
        "io.modelcontextprotocol/clientCapabilities": {"experimental": {CANARY: {}}, "roots": {CANARY: {}}}
    }
    for meta in (hostile, more, capable):
        for name in ("echo", "old_echo"):
            assert (await gate.ask("tools/call", {"name": name, "arguments": {}, "_meta": meta})).result
    assert CANARY.encode() not in everything(gate)


@pytest.mark.parametrize(("name", "upstream"), [("echo", "modern"), ("old_echo", "legacy")])
async def test_n17_the_assertion_verifies_and_names_who_calls_and_what_was_judged(
    gate: Front, name: str, upstream: str
) -> None:
    arguments: dict[str, Any] = {"b": [1.0, "é", None], "a": {"z": 1, "y": "\u2028"}}
    assert (await gate.call(name, arguments)).result
    seen = last(gate, name, upstream)
    token = seen.headers["sallyport-identity"]
    published = jwt.PyJWKSet.from_dict(await keys(gate))
    key = published[jwt.get_unverified_header(token)["kid"]]
    told = jwt.decode(token, key, ["ES256"], audience=AUDIENCE, issuer="https://gate.sallyport.test")
    assert (told["sub"], told["act"], told["org_id"]) == ("alice", {"sub": "coding-bot"}, "acme")
    assert told["sallyport_issuer"] == "laptop"
    assert told["sallyport_digest"] == hashlib.sha256(canonical_json.encode(arguments)).hexdigest()
    assert told["exp"] - told["iat"] <= 60
    assert gate.record("intent", decision_id=told["sallyport_decision"])[0]["user"] == "alice"


async def keys(gate: Front) -> dict[str, Any]:
    url = gate.running.endpoint.mcp_url.removesuffix("/mcp") + "/.well-known/jwks.json"
    async with gate.http.get(url) as response:
        found: dict[str, Any] = await response.json()
    assert all("d" not in key for key in found["keys"])
    return found


async def test_n17_the_gate_itself_takes_no_assertion_for_a_token(gate: Front) -> None:
    await gate.call("echo")
    assertion = last(gate, "echo").headers["sallyport-identity"]
    before = len(gate.upstreams["modern"].calls())
    url = gate.running.endpoint.mcp_url
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
    headers = {
        "Authorization": f"Bearer {assertion}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": LEGACY,
    }
    async with gate.http.post(url, data=json.dumps(body), headers=headers) as response:
        assert response.status == 401
    assert len(gate.upstreams["modern"].calls()) == before


async def test_n8_the_credential_comes_from_its_file_and_is_followed(gate: Front) -> None:
    await gate.call("echo")
    assert last(gate, "echo").headers["x-service-key"].startswith("key-of-the-")
    file = gate.directory / "upstreams/modern/credential"
    file.write_text("key-of-the-next-day")
    deadline = time.monotonic() + 60
    while last(gate, "echo").headers["x-service-key"] != "key-of-the-next-day":
        assert time.monotonic() < deadline
        assert (await gate.call("echo")).result
    for service in ("pdp", "pep"):
        assert "key-of-the-" not in gate.running.log(service)
    assert "key-of-the-" not in json.dumps(laptop.records(gate.directory))


async def test_n27_an_intent_is_on_record_before_a_byte_goes_out_and_an_outcome_after(gate: Front) -> None:
    for name in ("echo", "drop", "old_echo"):
        assert (await gate.call(name)).result
        upstream = "legacy" if name == "old_echo" else "modern"
        seen = last(gate, name, upstream)
        decision = str(claims(seen)["sallyport_decision"])
        ends, _ = intended(gate.directory)
        assert 0 < ends[decision] <= seen.written
        await until(partial(has_outcome, gate, decision))


def has_outcome(gate: Front, decision: str) -> bool:
    return decision in intended(gate.directory)[1]


async def test_n20_no_argument_changes_where_or_how_a_request_goes(gate: Front) -> None:
    """Neither host, path, method nor a header, whatever stands in arguments, tool names, URIs."""
    for hostile in ("x\r\nX-Evil: 1", "../../admin", "http://elsewhere.example/", "?a=b#c", "\x00", "\u2028"):
        await gate.call("echo", {"url": hostile, "headers": {"Host": hostile}, hostile: hostile})
        await gate.ask("resources/read", {"uri": f"crm://x/{hostile}"})
    for seen in gate.upstreams["modern"].seen:
        assert (seen.verb, seen.target) == ("POST", "/mcp")
        assert {name for name, _ in seen.pairs} <= OURS
        assert seen.headers["host"] == f"127.0.0.1:{gate.upstreams['modern'].port}"
