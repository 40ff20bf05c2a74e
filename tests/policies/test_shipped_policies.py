"""The shipped policies' truth table: for every policy a case that it permits and one that it denies."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from sallyport.pdp.model import Effect, ErrorCode
from tests.policies.shipped import (
    ALICE,
    BOB,
    CAROL,
    NOON,
    POLICIES,
    TOOLS,
    Person,
    ask,
    cedar_alone,
    changed,
    snapshot,
    visible,
)


def permits(person: Person, action: str, resource: str, policy: str, at: datetime = NOON) -> None:
    verdict = ask(person, action, resource, at=at)
    assert (verdict.effect, verdict.errors) == (Effect.PERMIT, ()), verdict
    assert policy in verdict.reasons if policy else verdict.reasons


def denies(person: Person, action: str, resource: str, policy: str = "", at: datetime = NOON) -> None:
    """With a policy: that forbid decided. Without: no permit matched, and nothing went wrong either."""
    verdict = ask(person, action, resource, at=at)
    assert (verdict.effect, verdict.errors) == (Effect.DENY, ()), verdict
    assert policy in verdict.reasons if policy else not verdict.reasons, verdict


@pytest.mark.parametrize("folder", [".", "alice", "bob"])
def test_an_agent_lists_folders_of_its_users_org(folder: str) -> None:
    permits(ALICE, "list_files", f"Folder::{folder}", "files.list_own_org")


def test_the_owner_reads_a_file_through_a_trusted_agent() -> None:
    permits(ALICE, "read_file", "File::alice/notes.txt", "agent_access.read_own_file")
    permits(BOB, "read_file", "File::bob/notes.txt", "agent_access.read_own_file")


def test_nobody_reads_a_colleagues_file() -> None:
    denies(ALICE, "read_file", "File::bob/notes.txt")
    denies(BOB, "read_file", "File::alice/notes.txt")
    denies(ALICE.as_("admin"), "read_file", "File::bob/notes.txt")


def test_the_owner_reads_nothing_through_an_agent_that_is_not_trusted() -> None:
    denies(ALICE.via("chat-bot"), "read_file", "File::alice/notes.txt")


def test_an_agent_of_little_trust_still_lists_and_queries() -> None:
    permits(ALICE.via("chat-bot"), "list_files", "Folder::.", "files.list_own_org")
    permits(ALICE.via("chat-bot"), "database_query", "Table::orders", "database.read_own_org")


@pytest.mark.parametrize("action", ["write_file", "delete_file"])
def test_the_owner_changes_a_file_through_a_trusted_agent_and_nobody_else_does(action: str) -> None:
    permits(ALICE, action, "File::alice/notes.txt", "files.change_own_file")
    denies(ALICE, action, "File::bob/notes.txt")
    denies(BOB, action, "File::alice/notes.txt")


@pytest.mark.parametrize(("action", "group"), [("write_file", "write"), ("delete_file", "destructive")])
def test_an_agent_of_little_trust_changes_nothing(action: str, group: str) -> None:
    denies(ALICE.via("chat-bot"), action, "File::alice/notes.txt", f"agent_ceiling.{group}")


def test_an_agent_of_no_trust_does_not_even_read() -> None:
    untrusted = changed("agents.yaml", "trust_level: 2", "trust_level: 0")
    for action, resource in (("list_files", "Folder::."), ("database_query", "Table::orders")):
        permits(ALICE.via("chat-bot"), action, resource, "")
        verdict = ask(ALICE.via("chat-bot"), action, resource, within=untrusted)
        assert (verdict.effect, verdict.reasons) == (Effect.DENY, ("agent_ceiling.read_only",))


def test_trust_is_needed_in_steps() -> None:
    for level, may in ((4, set()), (5, {"write_file"}), (6, {"write_file"}), (7, {"write_file", "delete_file"})):
        policies = changed("agents.yaml", "trust_level: 8", f"trust_level: {level}")
        for action in ("write_file", "delete_file"):
            verdict = ask(ALICE, action, "File::alice/notes.txt", within=policies)
            assert (verdict.effect is Effect.PERMIT) == (action in may), (level, action)
        reading = ask(ALICE, "read_file", "File::alice/notes.txt", within=policies)
        assert (reading.effect is Effect.PERMIT) == (level >= 5)


@pytest.mark.parametrize(
    ("old", "new"), [("class: internal", "class: odd"), ("environment: staging", "environment: odd")]
)
def test_a_value_that_nobody_thought_of_opens_nothing(old: str, new: str) -> None:
    policies = changed("resources.yaml", old, new)
    if old.startswith("class"):  # an odd environment counts as production, which is an administrator's
        assert ask(ALICE.as_("admin"), "database_query", "Table::orders", within=policies).effect is Effect.DENY
    assert ask(ALICE, "database_query", "Table::orders", within=policies).effect is Effect.DENY


@pytest.mark.parametrize("action", ["database_query", "describe_table"])
def test_everyday_tables_are_open_to_their_org(action: str) -> None:
    permits(ALICE, action, "Table::orders", "database.read_own_org")
    permits(CAROL, action, "Table::globex_orders", "database.read_own_org")


def test_salaries_are_for_administrators_and_for_their_owner_in_a_senior_role() -> None:
    denies(ALICE, "database_query", "Table::salaries", "database.production")
    denies(BOB, "database_query", "Table::salaries", "database.production")
    denies(ALICE.as_("senior-developer"), "database_query", "Table::salaries")
    permits(BOB.as_("senior-developer"), "database_query", "Table::salaries", "database.read_confidential")
    permits(ALICE.as_("admin"), "database_query", "Table::salaries", "database.read_confidential")
    denies(ALICE.as_("admin").via("chat-bot"), "database_query", "Table::salaries")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("list_files", "Folder::."),
        ("list_files", "Folder::alice"),
        ("read_file", "File::alice/notes.txt"),
        ("write_file", "File::alice/notes.txt"),
        ("delete_file", "File::alice/notes.txt"),
        ("database_query", "Table::orders"),
        ("describe_table", "Table::salaries"),
    ],
)
@pytest.mark.parametrize("role", ["developer", "admin"])
def test_tenants_never_meet(action: str, resource: str, role: str) -> None:
    # A namesake of the owner in another org is the sharper case: only the org differs.
    for person in (CAROL.as_(role), replace(ALICE.as_(role), org="globex")):
        verdict = ask(person, action, resource)
        assert verdict.effect is Effect.DENY
        assert verdict.errors == (ErrorCode.ORG_ISOLATION,) or "org_isolation" in verdict.reasons


@pytest.mark.parametrize(
    ("action", "resource", "without"),
    [
        # With org_isolation.cedar taken away a namesake would read: the other permits ask for the org themselves.
        ("read_file", "File::alice/notes.txt", True),
        ("list_files", "Folder::alice", False),
        ("database_query", "Table::orders", False),
    ],
)
def test_the_policy_keeps_tenants_apart_also_without_the_pdps_own_check(
    action: str, resource: str, without: bool
) -> None:
    namesake = replace(ALICE, org="globex")
    assert cedar_alone(namesake, action, resource) == (False, ["org_isolation"])
    assert cedar_alone(namesake, action, resource, left_out="org_isolation.cedar")[0] is without
    assert cedar_alone(ALICE, action, resource)[0]


def test_nobody_crosses_into_the_other_tenant_the_other_way_either() -> None:
    assert ask(ALICE.as_("admin"), "database_query", "Table::globex_orders").effect is Effect.DENY


def test_an_agent_stays_within_its_own_orgs() -> None:
    permits(CAROL, "database_query", "Table::globex_orders", "database.read_own_org")
    assert ask(CAROL.via("chat-bot"), "database_query", "Table::globex_orders").effect is Effect.DENY


@pytest.mark.parametrize(("hour", "minute", "open_"), [(8, 59, False), (9, 0, True), (17, 59, True), (18, 0, False)])
@pytest.mark.parametrize("action", ["write_file", "delete_file"])
def test_changes_keep_business_hours(action: str, hour: int, minute: int, open_: bool) -> None:
    at = NOON.replace(hour=hour, minute=minute)
    if open_:
        permits(ALICE, action, "File::alice/notes.txt", "files.change_own_file", at)
    else:
        denies(ALICE, action, "File::alice/notes.txt", "business_hours", at)


@pytest.mark.parametrize("hour", range(24))
def test_reading_never_depends_on_the_clock(hour: int) -> None:
    at = NOON.replace(hour=hour)
    permits(ALICE, "read_file", "File::alice/notes.txt", "agent_access.read_own_file", at)
    permits(ALICE, "list_files", "Folder::.", "files.list_own_org", at)
    permits(ALICE, "database_query", "Table::orders", "database.read_own_org", at)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("list_files", "Folder::."),
        ("read_file", "File::alice/notes.txt"),
        ("write_file", "File::alice/notes.txt"),
        ("delete_file", "File::alice/notes.txt"),
        ("database_query", "Table::orders"),
        ("describe_table", "Table::orders"),
    ],
)
@pytest.mark.parametrize("roles", [(), ("guest",), ("readonly",)])
def test_without_the_permission_to_call_nothing_is_called(action: str, resource: str, roles: tuple[str, ...]) -> None:
    assert ask(ALICE.as_(*roles), action, resource).effect is Effect.DENY


def test_a_user_reads_and_a_developer_also_changes() -> None:
    user = ALICE.as_("user")
    permits(user, "read_file", "File::alice/notes.txt", "agent_access.read_own_file")
    assert ask(user, "write_file", "File::alice/notes.txt").effect is Effect.DENY
    permits(ALICE, "write_file", "File::alice/notes.txt", "files.change_own_file")


@pytest.mark.parametrize("role", ["guest", "readonly", "user", "developer", "senior-developer", "admin"])
def test_every_role_may_ask_for_the_list_of_tools(role: str) -> None:
    assert ask(ALICE.as_(role), "tools/list", "Server::sallyport").effect is Effect.PERMIT


def test_without_a_role_there_is_no_list_either() -> None:
    assert ask(ALICE.as_(), "tools/list", "Server::sallyport").effect is Effect.DENY


@pytest.mark.parametrize(
    ("person", "tools"),
    [
        (ALICE, TOOLS),
        (CAROL, TOOLS),
        (ALICE.as_("guest"), ()),
        (ALICE.as_("readonly"), ()),
        (ALICE.as_(), ()),
        (ALICE.as_("user"), ("list_files", "read_file", "database_query", "describe_table")),
        (ALICE.via("chat-bot"), ("list_files", "database_query", "describe_table")),
        (CAROL.via("chat-bot"), ()),
        (ALICE.via("nobody"), ()),
        (ALICE.as_("emperor"), ()),
    ],
    ids=lambda value: "-".join((value.user, *value.roles, value.agent)) if isinstance(value, Person) else None,
)
def test_n9_exactly_those_tools_are_visible_for_which_some_call_may_be_permitted(
    person: Person, tools: tuple[str, ...]
) -> None:
    shown = {name for name, verdict in visible(person).items() if verdict.effect is not Effect.DENY}
    assert shown == set(tools)


@pytest.mark.parametrize("resource", ["Table::secrets", "File::carol/notes.txt", "File::alice", "Folder::alicea"])
def test_a_resource_that_nobody_knows_is_denied(resource: str) -> None:
    action = {"Table": "database_query", "File": "read_file", "Folder": "list_files"}[resource.partition("::")[0]]
    assert ask(ALICE, action, resource).errors == (ErrorCode.UNKNOWN_RESOURCE,)


def test_a_denial_by_a_ceiling_tells_the_caller_what_to_do() -> None:
    late = ask(ALICE, "write_file", "File::alice/notes.txt", at=NOON.replace(hour=22))
    assert late.advice == ("Changes are possible from 09:00 to 17:59 UTC.",)
    assert ask(ALICE, "database_query", "Table::salaries").advice
    # Org isolation says nothing: advice would tell that the other tenant's resource exists.
    assert not ask(CAROL, "database_query", "Table::salaries").advice


def test_every_policy_has_an_id_a_reason_and_a_test() -> None:
    tests = "".join(path.read_text() for path in sorted((POLICIES.parent / "tests" / "policies").glob("test_*.py")))
    for path in sorted(POLICIES.glob("*.cedar")):
        lines = path.read_text().splitlines()
        ids = [number for number, line in enumerate(lines) if line.startswith("@id(")]
        assert len(ids) == sum(line.startswith(("permit", "forbid")) for line in lines), path.name
        for number in ids:
            name = lines[number].removeprefix('@id("').removesuffix('")')
            assert lines[number - 1].startswith("// "), name
            # agent_ceiling's ids are put together from the group in its test.
            assert name in tests or f"{name.rpartition('.')[0]}.{{group}}" in tests, name


def test_the_shipped_set_is_one_revision() -> None:
    assert len(snapshot().revision) == 64
