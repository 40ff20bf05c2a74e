"""Nothing that a gateway says becomes an identity or a fact unless this gateway was granted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sallyport.pdp.load import load
from sallyport.pdp.model import ErrorCode, Principal
from sallyport.runtime import mounted_dir
from tests.contract.authzen.running import CLIENT, GATEWAY, RECORDS, evaluation, serving, settings

SEVERAL = {**CLIENT, "orgs": ["acme", "globex"]}
NAMING = {**{name: value for name, value in CLIENT.items() if name != "agent"}, "agents": ["gateway", "coding-bot"]}


def about(
    properties: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None, **how: Any
) -> dict[str, Any]:
    asked = evaluation(**how)
    asked["subject"]["properties"] = dict(properties or {})
    return {**asked, "context": dict(context or {})}


async def denied(directory: Path, client: Mapping[str, Any], asked: dict[str, Any], code: ErrorCode) -> None:
    async with serving(directory, client) as pdp:
        answer = await pdp.ask(asked)
        assert (answer["decision"], answer["context"]["errors"]) == (False, [code.name])
        assert [decision.verdicts[0].errors for decision in pdp.memory.decisions] == [(code,)]


async def test_the_principal_is_made_of_the_configured_issuer_agent_and_org(tmp_path: Path) -> None:
    async with serving(tmp_path) as pdp:
        await pdp.ask(about({"role": ["admin", "root"], "issuer": "laptop", "agent": "coding-bot"}))
        (decision,) = pdp.memory.decisions
    assert decision.principal == Principal("gateway", "alice", "gateway", "acme", ("member", "admin"))


@pytest.mark.parametrize("kind", ["agent", "identity", "User", ""])
async def test_a_subject_of_a_type_not_configured_is_denied(tmp_path: Path, kind: str) -> None:
    asked = about()
    asked["subject"]["type"] = kind
    await denied(tmp_path, CLIENT, asked, ErrorCode.INVALID_QUESTION)


@pytest.mark.parametrize("org", ["globex", "", "ACME", 1, None, ["acme"]])
async def test_an_org_that_the_client_may_not_speak_for_is_denied(tmp_path: Path, org: Any) -> None:
    await denied(tmp_path, CLIENT, about({"org": org}), ErrorCode.UNKNOWN_ORG)


async def test_a_client_of_several_orgs_says_which(tmp_path: Path) -> None:
    async with serving(tmp_path, SEVERAL) as pdp:
        assert await pdp.decision(about({"org": "acme"})) is True
        assert await pdp.decision(about({"org": "globex"})) is False  # acme's record
        assert await pdp.decision(about({"org": "globex"}, user="carol", record="record-9")) is True
    await denied(tmp_path, SEVERAL, about(), ErrorCode.UNKNOWN_ORG)


@pytest.mark.parametrize("agent", ["coding-bot", "", None, 7])
async def test_a_context_that_contradicts_the_configured_agent_is_denied(tmp_path: Path, agent: Any) -> None:
    await denied(tmp_path, CLIENT, about(context={"agent": agent}), ErrorCode.UNKNOWN_AGENT)


async def test_a_client_of_several_agents_names_one_of_them(tmp_path: Path) -> None:
    asked = about({"scopes": ["status"]}, {"agent": "gateway"})
    asked |= {"action": {"name": "status"}, "resource": {"type": "tool", "id": "status"}}
    naming = {**NAMING, "scopes": ["status"]}
    async with serving(tmp_path, naming) as pdp:
        assert await pdp.decision(asked) is True
        assert await pdp.decision({**asked, "context": {"agent": "coding-bot"}}) is False  # not trusted enough
    for context in ({}, {"agent": "other-bot"}, {"agent": ["gateway"]}):
        await denied(tmp_path, naming, {**asked, "context": context}, ErrorCode.UNKNOWN_AGENT)


@pytest.mark.parametrize("said", ["Admin", "member", ["admins"], []])
async def test_a_role_that_is_not_in_the_map_is_nobodys(tmp_path: Path, said: Any) -> None:
    async with serving(tmp_path) as pdp:
        assert await pdp.decision(about({"role": said}, user="bob", action="write")) is False


async def test_without_a_map_no_role_is_believed(tmp_path: Path) -> None:
    asked = about({"role": "admin"}, user="bob", action="write")
    async with serving(tmp_path, {**CLIENT, "roles": {"property": "role", "everyone": ["member"]}}) as pdp:
        assert await pdp.decision(asked) is False
    async with serving(tmp_path, {**CLIENT, "roles": {}}) as pdp:
        assert await pdp.decision(about()) is False  # no role, and so no right to call anything


@pytest.mark.parametrize("said", [1, {"admin": True}, [1], [["admin"]], None, True])
async def test_roles_that_are_no_texts_are_denied(tmp_path: Path, said: Any) -> None:
    await denied(tmp_path, CLIENT, about({"role": said}), ErrorCode.INVALID_QUESTION)


async def test_a_scope_is_believed_only_where_it_was_granted(tmp_path: Path) -> None:
    asked = about({"scopes": ["status", "everything"]})
    asked |= {"action": {"name": "tools/call"}, "resource": {"type": "tool", "id": "status"}}
    for scopes, expected in (((), False), (("status",), True)):
        async with serving(tmp_path, {**CLIENT, "scopes": scopes}) as pdp:
            assert await pdp.decision(asked) is expected
            (decision,) = pdp.memory.decisions
            assert decision.principal is not None
            assert decision.principal.scopes == scopes


async def test_a_resource_attribute_is_believed_only_where_it_was_granted(tmp_path: Path) -> None:
    asked = evaluation("bob", "export")
    asked["resource"]["properties"] = {"owner": "bob", "org": "globex"}
    async with serving(tmp_path, {**CLIENT, "obligations": ["mask"]}) as pdp:
        assert await pdp.decision(asked) is False  # record-1 is alice's, whatever is said
        assert await pdp.decision({**asked, "subject": {"type": "user", "id": "alice"}}) is True
    lying = {**CLIENT, "resource_attributes": {"Record": ["owner"]}}
    await denied(tmp_path, lying, asked, ErrorCode.RESOURCE_CONFLICT)
    async with serving(tmp_path, {**CLIENT, "resource_attributes": {}}) as pdp:
        assert await pdp.decision(evaluation("alice", "write", "record-2", status="archived")) is True


async def test_a_fact_of_the_session_is_believed_only_where_it_was_granted(tmp_path: Path) -> None:
    asked = about(context={"risk": 90}, action="export")
    async with serving(tmp_path, {**CLIENT, "obligations": ["mask"]}) as pdp:
        assert await pdp.decision(asked) is True
    async with serving(tmp_path, {**CLIENT, "obligations": ["mask"], "session": ["risk"]}) as pdp:
        answer = await pdp.ask(asked)
        assert (answer["decision"], answer["context"]["reasons"]) == (False, ["records.no_export_at_risk"])
        assert answer["context"]["advice"] == ["Try again from the office."]
        assert await pdp.decision(about(context={"risk": 10}, action="export")) is True


@pytest.mark.parametrize(
    "context",
    [
        *({"risk": value} for value in ("90", True, 1.5, -1, 101, 2**40, [90])),
        *({"ip": value} for value in ("10.0.0.300", 7, "fe80::1%eth0", "", "10.0.0.0/8")),
        *({"mfa_age": value} for value in (-1, "60", 2**53 - 1)),
        *({name: None} for name in ("ip", "risk", "mfa_age")),
        {"input": []},
        {"input": "x"},
        {"input": None},
    ],
    ids=str,
)
async def test_a_fact_of_another_form_is_denied(tmp_path: Path, context: dict[str, Any]) -> None:
    client = {**CLIENT, "session": ["ip", "risk", "mfa_age"]}
    async with serving(tmp_path, client) as pdp:
        assert await pdp.decision(about(context={"ip": "10.0.0.1", "risk": 1, "mfa_age": 60})) is True
        answer = await pdp.ask(about(context=context))
        assert (answer["decision"], answer["context"]["errors"]) == (False, ["INVALID_QUESTION"])


@pytest.mark.parametrize(
    ("action", "kind", "name", "code"),
    [
        ("drop", "record", "record-1", ErrorCode.UNKNOWN_ACTION),
        ("group:read_only", "record", "record-1", ErrorCode.UNKNOWN_ACTION),
        ("tools/call", "record", "record-1", ErrorCode.UNKNOWN_ACTION),
        ("", "record", "record-1", ErrorCode.INVALID_QUESTION),
        ("read", "record", "record-3", ErrorCode.UNKNOWN_RESOURCE),
        ("read", "record", "", ErrorCode.INVALID_QUESTION),
        ("read", "Tool", "read", ErrorCode.UNKNOWN_RESOURCE),
        ("read", "nothing", "x", ErrorCode.UNKNOWN_RESOURCE),
        ("read", 'Record::"record-1', "x", ErrorCode.INVALID_QUESTION),
        ("read", "record", "record-9", ErrorCode.ORG_ISOLATION),
        ("status", "tool", "read", ErrorCode.UNKNOWN_RESOURCE),
    ],
)
async def test_what_the_policies_do_not_know_is_denied(
    tmp_path: Path, action: str, kind: str, name: str, code: ErrorCode
) -> None:
    asked = {**evaluation(), "action": {"name": action}, "resource": {"type": kind, "id": name}}
    await denied(tmp_path, CLIENT, asked, code)


@pytest.mark.parametrize(
    "client",
    [
        {},
        {**CLIENT, "spiffe": None},
        {**CLIENT, "dns": "gateway.test"},
        {**CLIENT, "orgs": []},
        {**CLIENT, "agent": None},
        {**CLIENT, "agents": ["coding-bot"]},
        {**CLIENT, "subject_types": []},
        {**CLIENT, "session": ["call_count"]},
        {**CLIENT, "spiffe": "spiffe://test/*"},
        {**CLIENT, "trusted": True},
    ],
)
def test_n5_a_client_without_a_name_orgs_or_an_agent_stops_the_start(tmp_path: Path, client: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, client)


@pytest.mark.parametrize(
    "more",
    [
        {"clients": []},
        {"clients": None},
        {"clients": [CLIENT, {**CLIENT, "issuer": "another"}]},
        {"clients": [CLIENT, {**CLIENT, "spiffe": f"{GATEWAY}-2"}]},
        {"tls": {"certificate": "a", "key": "b"}},
        {"url": "http://pdp.example.test"},
        {"url": "https://pdp.example.test/tenant"},
        {"url": "https://pdp.example.test?x"},
        {"url": "https://user@pdp.example.test"},
        {"evaluations": 1025},
        {"body_bytes": 1 << 21},
    ],
)
def test_n5_an_empty_or_ambiguous_list_of_clients_stops_the_start(tmp_path: Path, more: dict[str, Any]) -> None:
    settings(tmp_path)
    with pytest.raises(ValidationError):
        settings(tmp_path, **more)


async def test_an_owner_rule_takes_a_gateways_user_for_the_owner_and_a_policy_can_tell_them_apart(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as pdp:
        assert await pdp.decision(evaluation("alice", "write")) is True
    told = rb"""@id("not_the_gateways") forbid (principal, action, resource)
        when { principal.user == User::"[\"gateway\",\"alice\"]" };"""
    contents = mounted_dir.read(RECORDS)
    held = load(replace(contents, files={**contents.files, "own.cedar": told}))
    async with serving(tmp_path, held=held) as pdp:
        assert (await pdp.ask(evaluation("alice", "write")))["context"]["reasons"] == ["not_the_gateways"]
    async with serving(tmp_path, {**CLIENT, "issuer": "laptop"}, held=held) as pdp:
        assert await pdp.decision(evaluation("alice", "write")) is True


def test_the_gateway_in_these_tests_is_the_one_that_is_listed() -> None:
    assert CLIENT["spiffe"] == GATEWAY
