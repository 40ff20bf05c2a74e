"""One decision: what is a permit, and everything that isn't."""

from __future__ import annotations

from typing import Any

import cedarpy
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp.decider import decide
from sallyport.pdp.model import Effect, ErrorCode, Purpose, Query, Session
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, read, snapshot

DENIED = Effect.DENY


def test_the_owner_reads_through_a_trusted_agent_and_the_policy_is_named() -> None:
    verdict = read(snapshot())
    assert (verdict.effect, verdict.reasons, verdict.errors) == (Effect.PERMIT, ("own_file",), ())


def test_numbers_and_names_are_the_contracts() -> None:
    assert {f"ERROR_CODE_{code.name}": code.value for code in ErrorCode} == {
        name: number for name, number in pb.ErrorCode.items() if number
    }
    assert all(pb.Effect.Value(f"EFFECT_{effect.name}") == effect.value for effect in Effect)
    assert all(pb.Purpose.Value(f"PURPOSE_{purpose.name}") == purpose.value for purpose in Purpose)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"org": "initech"}, ErrorCode.UNKNOWN_ORG),
        ({"org": ""}, ErrorCode.UNKNOWN_ORG),
        ({"agent_id": "stranger"}, ErrorCode.UNKNOWN_AGENT),
        ({"agent_id": ""}, ErrorCode.UNKNOWN_AGENT),
        ({"agent_id": "Coding-Bot"}, ErrorCode.UNKNOWN_AGENT),
        ({"roles": ("developer", "root")}, ErrorCode.UNKNOWN_ROLE),
        ({"agent_id": "chat-bot", "org": "globex"}, ErrorCode.ORG_ISOLATION),
        ({"org": "globex"}, ErrorCode.ORG_ISOLATION),
        ({"issuer": ""}, ErrorCode.INVALID_QUESTION),
        ({"user_id": ""}, ErrorCode.INVALID_QUESTION),
        ({"user_id": "\ud800"}, ErrorCode.INVALID_QUESTION),
    ],
)
def test_n5_a_principal_whom_the_directory_does_not_know_is_denied(changes: dict[str, Any], code: ErrorCode) -> None:
    verdict = read(snapshot(), who=alice(**changes))
    assert (verdict.effect, verdict.errors) == (DENIED, (code,))


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        (("File", "bob/a.txt"), ErrorCode.UNKNOWN_RESOURCE),
        (("File", "alice"), ErrorCode.UNKNOWN_RESOURCE),
        (("File", "alice/../carol/a"), ErrorCode.UNKNOWN_RESOURCE),
        (("File", "./alice/a"), ErrorCode.UNKNOWN_RESOURCE),
        (("File", "Alice/a"), ErrorCode.UNKNOWN_RESOURCE),
        (("File", ""), ErrorCode.UNKNOWN_RESOURCE),
        (("Table", "orders"), ErrorCode.UNKNOWN_RESOURCE),  # known, but not of a type that read_file touches
        (("Tool", "read_file"), ErrorCode.UNKNOWN_RESOURCE),
        (("Nothing", "x"), ErrorCode.UNKNOWN_RESOURCE),
        (("", ""), ErrorCode.UNKNOWN_RESOURCE),
        (("File", "carol/a.txt"), ErrorCode.ORG_ISOLATION),
    ],
)
def test_a_resource_that_nobody_knows_is_denied(resource: tuple[str, str], code: ErrorCode) -> None:
    verdict = ask(snapshot(), "read_file", resource, {"path": resource[1]})
    assert (verdict.effect, verdict.errors) == (DENIED, (code,))


@pytest.mark.parametrize(
    "action",
    [
        "nothing",
        "",
        "Read_file",
        "group:mcp",
        "group:read_only",
        "group:call_tool",
        "group:open_world",
        'x" y',
        "tools/call",
    ],
)
def test_n15_an_unknown_action_and_a_group_are_denied(action: str) -> None:
    verdict = ask(snapshot(), action, ("File", "alice/a.txt"), {"path": "alice/a.txt"})
    assert (verdict.effect, verdict.errors) == (DENIED, (ErrorCode.UNKNOWN_ACTION,))


def test_an_agent_outside_its_orgs_is_denied_whatever_is_permitted() -> None:
    held = snapshot(policies={"all.cedar": '@id("all") permit (principal, action, resource);'})
    carol = alice(user_id="carol", org="globex")
    assert read(held, "carol/a.txt", who=carol).effect is Effect.PERMIT
    stray = read(held, "carol/a.txt", who=alice(user_id="carol", org="globex", agent_id="chat-bot"))
    assert (stray.effect, stray.errors) == (DENIED, (ErrorCode.ORG_ISOLATION,))


def test_two_issuers_alices_are_two_people() -> None:
    theirs = '["laptop","alice"]'.replace('"', '\\"')
    policy = f'@id("her") permit (principal in User::"{theirs}", action == Action::"read_file", resource);'
    held = snapshot(policies={"isolation.cedar": sample.ISOLATION, "her.cedar": policy})
    assert read(held).effect is Effect.PERMIT
    assert read(held, who=alice(issuer="elsewhere")).effect is DENIED
    assert read(held, who=alice(issuer='laptop","alice', user_id="x")).effect is DENIED


def test_a_method_is_judged_on_the_server() -> None:
    held = snapshot()
    assert ask(held, "tools/list", ("Server", "sallyport")).reasons == ("role:permit:tools/list",)
    assert ask(held, "tools/list", ("Server", "other")).errors == (ErrorCode.UNKNOWN_RESOURCE,)
    assert ask(held, "tools/list", ("Server", "sallyport"), who=alice(roles=())).reasons == ("role:gate:tools/list",)


def test_a_tool_without_resources_is_judged_on_itself_alone() -> None:
    held = snapshot()
    assert ask(held, "status", ("Tool", "status")).reasons == ("role:permit:status",)
    assert ask(held, "status", ("Tool", "read_file")).errors == (ErrorCode.UNKNOWN_RESOURCE,)
    assert ask(held, "status", ("Tool", "status"), attributes={"orgs": ["acme"]}).errors == (
        ErrorCode.RESOURCE_CONFLICT,
    )


def test_a_tool_of_another_org_is_denied_whatever_it_touches() -> None:
    tools = [sample.tool("status", orgs=["globex"]), {**sample.TOOLS[0], "orgs": ["globex"]}]
    held = snapshot(tools=tools)
    assert ask(held, "status", ("Tool", "status")).errors == (ErrorCode.ORG_ISOLATION,)
    assert read(held).errors == (ErrorCode.ORG_ISOLATION,)


def test_org_isolation_holds_without_any_policy_of_that_name() -> None:
    everybody = '@id("all") permit (principal, action, resource);'
    held = snapshot(policies={"all.cedar": everybody})
    assert read(held).effect is Effect.PERMIT
    assert read(held, "carol/a.txt").errors == (ErrorCode.ORG_ISOLATION,)


def test_obligations_and_advice_come_from_every_deciding_policy() -> None:
    more = """
    @id("a") @obligation("mask") @advice("one") permit (principal, action == Action::"read_file", resource);
    @id("b") @obligation("log") @advice("one") permit (principal, action == Action::"read_file", resource);
    @id("c") @obligation("never") permit (principal, action == Action::"read_file", resource) when { 1 == 2 };
    """
    verdict = read(snapshot(policies={**sample.POLICIES, "more.cedar": more}))
    assert verdict.reasons == ("own_file", "a", "b")
    assert (verdict.obligations, verdict.advice) == (("mask", "log"), ("one",))


def test_advice_of_a_forbid_is_told_only_where_the_tool_is_visible() -> None:
    risk = """@id("risk") @advice("calm down") forbid (principal, action, resource)
    when { context.session has risk && context.session.risk > 50 };"""
    held = snapshot(policies={**sample.POLICIES, "risk.cedar": risk})
    denied = read(held, session=Session(risk=51))
    assert (denied.effect, denied.reasons, denied.advice) == (DENIED, ("risk",), ("calm down",))
    hidden = read(held, session=Session(risk=51), who=alice(roles=("guest",)))
    assert (hidden.effect, hidden.advice) == (DENIED, ())
    assert hidden.obligations == ()


def test_the_session_is_the_pdps_clock_and_the_facts_that_are_known() -> None:
    facts = """@id("facts") permit (principal, action == Action::"query", resource) when {
      context.session.now == datetime("2026-11-20T12:00:00.123Z") && context.session.hour_utc == 12 &&
      context.session has ip && context.session.ip.isInRange(ip("10.0.0.0/8")) &&
      context.session has risk && context.session.risk == 7 &&
      context.session has mfa_age && context.session.mfa_age < duration("61s") && context.input.path == "orders" };"""
    held = snapshot(policies={**sample.POLICIES, "facts.cedar": facts})

    def query(**known: Any) -> Effect:
        return ask(held, "query", ("Table", "orders"), {"path": "orders"}, session=Session(**known)).effect

    assert query(ip="10.1.2.3", risk=7, mfa_age=60) is Effect.PERMIT
    assert query(ip="::ffff:10.1.2.3", risk=7, mfa_age=60) is Effect.PERMIT  # the same host in other clothes
    for known in ({"ip": "11.1.2.3", "risk": 7, "mfa_age": 60}, {"ip": "10.1.2.3", "risk": 7}, {}):
        assert query(**known) is DENIED


@pytest.mark.parametrize(
    "session",
    [
        Session(ip="fe80::1%eth0"),
        Session(ip="10.0.0"),
        Session(ip=""),
        Session(ip="10.0.0.0/8"),
        Session(risk=-1),
        Session(risk=101),
        Session(mfa_age=-1),
        Session(mfa_age=2**62),
    ],
)
def test_a_fact_out_of_range_denies_instead_of_being_left_out(session: Session) -> None:
    assert read(snapshot(), session=session).errors == (ErrorCode.INVALID_QUESTION,)


@pytest.mark.parametrize("fact", ["ip", "risk", "mfa_age"])
def test_a_required_fact_that_is_absent_denies(fact: str) -> None:
    held = snapshot(tools=[{**sample.TOOLS[0], "required_context": [fact]}])
    known: dict[str, Any] = {"ip": "::1", "risk": 0, "mfa_age": 0}
    assert read(held, session=Session(**known)).effect is Effect.PERMIT
    assert read(held, session=Session(**{**known, fact: None})).errors == (ErrorCode.CONTEXT_MISSING,)


def test_a_value_that_cannot_be_carried_denies_even_where_no_policy_reads_it() -> None:
    verdict = ask(snapshot(), "read_file", ("File", "alice/a.txt"), {"path": "x" * 65_537})
    assert verdict.errors == (ErrorCode.VALUE_NOT_CARRIED,)
    assert ask(snapshot(), "read_file", ("File", "alice/a.txt"), {}).errors == (ErrorCode.VALUE_NOT_CARRIED,)


def test_extra_arguments_never_reach_cedar() -> None:
    arguments = {"path": "alice/a.txt", "__entity": {"type": "Role", "id": "admin"}, "extra": None, "n": 1.5}
    assert ask(snapshot(), "read_file", ("File", "alice/a.txt"), arguments).effect is Effect.PERMIT


@pytest.mark.parametrize(
    "raised", [ValueError("x"), RecursionError(), MemoryError(), BaseException("a panic in Rust is one of these")]
)
def test_n6_any_exception_is_a_denial(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    def broken(*_: object) -> None:
        raise raised

    held = snapshot()
    monkeypatch.setattr(cedarpy, "is_authorized", broken)
    assert read(held).errors == (ErrorCode.INTERNAL,)
    other = alice(user_id="somebody new")
    verdicts = decide(held, other, [Query("status")], Purpose.VISIBILITY, catalog_digest=held.catalog_digest)
    assert verdicts[0].errors == (ErrorCode.INTERNAL,)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_n6_what_ends_the_process_is_no_decision(monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]) -> None:
    def broken(*_: object) -> None:
        raise raised

    held = snapshot()
    monkeypatch.setattr(cedarpy, "is_authorized", broken)
    with pytest.raises(raised):
        read(held)


@pytest.mark.parametrize("answer", [{"decision": "NoDecision"}, {"decision": "Allow"}, {"decision": "Deny"}, {}])
def test_n15_an_engine_that_names_no_permit_has_not_permitted(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    held = snapshot()
    assert read(held).effect is Effect.PERMIT
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: cedarpy.AuthzResult(answer))
    assert read(held).effect is DENIED


def test_n5_no_snapshot_and_another_catalog_deny_everything() -> None:
    held = snapshot()
    queries = [Query("status", "Tool", "status"), Query("status")]
    for purpose in Purpose:
        none = decide(None, alice(), queries, purpose, catalog_digest=held.catalog_digest)
        other = decide(held, alice(), queries, purpose, catalog_digest="0" * 64)
        assert [v.errors for v in none] == [(ErrorCode.NO_POLICIES,)] * 2
        assert [v.errors for v in other] == [(ErrorCode.CATALOG_MISMATCH,)] * 2
        assert {v.effect for v in (*none, *other)} == {DENIED}


def test_a_verdict_for_each_query_in_its_order() -> None:
    held = snapshot()
    queries = [Query("nothing"), Query("status", "Tool", "status"), Query("nothing")]
    verdicts = decide(held, alice(), queries, Purpose.CALL, catalog_digest=held.catalog_digest, now=sample.NOON)
    assert [verdict.effect for verdict in verdicts] == [DENIED, Effect.PERMIT, DENIED]
