"""N9 in both directions: what is listed as a plain permit runs with whatever its schema admits; what runs is listed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import cedarpy
import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pdp import visibility
from sallyport.pdp.carried import always_carried
from sallyport.pdp.carry import carry
from sallyport.pdp.decider import decide
from sallyport.pdp.json_schema import record_type
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.policy import Policy
from sallyport.pdp.slices import Slices
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import canonical_json, strict_json
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, snapshot
from tests.unit.pdp import generated

# Mostly of the principal alone, so that much is certain; what fails, and what asks of a call, among them.
CONDITIONS: Final = (
    *[""] * 5,
    "when { true }",
    "when { principal.agent_trust_level >= 5 }",
    'when { principal in [Role::"user", Role::"guest"] }',
    'unless { principal.scopes.contains("read") || principal.agent_trust_level < 3 }',
    'when { principal.org == Org::"acme" && principal.user_id != "bob" }',
    "when { principal.agent_trust_level * 9223372036854775807 > 0 }",
    "when { principal.agent_trust_level > 5 && principal.agent_trust_level + 9223372036854775807 > 0 }",
    "when { context.session has risk && principal.agent_trust_level * 9223372036854775807 > 0 }",
    "when { context.session.hour_utc > 8 }",
    "when { context.session has ip }",
    "when { context.input has flag && context.input.flag }",
    "when { context.input.count + 1 > 0 }",
    "when { resource is Tool && principal has org }",
    'when { action == Action::"plain" }',
    'when { Role::"user" in Role::"guest" }',
    'when { Compound::"x".agent_trust_level > 3 }',
)
ALONE: Final = ("plain", "typed", "dated", "status")
NAMES: Final = tuple(tool["name"] for tool in generated.TOOLS)
WHO: Final = (
    *generated.WHO,
    alice(org="globex"),
    alice(roles=("user",)),
    alice(roles=("guest",), scopes=("write", "read")),
    alice(user_id="bob", agent_id="chat-bot", scopes=()),
)
TIMES: Final = (sample.NOON, datetime(2026, 1, 1, tzinfo=UTC), sample.NOON.astimezone(tz=None) + timedelta(hours=11))
SESSIONS: Final = (
    Session(mfa_age=0),
    Session(ip="255.255.255.255", risk=100, mfa_age=2**43, call_count=2**53 - 1),
    Session(ip="::ffff:1.2.3.4", risk=0, mfa_age=1),
)
LARGEST: Final = "\x1f" * 20_000
ARGUMENTS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "plain": ({},),
    "typed": (
        {"text": ""},
        {"text": LARGEST, "count": 2**53 - 1, "flag": True},
        {"text": "\U0001f511" * 20_000, "count": -(2**53 - 1), "flag": False},
        {"text": "x", "count": 1.0},
    ),
    "dated": ({"text": "x"}, {"text": LARGEST, "count": 0}),
    "status": ({"path": "x"}, {"count": -1, "tags": []}),
}


def pool() -> tuple[Policy, ...]:
    choose = random.Random(9)
    actions = (*["action"] * 3, *(f'action == Action::"{name}"' for name in ALONE), 'action in [Action::"group:mcp", Action::"plain"]', 'action in Action::"group:read_only"')  # fmt: skip
    resources = (*["resource"] * 4, "resource is Tool", 'resource == Tool::"typed"', "resource is File")
    statements = (
        f'@id("p{number}") {choose.choice(("permit", "permit", "permit", "forbid"))} ({choose.choice(generated.PRINCIPALS)}, '
        f"{choose.choice(actions)}, {choose.choice(resources)}) {choose.choice(CONDITIONS)};"
        for number in range(500)
    )
    return generated.policies_of("\n".join(statements))


POOL: Final = pool()
GATES: Final = tuple(policy for policy in generated.base().policies if policy.id.startswith("role:"))


def drawn(choose: random.Random) -> Snapshot:
    return generated.held([*choose.sample(POOL, choose.randint(1, 9)), *choose.choice(((), GATES))])


def listed(held: Snapshot, who: Principal, names: Sequence[str] = NAMES) -> dict[str, Verdict]:
    queries = [Query(name) for name in names]
    verdicts = decide(held, who, queries, Purpose.VISIBILITY, catalog_digest=held.catalog_digest)
    return dict(zip(names, verdicts, strict=True))


def called(held: Snapshot, who: Principal, query: Query, now: datetime = sample.NOON) -> Verdict:
    return decide(held, who, [query], Purpose.CALL, catalog_digest=held.catalog_digest, now=now)[0]


@pytest.mark.parametrize("seed", range(3))
def test_n9_a_plain_permit_in_the_listing_runs_whatever_the_call(seed: int) -> None:
    choose, promised = random.Random(seed), 0
    for _ in range(60):
        held = drawn(choose)
        for who in choose.sample(WHO, 3):
            for name, verdict in listed(held, who, ALONE).items():
                if verdict.effect is not Effect.PERMIT:
                    continue
                promised += 1
                for arguments, session in product(ARGUMENTS[name], SESSIONS):
                    query = Query(name, "Tool", name, input=arguments, session=session)
                    said = called(held, who, query, choose.choice(TIMES))
                    assert said.effect is Effect.PERMIT, (said, who, [p.statement.text for p in held.policies])
    assert promised > 20


@pytest.mark.parametrize("seed", range(3))
def test_n9_what_runs_is_listed(seed: int) -> None:
    choose, ran, hidden = random.Random(50 + seed), 0, 0
    for _ in range(60):
        held = drawn(choose)
        for who in choose.sample(WHO, 3):
            names = listed(held, who)
            hidden += sum(verdict.effect is Effect.DENY for verdict in names.values())
            for action, kind, identity in (
                *generated.TARGETS[:-1],
                *(("typed", "Tool", "typed"), ("plain", "Tool", "plain")),
            ):
                arguments = choose.choice(ARGUMENTS.get(action, generated.INPUTS))
                query = Query(action, kind, identity, input=arguments, session=choose.choice(generated.SESSIONS))
                if called(held, who, query).effect is Effect.PERMIT:
                    ran += 1
                    assert names[action].effect is not Effect.DENY, (who, [p.statement.text for p in held.policies])
    assert ran > 100
    assert hidden > 100


def test_n9_a_listing_is_of_the_whole_principal_and_forgetting_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Roles, scopes, org, agent, issuer: whoever differs in one of them has an answer of their own."""
    choose = random.Random(3)
    people = [*WHO, alice(scopes=("read", "write")), alice(issuer="other"), alice(roles=("developer", "guest"))]
    for _ in range(12):
        held = drawn(choose)
        alone = {who: listed(replace(held, seen={}), who) for who in people}
        for bound in (32_768, 3):
            monkeypatch.setattr(visibility, "_REMEMBERED", bound)
            shared = replace(held, seen={})
            for who in choose.sample(people * 3, len(people) * 3):
                assert listed(shared, who) == alone[who]
                assert bound > 3 or len(shared.seen) <= bound


def test_principals_whose_parts_join_alike_are_not_mistaken_for_each_other() -> None:
    held = generated.held(generated.policies_of('@id("p") permit (principal, action, resource) when { principal.scopes.contains("a") };'))  # fmt: skip
    for scopes, seen in ((("a",), True), (("a', 'b",), False), (("a b",), False), (("a", "b"), True), ((), False)):
        assert (listed(held, alice(scopes=scopes))["plain"].effect is not Effect.DENY) is seen


class Work:
    """Counts what a question costs: looks at the index, and evaluations by Cedar."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = self.evaluations = 0
        look, evaluate = Slices.whatever_the_resource, cedarpy.is_authorized

        def looking(*arguments: Any) -> Any:
            self.looks += 1
            return look(*arguments)

        def evaluating(*arguments: Any) -> Any:
            self.evaluations += 1
            return evaluate(*arguments)

        monkeypatch.setattr(Slices, "whatever_the_resource", looking)
        monkeypatch.setattr(cedarpy, "is_authorized", evaluating)

    def of(self, held: Snapshot, who: Principal, name: str) -> tuple[int, int]:
        before = self.looks, self.evaluations
        assert listed(held, who, [name])[name].effect is Effect.DENY
        return self.looks - before[0], self.evaluations - before[1]


def test_an_unknown_name_costs_what_a_hidden_one_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work, not the time: asked for the first time, and again; by somebody new, and by somebody who has asked."""
    hidden = "".join(
        f'@id("{name}") forbid (principal, action == Action::"{name}", resource) when {{ principal.agent_trust_level > 1 }};\n'
        for name in NAMES
    )
    held = snapshot(tools=generated.TOOLS, policies={"x.cedar": sample.ISOLATION + hidden})
    work = Work(monkeypatch)
    first = {name: work.of(held, alice(user_id=f"of {name}"), name) for name in ("read_file", "nothing", "group:mcp")}
    assert len(set(first.values())) == 1
    assert first["nothing"][0] == 1
    for name in first:
        assert work.of(held, alice(user_id=f"of {name}"), name) == (0, 0)
    assert work.of(held, alice(user_id="of nothing"), "another") == work.of(held, alice(user_id="of nothing"), "more")


WIDE: Final = {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, True),
        ({"a": {"type": "boolean"}}, True),
        ({"a": {"type": "string", "maxLength": 32_000}}, True),
        ({"a": {"type": "string", "maxLength": 65_536}}, False),  # as \u001f it is 384 KiB: never carried
        ({"a": {"type": "string"}}, False),
        ({name: {"type": "string", "maxLength": 8_000} for name in "abcde"}, False),
        ({"a": {"type": "integer"}}, False),  # 1e300 is an integer to JSON Schema
        ({"a": {"type": "integer", "minimum": 0}}, False),
        ({"a": {"type": "integer", "minimum": 0, "maximum": 1e300}}, False),
        ({"a": {"type": "integer", "minimum": -1, "maximum": 9}}, True),
        ({"a": {"type": "number", "minimum": 0, "maximum": 1}}, False),
        ({"a": {"type": ["string"], "maxLength": 3}}, False),
        ({"a": {"type": "string", "maxLength": 3, "enum": ["a"]}}, False),
        ({"a": {}}, False),
        ({"a": True}, False),
        ({"\x1f" * 40_000: {"type": "boolean"}}, False),
    ],
)  # fmt: skip
def test_only_what_surely_reaches_cedar_is_promised(properties: dict[str, Any], expected: bool) -> None:
    assert always_carried({**WIDE, "properties": properties}) is expected


@pytest.mark.parametrize("more", [{"additionalProperties": True}, {"minProperties": 1}, {"anyOf": []}, {"$defs": {}}])
def test_a_schema_that_says_more_is_promised_nothing(more: dict[str, Any]) -> None:
    assert not always_carried({**WIDE, "properties": {}, **more})


TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCHEMAS: Final = st.dictionaries(
    TEXT,
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "integer", "minimum": -5, "maximum": 2**53 - 1},
            {"type": "integer"},
            {"type": "string", "maxLength": 100},
            {"type": "string", "maxLength": 20_000},
            {"type": "string", "maxLength": 32_768},
        ]
    ),
    max_size=3,
).map(lambda properties: {**WIDE, "properties": properties})
HARD: Final[dict[str, list[Any]]] = {
    "boolean": [False],
    "integer": [2**53 - 1, -5, 1e300, 3.0],
    "string": ["\x1f", "\U0001f511", '"', ""],
}


@settings(max_examples=60, deadline=None)
@given(SCHEMAS, st.randoms())
def test_what_is_promised_fits_the_contract_and_is_carried(schema: dict[str, Any], choose: random.Random) -> None:
    if not always_carried(schema):
        return
    arguments = {}
    for name, part in schema["properties"].items():
        value = choose.choice(HARD[part["type"]])
        arguments[name] = value * part["maxLength"] if isinstance(value, str) else value
    if not jsonschema_rs.is_valid(schema, arguments):
        return
    data = canonical_json.encode(arguments)
    assert len(data) <= MAX_INPUT_BYTES
    again = strict_json.parse(data)
    assert isinstance(again, dict)
    assert carry(record_type(schema), again).keys() == arguments.keys()
