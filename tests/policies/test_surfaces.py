"""The shipped policies in front of an upstream: who may list, read and get what it offers besides tools."""

from __future__ import annotations

from functools import cache
from typing import Final

import pytest

from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, ErrorCode
from sallyport.pdp.policy_tests import Run
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from tests.policies.shipped import ALICE, BOB, CAROL, POLICIES, Person, ask

OFFERED: Final = """
  - {name: crm_find, effect: read_only, provider: {upstream: crm}, input: {type: object}}
  - {name: crm_merge, effect: write, provider: {upstream: crm}, input: {type: object}}
upstreams:
  crm: {url: "https://crm.example/mcp"}
prompts:
  - {name: greet, upstream: crm}
  - {name: quarterly, upstream: crm, orgs: [globex]}
resources:
  - {uri: "crm://customers", upstream: crm}
  - {template: "crm://customers/{id}", upstream: crm}
  - {prefix: "crm://board/", upstream: crm, orgs: [globex]}
"""
TESTS: Final = """
principals:
  alice: {user: alice, agent: coding-bot, org: acme, roles: [developer]}
  carol: {like: alice, user: carol, org: globex}
  user: {like: alice, roles: [user]}
tests:
  - name: what the crm offers
    columns: [principal, action, resource, expect, reasons, errors]
    rows:
      - [alice, prompts/get, 'Prompt::"greet"', permit, "role:permit:prompts/get", ~]
      - [user, prompts/get, "Prompt::greet", deny, "role:gate:prompts/get", ~]
      - [alice, prompts/get, "Prompt::quarterly", deny, ~, ORG_ISOLATION]
      - [carol, prompts/get, "Prompt::quarterly", permit, ~, ~]
      - [user, resources/read, "McpResource::crm://customers/7", permit, "role:permit:resources/read", ~]
      - [alice, resources/read, "McpResource::crm://else", deny, ~, UNKNOWN_RESOURCE]
      - [user, completion/complete, "McpResource::crm://customers/{id}", permit, ~, ~]
      - [user, completion/complete, "Prompt::greet", deny, "role:gate:completion/complete:Prompt", ~]
      - [user, tasks/get, "Tool::crm_find", permit, "role:permit:tasks/get", ~]
      - [alice, subscriptions/listen, ~, permit, ~, ~]
"""
ROLES: Final = ("guest", "readonly", "user", "developer", "senior-developer", "admin")
CUSTOMER: Final = "McpResource::crm://customers/7"


@cache
def contents(trust: int = 2) -> Contents:
    """The shipped set with an upstream, and a chat-bot of this trust."""
    files = dict(mounted_dir.read(POLICIES).files)
    files["catalog.yaml"] += OFFERED.lstrip("\n").encode()
    files["agents.yaml"] = files["agents.yaml"].replace(b"trust_level: 2", f"trust_level: {trust}".encode())
    files["crm.test.yaml"] = TESTS.encode()
    return Contents(files, "0" * 64)


@cache
def snapshot(trust: int = 2) -> Snapshot:
    return load(contents(trust))


def may(person: Person, action: str, resource: str) -> bool:
    return ask(person, action, resource, within=snapshot()).effect is Effect.PERMIT


@pytest.mark.parametrize(
    ("action", "resource", "roles"),
    [
        ("resources/list", "Server::sallyport", ROLES[1:]),
        ("resources/templates/list", "Server::sallyport", ROLES[1:]),
        ("resources/read", CUSTOMER, ROLES[2:]),
        ("resources/subscribe", CUSTOMER, ROLES[2:]),
        ("completion/complete", CUSTOMER, ROLES[2:]),
        ("prompts/list", "Server::sallyport", ("readonly", *ROLES[3:])),
        ("prompts/get", "Prompt::greet", ROLES[3:]),
        ("completion/complete", "Prompt::greet", ROLES[3:]),
        ("tasks/get", "Tool::crm_find", ROLES[2:]),
        ("tasks/update", "Tool::crm_merge", ROLES[2:]),
        ("subscriptions/listen", "Server::sallyport", ROLES),
        ("server/discover", "Server::sallyport", ROLES),
        ("logging/setLevel", "Server::sallyport", ("admin",)),
    ],
)
def test_which_of_the_shipped_roles_may_use_a_method(action: str, resource: str, roles: tuple[str, ...]) -> None:
    assert tuple(role for role in ROLES if may(ALICE.as_(role), action, resource)) == roles
    assert not may(ALICE.as_(), action, resource)


@pytest.mark.parametrize("person", [ALICE, BOB])
def test_tenants_never_meet_at_an_upstream_either(person: Person) -> None:
    for action, resource in (
        ("prompts/get", "Prompt::quarterly"),
        ("completion/complete", "Prompt::quarterly"),
        ("resources/read", "McpResource::crm://board/minutes"),
        ("resources/subscribe", "McpResource::crm://board/minutes"),
    ):
        verdict = ask(person.as_("admin"), action, resource, within=snapshot())
        assert verdict.errors == (ErrorCode.ORG_ISOLATION,)
        assert may(CAROL.as_("admin"), action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("resources/read", CUSTOMER),
        ("resources/subscribe", CUSTOMER),
        ("prompts/get", "Prompt::greet"),
        ("completion/complete", "Prompt::greet"),
        ("tasks/get", "Tool::crm_find"),
        ("tasks/update", "Tool::crm_find"),
        ("tasks/cancel", "Tool::crm_find"),
    ],
)
def test_an_agent_of_no_trust_has_nothing_of_an_upstream(action: str, resource: str) -> None:
    assert may(ALICE.via("chat-bot"), action, resource)
    verdict = ask(ALICE.via("chat-bot"), action, resource, within=snapshot(trust=0))
    assert (verdict.effect, verdict.reasons) == (Effect.DENY, ("agent_ceiling.read_only",))


def test_policy_tests_speak_of_prompts_resources_and_tasks() -> None:
    report = Run(snapshot(), contents()).file("crm.test.yaml")
    assert not report.problems
    assert not [failed.said for failed in report.failed]
    assert len(report.results) == 10
