"""docs/policy-tests.md: what it shows is run, against the shipped policies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sallyport.pdp import policy_tests
from sallyport.pdp.load import load
from sallyport.pdp.policy_tests import limits
from sallyport.pdp.policy_tests.form import INSTANT, CaseForm
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents

ROOT = Path(__file__).resolve().parents[4]
DOCUMENT = (ROOT / "docs" / "policy-tests.md").read_text()
SNIPPETS = re.findall(r"```(yaml|json)\n(.*?)```", DOCUMENT, re.DOTALL)


def test_there_is_an_example_of_each_form() -> None:
    assert sorted(form for form, _ in SNIPPETS) == ["json", "yaml"]


@pytest.mark.parametrize(("form", "text"), SNIPPETS)
def test_every_example_passes(form: str, text: str) -> None:
    held = mounted_dir.read(ROOT / "policies")
    plain = {name: data for name, data in held.files.items() if ".test." not in name}
    contents = Contents({**plain, f"shown.test.{form}": text.encode()}, held.revision)
    assert policy_tests.problems(load(contents), contents) == ()


def test_every_key_and_limit_is_told() -> None:
    assert all(f"`{key}`" in DOCUMENT for key in CaseForm.model_fields)
    assert f"{INSTANT:%Y-%m-%dT%H:%M:%SZ}" in DOCUMENT
    for said in (f"{limits.MAX_CASES:,} cases", f"{limits.MAX_JUDGED >> 20} MiB", f"{limits.MAX_FIXTURES:,} fixtures"):
        assert said in DOCUMENT
    assert f"at most {limits.MAX_LIKE} steps" in DOCUMENT
