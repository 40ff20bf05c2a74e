"""Which policies some case noticed."""

from __future__ import annotations

import json

from sallyport.cli import shipped
from sallyport.pdp.load import load
from sallyport.pdp.policy_tests import Run
from sallyport.runtime import mounted_dir
from tests.support import policy_dir
from tests.unit.pdp.policy_tests.support import beside, cedar, entities, one, snapshot


def counts(**files: str) -> dict[str, int]:
    run = Run(snapshot(), policy_dir.contents(beside({name.replace("_", "."): text for name, text in files.items()})))
    for name in run.files:
        run.file(name)
    return {covered.id: covered.cases for covered in run.coverage.policies}


def test_a_policy_counts_where_it_decided_and_the_compiled_gates_are_apart() -> None:
    assert counts(a_test_yaml=one()) == {"own_file": 1, "isolation": 0, "masked": 0, "late": 0}


def test_a_policy_that_failed_decided_nothing() -> None:
    failing = one(
        action="query", resource="Table::orders", session={"risk": 100}, expect="deny", errors=["POLICY_ERROR"]
    )
    assert counts(a_test_yaml=failing)["masked"] == 0


def test_what_is_denied_because_something_is_absent_counts_for_nobody() -> None:
    gone = [item for item in entities(org="globex") if item["uid"]["id"] != "developer"]
    case = cedar(decision="deny", reason=[], entities=gone)
    assert counts(a_test_json=json.dumps([case]))["isolation"] == 0
    whole = cedar(decision="deny", reason=["isolation"], entities=entities(org="globex"))
    assert counts(a_test_json=json.dumps([whole]))["isolation"] == 1


def test_what_was_never_hit_is_named_with_its_place() -> None:
    run = Run(snapshot(), policy_dir.contents(beside({"a.test.yaml": one()})))
    run.file("a.test.yaml")
    assert [(covered.id, covered.file, covered.line) for covered in run.coverage.never] == [
        ("isolation", "isolation.cedar", 1),
        ("masked", "masked.cedar", 1),
        ("late", "masked.cedar", 5),
    ]
    assert run.coverage.percent == 25.0


def test_every_shipped_policy_is_tested_and_every_shipped_test_passes() -> None:

    contents = mounted_dir.read(shipped.find())
    run = Run(load(contents), contents)
    reports = [run.file(name) for name in run.files]
    assert [problem for report in reports for problem in report.problems] == []
    assert [failed.said for report in reports for failed in report.failed] == []
    assert [covered.id for covered in run.coverage.never] == []
    assert {file.rsplit(".", 1)[-1] for file in run.files} == {"yaml", "json"}
