"""`sallyport policy diff` tells what changes, and which requests flip."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sallyport.cli import shipped
from sallyport.pdp.load import load
from sallyport.runtime import mounted_dir
from tests.support.laptop import here
from tests.unit.audit.made import Home
from tests.unit.cli.test_policy_explain import record

OLD = shipped.find()


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Chat-bots read their user's files too, and changes begin at 13:00."""
    copy = tmp_path / "new"
    shutil.copytree(OLD, copy)
    _edit(copy / "agent_access.cedar", "agent_trust_level >= 5", "agent_trust_level >= 1")
    _edit(copy / "business_hours.cedar", "hour_utc >= 9", "hour_utc >= 13")
    return copy


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


CASES = """
principals:
  alice: {user: alice, agent: coding-bot, org: acme, roles: [developer]}
  chat: {like: alice, agent: chat-bot}
tests:
  - {name: write, principal: alice, action: write_file, resource: "File::alice/x", input: {content: x}, expect: deny}
  - {name: chat, principal: chat, action: read_file, resource: "File::alice/x", expect: deny}
  - {name: read, principal: alice, action: read_file, resource: "File::alice/x", expect: permit}
"""


def test_what_opens_and_what_closes_is_told_with_reasons(new: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases.test.yaml"
    cases.write_text(CASES)
    run = here("policy", "diff", OLD, new, "--requests", cases)
    assert (run.returncode, run.stderr) == (1, "")
    assert "policies changed: agent_access.read_own_file, business_hours" in run.stdout
    opens, closes = run.stdout.split("permit -> deny: 1 request")
    assert "deny -> permit: 1 request" in opens
    assert "case 'chat'" in opens
    assert "new: deny by business_hours" in closes
    assert "3 requests asked of both: 2 flip" in run.stdout


def test_nothing_flips_between_a_set_and_itself(tmp_path: Path) -> None:
    cases = tmp_path / "cases.test.yaml"
    cases.write_text(CASES)
    run = here("policy", "diff", OLD, OLD, "--requests", cases)
    assert run.returncode == 0
    assert "the two sets say the same" in run.stdout


def test_recorded_calls_are_asked_again_and_what_cannot_be_rebuilt_is_left_out(new: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    record(home, agent="chat-bot", resources=["File::alice/x"], decision_id="1" * 32)
    record(
        home,
        "intent",
        effect="permit",
        reasons=["agent_access.read_own_file"],
        resources=["File::alice/x"],
        decision_id="2" * 32,
    )
    record(home, effect="deny", reasons=["gone"], decision_id="3" * 32)
    run = here("policy", "diff", OLD, new, "--requests", home.root)
    assert run.returncode == 1
    assert "deny -> permit: 1 request" in run.stdout
    assert f"such as decision {'1' * 32}" in run.stdout
    assert "2 requests asked of both: 1 flips" in run.stdout
    assert "1 calls are left out" in run.stderr
    assert "records hold neither roles nor arguments" in run.stderr
    log = tmp_path / "log.jsonl"
    log.write_text(here("audit", "show", "--format", "json", home.root).stdout)
    assert here("policy", "diff", OLD, new, "--requests", log).stdout == run.stdout


def test_added_and_removed_things_are_named(new: Path) -> None:
    (new / "files.cedar").unlink()
    (new / "more.cedar").write_text(
        '@id("more") permit (principal, action == Action::"list_files", resource is Folder);'
    )
    _edit(new / "agents.yaml", "trust_level: 2", "trust_level: 3")
    run = here("policy", "diff", OLD, new)
    assert run.returncode == 0
    assert "agents changed: chat-bot" in run.stdout
    assert "policies added: more" in run.stdout
    assert "policies removed: files.change_own_file, files.list_own_org" in run.stdout


def test_a_policy_in_another_form_has_not_changed(new: Path) -> None:
    shutil.rmtree(new)
    shutil.copytree(OLD, new)
    for file in new.glob("*.cedar"):
        file.write_text("\n\n" + file.read_text().replace("\n)", "\n\n)"))
    assert load(mounted_dir.read(new)).revision != load(mounted_dir.read(OLD)).revision
    assert "the two sets say the same" in here("policy", "diff", OLD, new).stdout


UPSTREAM = """
upstreams:
  crm: {url: "https://crm.example/mcp"}
prompts: [{name: greet, upstream: crm}]
resources: [{uri: 'a:b/', upstream: crm}]
servers:
  sales: {}
"""


@pytest.mark.parametrize(
    ("file", "old", "new_text", "told"),
    [
        ("catalog.yaml", "https://crm.example/mcp", "https://other.example/mcp", "upstreams changed: crm"),
        ("catalog.yaml", "  crm: {", "  cra: {url: 'https://a.example/'}\n  crm: {", "upstreams added: cra"),
        ("catalog.yaml", "{name: greet, ", "{name: greet, title: x, ", "prompts changed: greet"),
        ("catalog.yaml", "{uri: 'a:b/', ", "{prefix: 'a:b/', ", "resources of upstreams changed: a:b/"),
        ("catalog.yaml", "  sales: {}", "  sale: {}", "named sets added: sale"),
        ("catalog.yaml", "default: true", "default: false", "tools changed: write_file"),
        ("roles.yaml", '"prompts:list"]', "]", "roles changed: readonly"),
        ("roles.yaml", '["tools:list"]', '["tools:list", "tools:list"]', "roles.yaml: changed"),
        ("agents.yaml", "orgs: all", "orgs: [acme, globex]", "agents.yaml: changed"),
        ("agents.yaml", "groups: [chat]", "groups: [chat, other]", "agents changed: chat-bot"),
        (
            "resources.yaml",
            "defaults: {}",
            "defaults: {File: {org: acme, owner: x}}",
            "resources added: File (default)",
        ),
        ("resources.yaml", "owner: bob}\n    globex", "owner: eve}\n    globex", "resources changed: Table::salaries"),
        ("base.cedarschema", "environment: String, ", "environment: String, team?: String, ", "types changed: Table"),
        ("base.cedarschema", "  call_count?: Long,\n", "", "facts of the session removed: call_count"),
    ],
)
def test_nothing_that_a_file_says_is_left_out(tmp_path: Path, file: str, old: str, new_text: str, told: str) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    shutil.copytree(OLD, one)
    (one / "catalog.yaml").write_text((one / "catalog.yaml").read_text() + UPSTREAM)
    shutil.copytree(one, other)
    _edit(other / file, old, new_text)
    run = here("policy", "diff", one, other)
    assert (run.returncode, run.stderr) == (0, "")
    assert told in run.stdout
    assert "the two sets say the same" not in run.stdout


def test_a_comment_changes_nothing(new: Path) -> None:
    shutil.rmtree(new)
    shutil.copytree(OLD, new)
    for file in new.glob("*.cedar*"):
        file.write_text("// said otherwise\n" + file.read_text())
    for file in new.glob("*.yaml"):
        file.write_text("# said otherwise\n" + file.read_text())
    assert here("policy", "diff", OLD, new).stdout == "the two sets say the same\n"


def test_a_set_that_does_not_load_and_a_log_that_is_none_are_refused(new: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("{}\n")
    for words in ([OLD, new, "--requests", log], [OLD, new, "--requests", tmp_path / "no"], [OLD, tmp_path / "no"]):
        run = here("policy", "diff", *words)
        assert run.returncode == 2
        assert "next:" in run.stderr
    (new / "bad.cedar").write_text("permit (")
    run = here("policy", "diff", OLD, new)
    assert run.returncode == 2
    assert f"{new}/bad.cedar:1" in run.stderr
