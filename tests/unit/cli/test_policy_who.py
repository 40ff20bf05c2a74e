"""`sallyport policy who-can` answers as the PDP decides."""

from __future__ import annotations

import itertools
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sallyport.cli import shipped, subjects, who
from sallyport.pdp.decider import decide
from sallyport.pdp.findings.parts import read
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session
from sallyport.runtime import mounted_dir
from tests.support.laptop import here

POLICIES = shipped.find()


def _rows(*words: str, directory: Path = POLICIES) -> list[tuple[str, str]]:
    """Each row's first line, and its why."""
    run = here("policy", "who-can", *words, "--dir", directory)
    assert run.returncode == 0
    lines = [line for line in run.stdout.splitlines() if line.startswith("  ")]
    return list(zip(lines[::2], (line.strip() for line in lines[1::2]), strict=True))


def test_the_owner_may_through_a_trusted_agent_and_nobody_of_another_org() -> None:
    rows = _rows("read_file", "File::alice/notes.txt")
    permitted = [(row, why) for row, why in rows if row.split()[0] == "permit"]
    assert len(permitted) == 1
    assert "acme: alice via coding-bot; user, developer, senior-developer, admin" in permitted[0][0]
    assert permitted[0][1] == "agent_access.read_own_file"
    assert any("globex: anybody via any agent; any role" in row and why == "ORG_ISOLATION" for row, why in rows)
    assert any("guest, readonly" in row and why.startswith("role:gate:read_file; ") for row, why in rows)


def test_what_hangs_on_the_hour_is_conditional_either_way() -> None:
    for hour, answer in (("12", "conditional, now permit"), ("22", "conditional, now deny")):
        rows = _rows("write_file", "File::alice/notes.txt", "--at", f"2026-03-04T{hour}:00:00Z")
        found = [why for row, why in rows if answer in row and "acme: alice via coding-bot" in row]
        assert found == ["business_hours"]


def test_without_a_resource_all_that_the_set_names_are_asked_and_it_says_so() -> None:
    run = here("policy", "who-can", "database_query", "--dir", POLICIES)
    assert {"Table::salaries", "Table::globex_orders"} <= set(run.stdout.replace(", ", "\n").splitlines())
    assert "each role alone" in run.stderr
    assert "resources are those that resources.yaml names" in run.stderr


def test_what_cannot_be_asked_is_refused_with_what_to_do() -> None:
    for words in (
        ("nope",),
        ("read_file", "alice"),
        ("read_file", "--at", "noon"),
        ("read_file", "--session", "risk=x"),
    ):
        run = here("policy", "who-can", *words, "--dir", POLICIES)
        assert (run.returncode, run.stdout) == (2, "")
        assert "next:" in run.stderr


MINE = """
@id("dave") permit (principal in User::"[\\"sallyport-dev\\",\\"dave\\"]", action == Action::"read_file", resource)
when { resource.org == principal.org };
@id("erin") permit (principal, action == Action::"read_file", resource) when { principal.user_id == "erin" };
@id("two") permit (principal in Role::"user", action == Action::"read_file", resource)
when { principal in Role::"guest" };
@id("scoped") permit (principal, action == Action::"read_file", resource)
when { principal.scopes.contains("files:all") };
@id("secret") forbid (principal, action == Action::"read_file", resource == File::"bob/secret.txt");
@id("service") permit (principal, action == Action::"delete_file", resource)
when { principal.user_id like "svc-*" && resource.owner == "bob" };
@id("forwarded") permit (principal, action == Action::"describe_table", resource)
when { ["a", "b"].containsAny(principal.scopes) };
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    copy = tmp_path / "policies"
    shutil.copytree(POLICIES, copy)
    (copy / "mine.cedar").write_text(MINE)
    return copy


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("dave of sallyport-dev via any agent; user", "dave"),
        ("erin via any agent; user", "erin"),
        ("somebody via any agent; guest + user; scopes: none", "two"),
        ("somebody via any agent; user, developer, senior-developer, admin; scopes: files:all", "scoped"),
    ],
)
def test_everybody_whom_a_policy_names_is_asked_about(mine: Path, named: str, why: str) -> None:
    rows = _rows("read_file", "File::bob/notes.txt", directory=mine)
    found = [reasons for row, reasons in rows if row.split()[0] == "permit" and named in row]
    assert found
    assert all(why in reasons for reasons in found)


def test_an_id_that_a_policy_names_has_a_row_of_its_own(mine: Path) -> None:
    rows = _rows("read_file", "File::bob/secret.txt", directory=mine)
    assert {row.split()[0] for row, _ in rows} == {"never"}
    told = here("policy", "who-can", "read_file", "--dir", mine).stdout.splitlines()
    at = told.index("File::bob/secret.txt")
    assert all(row.split()[0] == "never" for row in itertools.takewhile(lambda line: line[0] == " ", told[at + 1 :: 2]))


def test_what_no_list_holds_is_conditional_and_never_never(mine: Path) -> None:
    noon = ("--at", "2026-03-04T12:00:00Z")
    asked = (("delete_file", "File::bob/notes.txt"), "service"), (("describe_table", "Table::salaries"), "forwarded")
    for words, name in asked:
        rows = _rows(*words, *noon, directory=mine)
        assert any("conditional, now deny" in row and "somebody" in row and name in why for row, why in rows)
        assert not any(why.startswith("no permit matches") for _, why in rows)


HIDING = """
@id("trusted") permit (principal, action == Action::"read_file", resource)
when { principal.agent_trust_level >= 9 && context.session.hour_utc < 6 };
"""


@pytest.fixture
def hiding(tmp_path: Path) -> Path:
    """Through an agent that isn't trusted no call can be permitted, at whatever hour."""
    copy = tmp_path / "hiding"
    shutil.copytree(POLICIES, copy)
    (copy / "hiding.cedar").write_text(HIDING)
    return copy


def test_whoever_the_tool_is_hidden_from_is_told_never_and_why(hiding: Path) -> None:
    rows = _rows("read_file", "File::alice/notes.txt", "--at", "2026-03-04T12:00:00Z", directory=hiding)
    hidden = [(row, why) for row, why in rows if why.endswith("isn't listed for them")]
    assert any("acme" in row and why == "no permit matches; the tool isn't listed for them" for row, why in hidden)
    assert {row.split()[0] for row, _ in hidden} == {"never"}


def test_a_hidden_tool_is_never_callable_though_the_session_lacks_a_fact(hiding: Path) -> None:
    catalog = hiding / "catalog.yaml"
    required = "  - name: read_file\n    required_context: [risk]\n"
    catalog.write_text(catalog.read_text().replace("  - name: read_file\n", required))
    rows = _rows("read_file", "File::alice/notes.txt", directory=hiding)
    guests = [why for row, why in rows if "acme" in row and "guest" in row]
    assert guests
    assert all(why == "role:gate:read_file; the tool isn't listed for them" for why in guests)


def test_no_answer_says_conditional_of_a_tool_that_is_not_listed(hiding: Path, mine: Path) -> None:
    for name in ("read_file", "write_file", "delete_file", "describe_table"):
        for directory in (hiding, mine):
            rows = _rows(name, directory=directory)
            assert not [row for row, why in rows if "conditional" in row and "isn't listed" in why]


_SERVICES = 'principal.user_id like "svc-*"'
_DELETE = '(principal, action == Action::"delete_file", resource)'


@pytest.mark.parametrize(
    "text",
    [
        f'@id("service") permit {_DELETE} when {{ {_SERVICES} }};',
        f'@id("all") permit {_DELETE}; @id("wall") forbid {_DELETE} unless {{ {_SERVICES} }};',
    ],
)
def test_what_is_hidden_from_somebody_may_be_open_to_whom_no_list_holds(tmp_path: Path, text: str) -> None:
    copy = tmp_path / "policies"
    shutil.copytree(POLICIES, copy)
    (copy / "files.cedar").write_text(text)
    words = ("delete_file", "File::bob/notes.txt", "--at", "2026-03-04T12:00:00Z")
    rows = [(row, why) for row, why in _rows(*words, directory=copy) if "somebody via coding-bot; developer" in row]
    assert rows
    for row, why in rows:
        assert "conditional, now deny" in row
        assert "isn't listed" not in why


def test_a_fact_that_the_session_lacks_is_a_condition(mine: Path) -> None:
    text = (mine / "catalog.yaml").read_text()
    (mine / "catalog.yaml").write_text(
        text.replace("  - name: read_file\n", "  - name: read_file\n    required_context: [risk]\n")
    )
    rows = _rows("read_file", "File::bob/notes.txt", directory=mine)
    assert any("conditional, now deny" in row and why == "CONTEXT_MISSING" for row, why in rows)
    asked = _rows("read_file", "File::bob/notes.txt", "--session", "risk=1", directory=mine)
    assert not any(why == "CONTEXT_MISSING" for _, why in asked)


def test_whoever_is_told_never_is_denied_and_whoever_is_permitted_appears(mine: Path) -> None:
    """Each caller out of a crowd is told of by the row of the kind that they are."""
    parts = read(mounted_dir.read(mine))
    action = parts.snapshot.rules["read_file"].action
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    uid = ("File", "bob/notes.txt")
    rows = who.answers(parts, who.Asked(action, now, {}, Session(), uid))
    query = Query("read_file", *uid, input={"path": uid[1]})
    for user, roles, scopes in itertools.product(
        ("bob", "erin", "zoe"), (("guest",), ("user",), ("guest", "user")), ((), ("files:all",), ("else",))
    ):
        principal = Principal("laptop", user, "chat-bot", "acme", roles, scopes)
        digest = parts.snapshot.catalog_digest
        verdict = decide(parts.snapshot, principal, [query], Purpose.CALL, catalog_digest=digest, now=now)[0]
        told = user if user in {"bob", "erin"} else "somebody"
        scope = "files:all" if "files:all" in scopes else "none"
        matching = [
            row
            for row in rows
            if row.org == "acme"
            and told in row.user.split(", ")
            and row.agent in {"chat-bot", "any agent"}
            and {" + ".join(roles), "any role"} & set(row.role.split(", "))
            and (not row.scopes or scope in row.scopes.split(", "))
        ]
        assert [row.answer for row in matching] == ["permit" if verdict.effect is Effect.PERMIT else "never"]


OFFERED = """
upstreams: {crm: {url: https://crm.example/mcp}}
prompts: [{name: greet, upstream: crm}, {name: theirs, upstream: crm, orgs: [globex]}]
resources: [{prefix: "crm://", upstream: crm}]
"""


def test_a_method_is_answered_for_each_that_the_catalog_lists(tmp_path: Path) -> None:
    copy = tmp_path / "policies"
    shutil.copytree(POLICIES, copy)
    (copy / "catalog.yaml").write_text((copy / "catalog.yaml").read_text() + OFFERED)
    rows = _rows("prompts/get", "Prompt::greet", directory=copy)
    gets = [row for row, why in rows if why == "role:permit:prompts/get"]
    assert gets
    assert all("developer, senior-developer, admin" in row for row in gets)
    assert any("guest, readonly, user" in row and why == "role:gate:prompts/get" for row, why in rows)
    assert {"Prompt::greet", "Prompt::theirs"} <= set(
        here("policy", "who-can", "prompts/get", "--dir", copy).stdout.splitlines()
    )
    assert "McpResource::crm://*" in here("policy", "who-can", "resources/read", "--dir", copy).stdout.splitlines()
    assert any(
        "acme" in row and why == "ORG_ISOLATION" for row, why in _rows("prompts/get", "Prompt::theirs", directory=copy)
    )


def test_roles_are_put_together_only_where_that_makes_a_difference() -> None:
    roles = read(mounted_dir.read(POLICIES)).roles
    gate, guest = frozenset({"user", "developer"}), frozenset({"guest"})
    kinds, complete = subjects.role_kinds((gate, guest), roles)
    assert complete
    assert [kind[0] for kind in kinds] == [("guest",), ("readonly",), ("user",), ("guest", "user")]
    assert [len(kind) for kind in kinds] == [1, 1, 4, 1]


def test_more_kinds_of_callers_than_are_asked_about_make_no_never() -> None:
    roles = read(mounted_dir.read(POLICIES)).roles
    many = {f"r{number}": type(roles["guest"])(f"r{number}", (), frozenset(), {}) for number in range(12)}
    kinds, complete = subjects.role_kinds([frozenset({name}) for name in many], many)
    assert not complete
    assert len(kinds) == subjects.MOST_SETS + len(many)
