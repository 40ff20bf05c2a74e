"""`sallyport policy explain` says why, with the values, and what it had to assume."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sallyport.cli import shipped
from sallyport.pdp.load import load
from sallyport.runtime import mounted_dir
from tests.support.laptop import here
from tests.unit.audit.made import Home

POLICIES = shipped.find()
REVISION = load(mounted_dir.read(POLICIES)).revision
DECISION = "5" * 32
DENIED: Mapping[str, Any] = {
    "decision_id": DECISION,
    "issuer": "laptop",
    "user": "alice",
    "agent": "coding-bot",
    "org": "acme",
    "compound_id": "alice via coding-bot",
    "method": "tools/call",
    "tool": "read_file",
    "resources": ["File::bob/notes.txt"],
    "client": "127.0.0.1",
    "effect": "deny",
    "reasons": [],
    "errors": [],
    "revision": REVISION,
    "reason": "denied",
    "detail": "",
}
ALICE = "{user: alice, agent: coding-bot, org: acme, roles: [developer]}"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "policies").symlink_to(POLICIES)
    return Home(tmp_path)


def record(home: Home, kind: str = "refusal", service: str = "pep", **changes: Any) -> None:
    fields = {name: value for name, value in {**DENIED, **changes}.items() if value is not None}
    with home.writing(service) as writer:
        writer.append(kind, fields).result(timeout=30)


def asked(tmp_path: Path, text: str, *words: str) -> Any:
    file = tmp_path / "request.yaml"
    file.write_text(text)
    return here("policy", "explain", "--request", file, "--dir", POLICIES, *words)


def test_a_request_out_of_a_file_is_decided_and_explained(tmp_path: Path) -> None:
    run = asked(tmp_path, f"principal: {ALICE}\naction: read_file\nresource: File::bob/notes.txt\n")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("DENY  alice via coding-bot (acme; developer)\n")
    assert "The nearest is agent_access.read_own_file, of which this was not so:" in run.stdout
    assert '`resource.owner == principal.user_id` is false: "bob" == "alice"' in run.stdout
    assert "principal.agent_trust_level >= 5    not reached" in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 100


def test_json_is_taken_too_and_a_permit_names_its_policy(tmp_path: Path) -> None:
    run = asked(
        tmp_path,
        '{"principal": {"user": "alice", "agent": "coding-bot", "org": "acme", "roles": ["developer"]}, '
        '"action": "read_file", "resource": "File::alice/notes.txt"}',
    )
    assert run.stdout.startswith("PERMIT  alice")
    assert "Permitted by agent_access.read_own_file; no forbid matched." in run.stdout


def test_one_case_of_a_test_file_is_chosen_by_its_name(tmp_path: Path) -> None:
    text = f"""
principals: {{alice: {ALICE}}}
tests:
  - {{name: one, principal: alice, action: read_file, resource: "File::alice/x", expect: permit}}
  - name: at night
    principal: alice
    action: write_file
    resource: File::alice/x
    input: {{content: x}}
    at: 2026-03-04T22:00:00Z
    expect: deny
"""
    run = asked(tmp_path, text, "--case", "at night")
    assert run.stdout.count("DENY  ") == 1
    assert "`context.session.hour_utc <= 17` is false: 22 <= 17" in run.stdout
    assert "files.change_own_file would permit it, but a forbid always wins." in run.stdout
    assert "no case 'two'" in asked(tmp_path, text, "--case", "two").stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "principal: nobody",
        "action: read_file",
        f"principal: {ALICE}\naction: reed_file\nresource: File::a",
        f"principal: {ALICE}\naction: read_file\nresource: alice",
        "principal: {user: a}\naction: read_file\nresource: File::a",
        f"principal: {ALICE}\naction: read_file\nresource: File::a\nsession: {{risc: 1}}",
        "{",
        "a: &x 1",
    ],
)
def test_a_file_that_is_no_request_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    run = asked(tmp_path, text)
    assert (run.returncode, run.stdout) == (2, "")
    assert "next:" in run.stderr
    assert "Traceback" not in run.stderr


def test_neither_and_both_of_id_and_file_are_refused(tmp_path: Path) -> None:
    assert here("policy", "explain", "--dir", tmp_path).returncode == 2
    assert here("policy", "explain", DECISION, "--request", tmp_path / "x", "--dir", tmp_path).returncode == 2


def test_a_recorded_denial_is_explained_and_says_what_the_record_does_not_hold(home: Home) -> None:
    record(home)
    run = here("policy", "explain", DECISION, "--dir", home.root)
    assert run.returncode == 0
    assert "deny by no policy" in run.stdout
    assert '`resource.owner == principal.user_id` is false: "bob" == "alice"' in run.stdout
    assert "roles aren't recorded: taken is user, which gives the recorded decision" in run.stderr
    assert "revision" not in run.stderr


def test_roles_that_are_given_are_taken_and_a_decision_that_they_do_not_give_is_told(home: Home) -> None:
    record(home)
    same = here("policy", "explain", DECISION, "--dir", home.root, "--role", "developer")
    assert "acme; developer" in same.stdout
    assert "isn't the recorded decision" not in same.stderr
    other = here("policy", "explain", DECISION, "--dir", home.root, "--role", "guest")
    assert "role:gate:read_file" in other.stdout
    assert "this isn't the recorded decision" in other.stderr


def test_another_revision_than_the_recorded_one_is_warned_of(home: Home) -> None:
    record(home, revision="f" * 64)
    run = here("policy", "explain", DECISION, "--dir", home.root)
    assert "the record's revision is ffffffffffff" in run.stderr
    assert "name that day's directory with --dir" in run.stderr


@pytest.mark.parametrize("link", ["", "..data"])
def test_a_record_is_explained_against_the_set_that_pdp_yaml_names(home: Home, link: str) -> None:
    """`policies` of the directory itself is an old set; the record stays where it is."""
    live = home.root / "live"
    version = live / "v1" if link else live
    shutil.copytree(POLICIES, version)
    (version / "mine.cedar").write_text('@id("mine") forbid (principal, action == Action::"read_file", resource);')
    if link:
        (live / link).symlink_to("v1")
    (home.root / "pdp.yaml").write_text("policies: live\n")
    record(home, reasons=["mine"], revision=mounted_dir.read(live).revision)
    run = here("policy", "explain", DECISION, "--dir", home.root)
    assert run.returncode == 0
    assert "Denied: forbidden by mine." in run.stdout
    assert "revision" not in run.stderr


def test_a_policy_directory_without_a_record_beside_it_is_told_where_the_record_is(home: Home, tmp_path: Path) -> None:
    record(home)
    away = tmp_path / "away"
    shutil.copytree(POLICIES, away)
    nowhere = here("policy", "explain", DECISION, "--dir", away)
    assert nowhere.returncode == 1
    assert "--audit" in nowhere.stderr
    for place in (home.root, home.audit):
        run = here("policy", "explain", DECISION, "--dir", away, "--audit", place)
        assert run.returncode == 0
        assert '"bob" == "alice"' in run.stdout
    missing = here("policy", "explain", DECISION, "--dir", away, "--audit", tmp_path / "gone")
    assert (missing.returncode, "is not a directory" in missing.stderr) == (2, True)


def test_a_record_without_a_resource_asks_for_one(home: Home) -> None:
    record(home, resources=None, reasons=["role:gate:read_file"])
    run = here("policy", "explain", DECISION, "--dir", home.root)
    assert run.returncode == 2
    assert "by role:gate:read_file" in run.stderr
    again = here("policy", "explain", DECISION, "--dir", home.root, "--resource", "File::alice/notes.txt")
    assert again.returncode == 0
    assert "taken is guest" in again.stderr
    assert "Denied: forbidden by role:gate:read_file." in again.stdout


@pytest.mark.parametrize("revision", [None, REVISION])
@pytest.mark.parametrize(
    ("reason", "tool", "detail", "told"),
    [
        ("unknown_tool", "get-env", "denied by the PDP", ["catalog pull", "catalog approve", "get-env"]),
        ("unknown_tool", "read_file", "denied by the PDP", ["has it today"]),
        ("quarantined", "crm_search", "changed since it was approved", ["catalog diff", "catalog approve"]),
        ("not_served", "crm_search", "it isn't served here", ["egress in pep.yaml lacks", "mend what"]),
        ("invalid_arguments", "read_file", "path is missing", ["audit show"]),
        ("malformed", None, "no JSON", ["audit show"]),
    ],
)
def test_a_refusal_that_no_policy_decided_is_told_as_it_is_recorded(
    home: Home, reason: str, tool: str | None, detail: str, told: list[str], revision: str | None
) -> None:
    with home.writing() as writer:
        writer.append("policy", {"not_served": ["catalog.yaml:3:1: other: x", "egress in pep.yaml lacks 'other: y'"]})
        writer.append("policy", {"not_served": ["catalog.yaml:6:1: crm_search: egress in pep.yaml lacks 'a:1'"]})
    record(home, reason=reason, tool=tool, detail=detail, resources=None, revision=revision)
    run = here("policy", "explain", DECISION, "--dir", home.root)
    assert (run.returncode, run.stderr) == (0, "")
    for word in (reason, detail, *told):
        assert word in run.stdout
    assert "other" not in run.stdout


def test_the_pdps_own_record_serves_where_the_pep_has_none(home: Home) -> None:
    record(
        home,
        "decision",
        "pdp",
        tool=None,
        actions=["read_file"],
        purpose="call",
        source="grpc",
        reason=None,
        method=None,
    )
    assert '"bob" == "alice"' in here("policy", "explain", DECISION, "--dir", home.root).stdout


def witness(home: Home, **facts: Any) -> None:
    """What the PDP itself recorded of the same decision."""
    mine = {"tool": None, "reason": None, "method": None, "actions": ["read_file"], "purpose": "call", "source": "grpc"}
    record(home, "decision", "pdp", **{**mine, "roles": ["admin"], "scopes": ["a"], "session": {}, **facts})


def test_roles_come_from_the_pdps_record_where_there_is_one(home: Home) -> None:
    record(home)
    witness(home)
    run = here("policy", "explain", DECISION, "--dir", home.root)
    assert run.returncode == 0
    assert "acme; admin" in run.stdout
    assert "roles aren't recorded" not in run.stderr


@pytest.mark.parametrize("session", ["x", {"risk": "high", "mood": 3}, {"ip": 7}, []])
def test_a_record_with_nonsense_in_it_is_still_explained(home: Home, session: Any) -> None:
    record(home)
    witness(home, session=session, roles="admin", scopes={"a": "b"})
    run = here("policy", "explain", DECISION, "--dir", home.root)
    assert run.returncode == 0
    assert "Traceback" not in run.stdout + run.stderr


def test_arguments_that_policies_read_are_asked_for_and_taken(home: Home, tmp_path: Path) -> None:
    (home.root / "policies").unlink()
    copy = home.root / "policies"
    copy.mkdir()
    for name, data in mounted_dir.read(POLICIES).files.items():
        (copy / name).write_bytes(data)
    (copy / "mine.cedar").write_text(
        '@id("mine") forbid (principal, action == Action::"write_file", resource) when { context.input.content == "no" };'
    )
    record(home, tool="write_file", resources=["File::alice/x"], reasons=["mine"])
    missing = here("policy", "explain", DECISION, "--dir", home.root, "--role", "developer")
    assert "arguments are recorded as hashes: content are stood in for; say --input content=VALUE" in missing.stderr
    given = here("policy", "explain", DECISION, "--dir", home.root, "--role", "developer", "--input", "content=no")
    assert '`context.input.content == "no"` is true: "no" == "no"' in given.stdout
    assert "stood in for" not in given.stderr


def test_an_id_that_nothing_records_is_told(home: Home) -> None:
    record(home)
    run = here("policy", "explain", "9" * 32, "--dir", home.root)
    assert run.returncode == 1
    assert "no call with the decision id" in run.stderr
    assert "next:" in run.stderr


def test_names_in_a_record_do_not_write_to_the_terminal(home: Home) -> None:
    record(home, user="al\x1b[2Jice", resources=["File::bob/\u202ex\n"])
    run = here("policy", "explain", DECISION, "--dir", home.root, "--role", "developer")
    assert run.returncode == 0
    assert not {"\x1b", "\u202e"} & set(run.stdout + run.stderr)
