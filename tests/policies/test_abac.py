"""The reference document's ABACPolicy and the session's facts as typed context: each permits, denies, and absent opens nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import Any

import pytest

from sallyport.pdp.model import Effect, ErrorCode, Session, Verdict
from sallyport.pdp.snapshot import Snapshot
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, complaint, snapshot

OPEN = '@id("open") permit (principal, action, resource);'
BASE = sample.BASE.replace("environment: String,", "environment: String, class: String,")
TABLES = {
    "orders": {"org": "acme", "environment": "staging", "class": "internal"},
    "production": {"org": "acme", "environment": "production", "class": "internal"},
    "salaries": {"org": "acme", "environment": "staging", "class": "confidential"},
    "odd": {"org": "acme", "environment": "prod-2", "class": "top"},
}
RESOURCES = {**sample.RESOURCES, "resources": {"Table": TABLES}}
TABLE: dict[str, Any] = {"resources": [{"type": "Table", "id": "/path"}], "input": sample.PATH}
TOOLS = [
    sample.tool("query", **TABLE),
    sample.tool("update", "write", **TABLE),
    sample.tool("drop", "destructive", **TABLE),
]
ALL: dict[str, Any] = {"permissions": ["tools:*", "resources:*"]}
ROLES = dict.fromkeys(("user", "developer", "senior-developer", "admin"), ALL)
KNOWN = Session(ip="10.1.2.3", risk=10, mfa_age=60, call_count=0)
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@cache
def with_policy(text: str) -> Snapshot:
    """A set that permits everything but for this policy."""
    return snapshot(base=BASE, roles=ROLES, resources=RESOURCES, tools=TOOLS, policies={"a.cedar": f"{OPEN}\n{text}"})


def judged(
    text: str,
    action: str = "update",
    table: str = "orders",
    *,
    session: Session = KNOWN,
    at: datetime = NOON,
    role: str = "developer",
) -> Verdict:
    verdict = ask(
        with_policy(text), action, ("Table", table), {"path": table}, session=session, now=at, who=alice(roles=(role,))
    )
    assert not verdict.errors
    return verdict


def permits(text: str, **more: Any) -> bool:
    return judged(text, **more).effect is Effect.PERMIT


WRITES = 'action in [Action::"group:write", Action::"group:destructive"]'
HOURS = f"""@id("hours") forbid (principal, {WRITES}, resource)
unless {{ context.session.hour_utc >= 9 && context.session.hour_utc <= 17 }};"""
# The same with a zone: an hour ahead of UTC, as Berlin is in winter.
ZONED = f"""@id("zoned") forbid (principal, {WRITES}, resource)
unless {{
  context.session.now.offset(duration("1h")).toTime() >= duration("9h") &&
  context.session.now.offset(duration("1h")).toTime() < duration("18h")
}};"""
FAR_WEST = ZONED.replace('duration("1h")', 'duration("-8h")')
FAR_EAST = ZONED.replace('duration("1h")', 'duration("13h")')
PRODUCTION = """@id("production") forbid (principal, action, resource is Table)
unless {
  ["development", "test", "staging"].contains(resource.environment) ||
  principal in [Role::"admin", Role::"senior-developer"]
};"""
CONFIDENTIAL = """@id("class") forbid (principal, action, resource is Table)
unless { ["public", "internal"].contains(resource.class) || principal in Role::"admin" };"""
ADDRESSES = """@id("addresses") forbid (principal, action, resource)
unless {
  context.session has ip &&
  (context.session.ip.isInRange(ip("10.0.0.0/8")) || context.session.ip.isInRange(ip("2001:db8:1::/48")))
};"""
RISK = (
    '@id("risk") forbid (principal, action, resource) unless { context.session has risk && context.session.risk < 40 };'
)
MFA = """@id("mfa") forbid (principal, action, resource)
unless { context.session has mfa_age && context.session.mfa_age <= duration("15m") };"""
COUNT = """@id("count") forbid (principal, action, resource)
unless { context.session has call_count && context.session.call_count < 100 };"""


@pytest.mark.parametrize(
    ("policy", "hour", "minute", "expected"),
    [
        (HOURS, 8, 59, False),
        (HOURS, 9, 0, True),
        (HOURS, 17, 59, True),
        (HOURS, 18, 0, False),
        (HOURS, 0, 0, False),
        (ZONED, 7, 59, False),
        (ZONED, 8, 0, True),
        (ZONED, 16, 59, True),
        (ZONED, 17, 0, False),
        (ZONED, 23, 30, False),  # half past midnight there, of the next day
        (FAR_WEST, 16, 59, False),
        (FAR_WEST, 17, 0, True),
        (FAR_WEST, 1, 59, True),  # still the evening before, within hours
        (FAR_WEST, 2, 0, False),
        (FAR_EAST, 19, 59, False),
        (FAR_EAST, 20, 0, True),
        (FAR_EAST, 4, 59, True),
        (FAR_EAST, 5, 0, False),
    ],
)
def test_changes_keep_hours_also_of_another_zone(policy: str, hour: int, minute: int, expected: bool) -> None:
    at = NOON.replace(hour=hour, minute=minute)
    assert [permits(policy, action=action, at=at) for action in ("update", "drop")] == [expected, expected]
    assert permits(policy, action="query", at=at), "reading doesn't depend on the clock"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("table", TABLES)
def test_production_is_for_senior_hands_and_an_unknown_environment_counts_as_it(role: str, table: str) -> None:
    expected = TABLES[table]["environment"] == "staging" or role in {"admin", "senior-developer"}
    for action in ("query", "update", "drop"):
        assert permits(PRODUCTION, action=action, table=table, role=role) is expected


@pytest.mark.parametrize(
    ("table", "role", "expected"),
    [
        ("orders", "user", True),
        ("salaries", "senior-developer", False),
        ("salaries", "admin", True),
        ("odd", "user", False),
        ("odd", "admin", True),
    ],
)
def test_a_class_opens_only_where_it_is_named(table: str, role: str, expected: bool) -> None:
    assert permits(CONFIDENTIAL, table=table, role=role) is expected


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("9.255.255.255", False),
        ("::ffff:10.1.2.3", True),  # v4 in v6's clothes is the v4 address
        ("::ffff:0a01:0203", True),
        ("::ffff:11.0.0.1", False),
        ("2001:db8:1::7", True),
        ("2001:0DB8:0001:0000:0000:0000:0000:0007", True),
        ("2001:db8:2::7", False),
        ("::1", False),
        ("127.0.0.1", False),
        ("::10.1.2.3", False),  # the old "compatible" form is not that address
        ("64:ff9b::10.1.2.3", False),
        (None, False),
    ],
)
def test_only_listed_addresses_come_in(ip: str | None, expected: bool) -> None:
    assert permits(ADDRESSES, session=Session(ip=ip)) is expected


@pytest.mark.parametrize(
    "ip", ["10.1.2.3/8", "10.1.2.3%eth0", "10.1.2", "010.1.2.3", "10.1.2.3 ", "", "fe80::1%1", "x"]
)
def test_what_is_no_address_is_denied_whatever_the_policy(ip: str) -> None:
    verdict = ask(with_policy(ADDRESSES), "update", ("Table", "orders"), {"path": "orders"}, session=Session(ip=ip))
    assert (verdict.effect, verdict.errors) == (Effect.DENY, (ErrorCode.INVALID_QUESTION,))


def test_a_forbidden_range_can_not_be_dodged_by_a_v6_spelling() -> None:
    blocked = """@id("blocked") forbid (principal, action, resource)
    unless { context.session has ip && !context.session.ip.isInRange(ip("203.0.113.0/24")) };"""
    for ip in ("203.0.113.9", "::ffff:203.0.113.9", "0:0:0:0:0:ffff:cb00:7109"):
        assert not permits(blocked, session=Session(ip=ip))
    assert permits(blocked, session=Session(ip="203.0.114.9"))


@pytest.mark.parametrize(
    ("policy", "session", "expected"),
    [
        (RISK, Session(risk=0), True),
        (RISK, Session(risk=39), True),
        (RISK, Session(risk=40), False),
        (RISK, Session(risk=100), False),
        (MFA, Session(mfa_age=0), True),
        (MFA, Session(mfa_age=900), True),
        (MFA, Session(mfa_age=901), False),
        (COUNT, Session(call_count=0), True),
        (COUNT, Session(call_count=99), True),
        (COUNT, Session(call_count=100), False),
        (COUNT, Session(call_count=2**53 - 1), False),
    ],
)
def test_a_fact_of_the_session_decides(policy: str, session: Session, expected: bool) -> None:
    assert permits(policy, session=session) is expected


@pytest.mark.parametrize("policy", [ADDRESSES, RISK, MFA, COUNT], ids=["ip", "risk", "mfa_age", "call_count"])
def test_an_absent_fact_opens_nothing(policy: str) -> None:
    assert permits(policy)
    assert not permits(policy, session=Session())
    as_permit = policy.replace("forbid (", "permit (").replace("unless {", "when {")
    held = snapshot(base=BASE, roles=ROLES, resources=RESOURCES, tools=TOOLS, policies={"p.cedar": as_permit})
    for session, expected in ((KNOWN, Effect.PERMIT), (Session(), Effect.DENY)):
        assert ask(held, "update", ("Table", "orders"), {"path": "orders"}, session=session).effect is expected


@pytest.mark.parametrize(
    ("fact", "condition"),
    [
        ("ip", 'context.session.ip.isInRange(ip("10.0.0.0/8"))'),
        ("risk", "context.session.risk > 40"),
        ("mfa_age", 'context.session.mfa_age > duration("15m")'),
        ("call_count", "context.session.call_count > 100"),
    ],
)
def test_a_policy_that_takes_a_fact_for_granted_is_refused(fact: str, condition: str) -> None:
    careless = f'@id("careless") forbid (principal, action, resource) when {{ {condition} }};'
    told = complaint(
        base=BASE, roles=ROLES, resources=RESOURCES, tools=TOOLS, policies={"p.cedar": f"{OPEN}\n{careless}"}
    )
    assert "careless" in told
    assert fact in told


@pytest.mark.parametrize("fact", ["ip", "risk", "mfa_age", "call_count"])
def test_a_tool_may_demand_a_fact_and_is_denied_without_it(fact: str) -> None:
    demanding = [{**tool, "required_context": [fact]} for tool in TOOLS]
    held = snapshot(base=BASE, roles=ROLES, resources=RESOURCES, tools=demanding, policies={"p.cedar": OPEN})
    asked = ("update", ("Table", "orders"), {"path": "orders"})
    assert ask(held, *asked, session=KNOWN).effect is Effect.PERMIT
    others = {name: getattr(KNOWN, name) for name in ("ip", "risk", "mfa_age", "call_count") if name != fact}
    assert ask(held, *asked, session=Session(**others)).errors == (ErrorCode.CONTEXT_MISSING,)


LISTED = frozenset({"10.1.2.3", "2001:db8:1::7"})


def by_the_document(hour: int, role: str, table: str, ip: str, action: str) -> bool:
    """ABACPolicy.evaluate of the reference document, line by line."""
    if (hour < 9 or hour > 17) and action in {"update", "drop"}:
        return False
    if table == "production":
        return role in {"admin", "senior-developer"}
    return ip in LISTED


def test_the_documents_policy_as_a_whole_decides_as_the_document_does() -> None:
    everything = f"{HOURS}\n{PRODUCTION}\n{ADDRESSES}"
    for hour, role, table, ip, action in product(
        (0, 8, 9, 12, 17, 18, 23), ROLES, ("orders", "production"), (*LISTED, "192.0.2.1"), ("query", "update", "drop")
    ):
        at = NOON.replace(hour=hour)
        found = permits(everything, action=action, table=table, role=role, session=Session(ip=ip), at=at)
        # The document forgets the addresses once a role has opened production; forbids here hold beside each other.
        expected = by_the_document(hour, role, table, ip, action) and ip in LISTED
        assert found is expected, (hour, role, table, ip, action)
