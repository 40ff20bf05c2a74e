"""A scope that a policy asks for and the token lacks: what clients of both eras see, over the wire, from a real pair."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support import laptop
from tests.support.laptop import Up
from tests.support.raw_call import META

SCOPED = """// Whoever writes, even their own, does it with a token that was given for writing.
@id("scopes.write")
@scope("mcp:write")
@advice("Ask for a token with the scope mcp:write.")
forbid (principal, action == Action::"write_file", resource)
when { resource.owner == principal.user_id }
unless { principal.scopes.contains("mcp:write") };
"""
WRITE: dict[str, Any] = {"name": "write_file", "arguments": {"path": "alice/notes.txt", "content": "new"}}


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = laptop.patient(laptop.init(tmp_path_factory.mktemp("scopes") / "laptop"))
    (directory / "policies/business_hours.cedar").unlink()
    (directory / "policies/scopes.cedar").write_text(SCOPED)
    with laptop.up(directory, "--no-restart") as running:
        running.ready()
        yield running


def write(scoped: Up, era: str, **who: Any) -> httpx2.Response:
    headers = {
        "authorization": f"Bearer {laptop.token(scoped.directory, **who)}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": era,
    }
    params = WRITE
    if era == "2026-07-28":
        headers |= {"mcp-method": "tools/call", "mcp-name": "write_file"}
        params = {"_meta": META, **WRITE}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    trust = ssl.create_default_context(cafile=scoped.endpoint.ca_file)
    with httpx2.Client(verify=trust, trust_env=False, timeout=laptop.PATIENCE) as http:
        return http.post(scoped.endpoint.mcp_url, json=message, headers=headers)


def test_a_modern_client_gets_403_with_the_scope_to_ask_for_and_where(scoped: Up) -> None:
    answer = write(scoped, "2026-07-28")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["message"]) == (403, -32010, "insufficient scope")
    assert error["data"]["scope"] == "mcp:write"
    assert error["data"]["advice"] == ["Ask for a token with the scope mcp:write."]
    origin = scoped.endpoint.mcp_url.removesuffix("/mcp")
    scheme, _, parameters = answer.headers["www-authenticate"].partition(" ")
    told = dict(part.split("=", 1) for part in parameters.split(", "))
    assert (scheme, told["error"], told["scope"]) == ("Bearer", '"insufficient_scope"', '"mcp:write"')
    metadata = told["resource_metadata"].strip('"')
    assert metadata.endswith("/.well-known/oauth-protected-resource/mcp")
    trust = ssl.create_default_context(cafile=scoped.endpoint.ca_file)
    with httpx2.Client(verify=trust, trust_env=False, timeout=laptop.PATIENCE) as http:
        assert http.get(f"{origin}/.well-known/oauth-protected-resource/mcp").status_code == 200


def test_a_legacy_client_keeps_its_session(scoped: Up) -> None:
    answer = write(scoped, "2025-11-25")
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32010)
    assert answer.json()["error"]["data"]["scope"] == "mcp:write"
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])
def test_with_the_scope_the_same_call_runs(era: str, scoped: Up) -> None:
    answer = write(scoped, era, scopes=("mcp:read", "mcp:write"))
    assert answer.status_code == 200
    assert not answer.json()["result"].get("isError")


def test_n9_to_whom_the_tool_is_hidden_no_scope_is_named(scoped: Up) -> None:
    for who in ({"roles": ("user",)}, {"roles": ("guest",)}, {"agent": "chat-bot"}):
        answer = write(scoped, "2026-07-28", **who)
        error = answer.json()["error"]
        assert (answer.status_code, error["message"]) == (200, "denied by policy")
        assert set(error["data"]) == {"decision_id"}
        assert "www-authenticate" not in answer.headers


def test_a_missing_scope_is_recorded_as_such(scoped: Up) -> None:
    decision = write(scoped, "2026-07-28").json()["error"]["data"]["decision_id"]
    (record,) = [each for each in laptop.records(scoped.directory) if each.get("decision_id") == decision]
    assert (record["reason"], record["detail"]) == ("insufficient_scope", "scope missing: mcp:write")
    assert (record["effect"], record["reasons"]) == ("deny", ["scopes.write"])
