"""Every rule of the cookbook says what its tests expect, all of it is needed, and silence opens nothing."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest

from sallyport.pdp.decider import decide
from sallyport.pdp.findings import parts as policy_parts
from sallyport.pdp.findings.table import findings
from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.policy_tests import Run
from sallyport.pdp.policy_tests.model import Question
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from tests.policies.cookbook import COMPANY, EVERYDAY, ROOT, Rule, cases_of, contents, listed, rules, snapshot, without
from tests.support.laptop import here

ALL = [pytest.param(rule, id=str(rule)) for rule in rules()]
FACTS = tuple(fact.name for fact in fields(Session))


def verdict(policies: Snapshot, question: Question) -> Verdict:
    (found,) = decide(
        policies,
        question.principal,
        [question.query],
        Purpose.CALL,
        catalog_digest=policies.catalog_digest,
        now=question.at,
    )
    return found


def policies_of(rule: Rule) -> dict[str, bool]:
    """The ids of the rule's own policies, and whether they permit."""
    return {policy.id: policy.permits for policy in snapshot(rule).policies if policy.statement.file == rule.policies}


def test_the_table_of_contents_lists_exactly_the_rules_that_are_there() -> None:
    assert sorted(listed()) == sorted(map(str, rules()))
    assert len(rules()) >= 15


@pytest.mark.parametrize("rule", ALL)
def test_a_rule_passes_its_tests_in_a_set_of_its_own(rule: Rule) -> None:
    run = Run(snapshot(rule), contents(rule))
    report = run.file(rule.tests)
    assert not report.problems
    assert not [failed.said for failed in report.failed]
    never = {covered.id for covered in run.coverage.never}
    assert not never & policies_of(rule).keys()


@pytest.mark.parametrize("rule", ALL)
def test_a_rule_permits_something_and_denies_something(rule: Rule) -> None:
    """A denial is the rule's own if its forbid decides, or, where it only permits, if it keeps silent."""
    own = policies_of(rule)
    found = [verdict(snapshot(rule), case.question) for case in cases_of(rule) if isinstance(case.question, Question)]
    denials = [each for each in found if each.effect is Effect.DENY and not each.errors]
    assert any(each.effect is Effect.PERMIT for each in found)
    if all(own.values()):
        assert any(not each.reasons for each in denials)
    else:
        assert any(own.keys() & set(each.reasons) for each in denials)


@pytest.mark.parametrize("rule", ALL)
def test_without_any_one_of_its_policies_a_rule_fails_its_tests(rule: Rule) -> None:
    for policy in policies_of(rule):
        mutant = without(rule, policy)
        report = Run(load(mutant), mutant).file(rule.tests)
        assert report.failed or report.problems, f"nothing notices that {policy} is gone"


@pytest.mark.parametrize("rule", ALL)
def test_a_fact_that_is_missing_never_opens(rule: Rule) -> None:
    policies = snapshot(rule)
    text = contents(rule).files[rule.policies].decode()
    asked = set(re.findall(r"context\.session has (\w+)", text))
    shut = set()
    for case in cases_of(rule):
        assert isinstance(case.question, Question)
        session = case.question.query.session
        for fact in (name for name in FACTS if getattr(session, name) is not None):
            query = replace(case.question.query, session=replace(session, **{fact: None}))
            silent = verdict(policies, replace(case.question, query=query)).effect
            assert case.expected.permit or silent is Effect.DENY, (case.name, fact)
            shut |= {fact} if case.expected.permit and silent is Effect.DENY else set()
    assert shut == asked


@pytest.mark.parametrize("rule", ALL)
def test_a_rule_of_a_set_has_no_findings_of_its_own(rule: Rule) -> None:
    found = findings(policy_parts.read(contents(rule)))
    assert not [str(one) for one in found if one.file == rule.policies]


def test_all_everyday_rules_together_are_one_good_set() -> None:
    files = {name: data for rule in rules() if rule.family == EVERYDAY for name, data in contents(rule).files.items()}
    together = load(Contents(files, "0" * 64))
    assert {policy for rule in rules() if rule.family == EVERYDAY for policy in policies_of(rule)} <= {
        policy.id for policy in together.policies
    }


@pytest.mark.parametrize(
    ("name", "who", "tool", "seen"),
    [
        ("delegation", Principal("laptop", "bob", "chat-bot", "acme", ("developer",)), "list_files", False),
        (
            "feature_switch",
            Principal("laptop", "carol", "coding-bot", "globex", ("developer",)),
            "describe_table",
            False,
        ),
        ("scope_step_up", Principal("laptop", "alice", "coding-bot", "acme", ("developer",)), "write_file", True),
    ],
)
def test_a_tool_that_is_forbidden_altogether_is_hidden_and_one_that_a_scope_opens_is_not(
    name: str, who: Principal, tool: str, *, seen: bool
) -> None:
    policies = snapshot(Rule(EVERYDAY, name))
    (found,) = decide(policies, who, [Query(tool)], Purpose.VISIBILITY, catalog_digest=policies.catalog_digest)
    assert (found.effect is not Effect.DENY) is seen


def test_the_company_has_no_findings_and_passes_all_its_tests() -> None:
    whole = mounted_dir.read(COMPANY)
    assert not [str(one) for one in findings(policy_parts.read(whole))]
    run = here("policy", "test", COMPANY)
    assert run.returncode == 0, run.stdout + run.stderr


def test_what_the_company_took_over_is_what_is_shipped() -> None:
    for name in ("org_isolation.cedar", "agent_ceiling.cedar"):
        assert (COMPANY / name).read_bytes() == (ROOT / "policies" / name).read_bytes()
