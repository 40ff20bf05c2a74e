"""The JSON Schema Test Suite, draft 2020-12, through our own compile step and validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.catalog import SchemaRefused, Validator
from sallyport.pep.schema import compile_schema
from sallyport.pep.schema.validator import DIALECT

SUITE = Path(__file__).parents[5] / "shared/corpora/json-schema/tests/draft2020-12"
# What we refuse at load: what would have to be fetched, other dialects, and loops.
REFUSED = ("Retrieval is disabled", "write it in", "refers to itself")


def groups() -> list[dict[str, Any]]:
    found = [group for file in sorted(SUITE.glob("*.json")) for group in json.loads(file.read_text("utf-8"))]
    return [group for group in found if not isinstance(group["schema"], bool)]


def compiled(group: dict[str, Any]) -> Validator | None:
    try:
        return compile_schema({"$schema": DIALECT, **group["schema"]})
    except SchemaRefused as error:
        reason = str(error)
    assert any(word in reason for word in REFUSED), (group["schema"], reason)
    return None


# `format` is an annotation in the standard, and an assertion here: the one place where we are stricter.
def ours(group: dict[str, Any], case: dict[str, Any]) -> bool:
    return bool(case["valid"]) and "only an annotation" not in case["description"]


@pytest.mark.skipif(not SUITE.is_dir(), reason=f"no corpus at {SUITE}")
@pytest.mark.usefixtures("socket_disabled")
def test_the_json_schema_suite_holds_through_our_validator_and_nothing_is_fetched() -> None:
    held = [(group, validator) for group in groups() if (validator := compiled(group)) is not None]
    wrong = [
        (group["description"], case["description"])
        for group, validator in held
        for case in group["tests"]
        if (validator.problem(case["data"]) == "") != ours(group, case)
    ]
    assert wrong == []
    assert sum(len(group["tests"]) for group, _ in held) > 1000
    assert len(groups()) - len(held) < 40
