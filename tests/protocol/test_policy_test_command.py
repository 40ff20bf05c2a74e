"""`sallyport policy test` as a CI system runs it: a process, its exit code, its JUnit file, on what `init` wrote."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from tests.support.laptop import cli, init


def test_the_tests_that_init_writes_pass_and_a_changed_policy_fails_them(tmp_path: Path) -> None:
    made, junit = init(tmp_path / "laptop"), tmp_path / "junit.xml"
    passed = cli("policy", "test", made, "--fail-under", "100", "--junit", junit)
    assert (passed.returncode, passed.stderr) == (0, "")
    assert "0 failed" in passed.stdout
    assert ET.parse(junit).getroot().get("failures") == "0"

    policy = made / "policies" / "business_hours.cedar"
    policy.write_text(policy.read_text().replace("<= 17", "<= 18"))
    failed = cli("policy", "test", made, "--junit", junit)
    assert failed.returncode == 1
    assert "business_hours.test.yaml:" in failed.stdout
    assert "- decision    deny" in failed.stdout
    assert ET.parse(junit).getroot().get("failures") == "1"

    policy.write_text(policy.read_text().replace("forbid", "forbidd"))
    refused = cli("policy", "test", made, "--junit", junit)
    assert refused.returncode == 2
    assert "business_hours.cedar:" in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr
