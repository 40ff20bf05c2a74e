"""`sallyport policy who-can` answers as the PDP decides."""

from __future__ import annotations

from sallyport.cli import shipped
from tests.support.laptop import here

POLICIES = shipped.find()


def _rows(*words: str) -> list[tuple[str, str]]:
    """Each row's first line, and its why."""
    run = here("policy", "who-can", *words, "--dir", POLICIES)
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
