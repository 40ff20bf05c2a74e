"""Which part of a policy was false, as Cedar itself finds it, and never otherwise than the decision."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest

from sallyport.cli import shipped
from sallyport.pdp.decider import decide
from sallyport.pdp.explain.explanation import Explanation, explain, nearest
from sallyport.pdp.explain.refusals import why
from sallyport.pdp.explain.trace import Node, Outcome, Trace
from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Session
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
ALICE = Principal("laptop", "alice", "coding-bot", "acme", ("developer",))


def _set(**more: str) -> Snapshot:
    shipped_set = mounted_dir.read(shipped.find())
    extra = {f"{name}.cedar": text.encode() for name, text in more.items()}
    return load(Contents({**shipped_set.files, **extra}, shipped_set.revision))


SHIPPED = _set()


def _read(snapshot: Snapshot, path: str = "bob/notes.txt", who: Principal = ALICE, **facts: int) -> Explanation:
    query = Query("read_file", "File", path, input={"path": path}, session=Session(ip=None, **facts))
    return explain(snapshot, who, query, NOON)


def _trace(explained: Explanation, policy: str) -> Trace:
    return next(one for one in explained.traces if one.policy.id == policy)


def _leaves(node: Node) -> list[Node]:
    return [leaf for part in node.parts for leaf in _leaves(part)] if node.parts else [node]


def test_the_part_that_was_false_is_told_with_its_values_and_the_rest_was_not_reached() -> None:
    found = _trace(_read(SHIPPED), "agent_access.read_own_file")
    assert found.outcome is Outcome.CONDITION
    (blamed,) = found.blame
    assert (blamed.text, blamed.holds, blamed.values) == (
        "resource.owner == principal.user_id",
        False,
        '"bob" == "alice"',
    )
    later = _leaves(found.nodes[-1])[-1]
    assert (later.text, later.truth) == ("principal.agent_trust_level >= 5", None)


def test_the_nearest_permit_is_the_one_that_failed_last() -> None:
    snapshot = _set(
        far='@id("far") permit (principal, action == Action::"read_file", resource) when { principal.agent_trust_level > 99 };',
        other='@id("other") permit (principal in Role::"admin", action == Action::"read_file", resource);',
        near="""@id("near") permit (principal, action == Action::"read_file", resource)
        when { principal.org == resource.org && principal.agent_trust_level > 1 && resource.owner == "carol" };""",
    )
    explained = _read(snapshot)
    found = nearest(explained)
    assert found is not None
    assert found.policy.id == "near"
    assert [one.policy.id for one in explained.traces if one.policy.permits][-1] == "other"
    assert _trace(explained, "other").outcome is Outcome.SCOPE
    assert _trace(explained, "other").blame[0].values == 'principal is in Role::"developer", Role::"user"'


def test_a_part_that_cedar_cannot_evaluate_is_told_with_its_error_and_the_request_is_denied() -> None:
    snapshot = _set(
        over="""@id("over") forbid (principal, action == Action::"read_file", resource)
        when { resource.owner == "bob" && 9223372036854775807 + context.session.hour_utc > 0 };"""
    )
    explained = _read(snapshot)
    assert explained.verdict.errors == (ErrorCode.POLICY_ERROR,)
    found = explained.traces[0]
    assert (found.policy.id, found.outcome) == ("over", Outcome.FAILED)
    assert "overflow" in found.error
    assert "overflow" in found.blame[0].error


def test_or_not_and_if_are_taken_apart_as_far_as_cedar_goes() -> None:
    snapshot = _set(
        tree="""@id("tree") permit (principal, action == Action::"read_file", resource) when {
        !(resource.owner == "bob" || resource.owner == "eve") &&
        (if context.session has risk then context.session.risk < 5 else false) };"""
    )
    inner = _trace(_read(snapshot), "tree").nodes[-1].parts[0]
    negated, conditional = inner.parts
    assert [(leaf.text, leaf.holds) for leaf in _leaves(negated)] == [
        ('resource.owner == "bob"', True),
        ('resource.owner == "eve"', None),
    ]
    assert all(leaf.truth is None for leaf in _leaves(conditional))
    assert [leaf.text for leaf in _trace(_read(snapshot), "tree").blame] == ['resource.owner == "bob"']
    reached = _trace(_read(snapshot, "alice/x", risk=3), "tree")
    assert reached.outcome is Outcome.MATCHED
    assert [leaf.holds for leaf in _leaves(reached.nodes[-1].parts[0].parts[1])] == [True, True, None]


def test_an_unless_that_was_met_is_what_kept_a_forbid_from_it() -> None:
    found = _trace(_read(SHIPPED), "agent_ceiling.read_only")
    assert found.outcome is Outcome.CONDITION
    assert [(leaf.text, leaf.holds, leaf.values) for leaf in found.blame] == [
        ("principal.agent_trust_level >= 1", True, "8 >= 1")
    ]


@pytest.mark.parametrize(
    ("who", "path", "code"),
    [
        (Principal("laptop", "alice", "nobody", "acme"), "alice/x", ErrorCode.UNKNOWN_AGENT),
        (Principal("laptop", "alice", "coding-bot", "initech"), "alice/x", ErrorCode.UNKNOWN_ORG),
        (Principal("laptop", "alice", "coding-bot", "acme", ("root",)), "alice/x", ErrorCode.UNKNOWN_ROLE),
        (ALICE, "nowhere", ErrorCode.UNKNOWN_RESOURCE),
        (Principal("laptop", "carol", "coding-bot", "globex"), "alice/x", ErrorCode.ORG_ISOLATION),
    ],
)
def test_what_is_denied_before_any_policy_is_said_to_be_and_why(who: Principal, path: str, code: ErrorCode) -> None:
    explained = _read(SHIPPED, path, who)
    assert (explained.refused, explained.verdict.effect, explained.verdict.errors) == (True, Effect.DENY, (code,))
    assert {one.outcome for one in explained.traces} == {Outcome.UNASKED}
    assert why(code, SHIPPED, who, Query("read_file", "File", path))


def test_every_error_code_has_words() -> None:
    for code in ErrorCode:
        assert why(code, SHIPPED, ALICE, Query("read_file", "File", "a"))


def test_an_explanation_never_says_otherwise_than_the_decision() -> None:
    """Over roles, agents, tools, resources and hours: its verdict is `decide`'s, and its matches are the reasons."""
    hours = (NOON, NOON.replace(hour=22))
    touched = [
        ("read_file", "File", "alice/x"),
        ("write_file", "File", "bob/x"),
        ("database_query", "Table", "salaries"),
    ]
    for role, agent, (action, kind, identity), at in product(
        ("guest", "developer", "admin"), ("coding-bot", "chat-bot"), touched, hours
    ):
        who = Principal("laptop", "bob", agent, "acme", (role,))
        named = {"table": identity} if kind == "Table" else {"path": identity, "content": "x"}
        query = Query(action, kind, identity, input=named)
        explained = explain(SHIPPED, who, query, at)
        decided = decide(SHIPPED, who, [query], Purpose.CALL, catalog_digest=SHIPPED.catalog_digest, now=at)[0]
        assert explained.verdict == decided
        permits = decided.effect is Effect.PERMIT
        matched = {one.policy.id for one in explained.traces if one.outcome is Outcome.MATCHED}
        assert matched >= set(decided.reasons)
        deciding = {
            one.policy.id
            for one in explained.traces
            if one.outcome is Outcome.MATCHED and one.policy.permits is permits
        }
        assert deciding == set(decided.reasons) or not decided.reasons


def test_every_policy_about_the_action_is_told_and_the_others_are_counted() -> None:
    explained = _read(SHIPPED)
    assert len(explained.traces) + explained.others == len(SHIPPED.policies)
    assert {"org_isolation", "database.production", "role:gate:read_file"} <= {
        one.policy.id for one in explained.traces
    }


def test_an_action_that_there_is_not_is_denied_and_told() -> None:
    explained = explain(SHIPPED, ALICE, Query("nope", "File", "alice/x"), NOON)
    assert (explained.refused, explained.verdict.errors, explained.traces) == (True, (ErrorCode.UNKNOWN_ACTION,), ())


def test_a_request_that_cedar_does_not_take_is_no_fault_of_any_policy() -> None:
    query = Query("read_file", "File", "alice/x", input={"path": 5}, session=Session(risk=101))
    explained = explain(SHIPPED, ALICE, query, NOON)
    assert explained.refused
    assert {one.outcome for one in explained.traces} == {Outcome.UNASKED}
    assert (
        explained.verdict
        == decide(SHIPPED, ALICE, [query], Purpose.CALL, catalog_digest=SHIPPED.catalog_digest, now=NOON)[0]
    )
