"""`sallyport call` against the real services: what is printed, and the exit code."""

from __future__ import annotations

import json

import pytest

from sallyport.cli import samples
from tests.support.laptop import Up, here, init, sallyport  # noqa: F401 — a fixture


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_permitted_call_prints_the_result_and_exits_0(sallyport: Up, era: str) -> None:  # noqa: F811
    run = here(
        "call", sallyport.directory, "--as", "alice/coding-bot", "read_file", "path=alice/notes.txt", "--era", era
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert samples.FILES["alice/notes.txt"].strip() in run.stdout


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize(
    ("caller", "words"),
    [
        ("alice/coding-bot", ("read_file", "path=bob/private.txt")),
        ("alice/coding-bot", ("database_query", "table=salaries")),
        ("alice/chat-bot", ("read_file", "path=alice/notes.txt")),
        ("carol/coding-bot", ("list_files",)),
        ("alice/unknown-bot", ("list_files",)),
        ("alice/coding-bot", ("no_such_tool",)),
    ],
)
def test_a_denied_call_names_the_decision_and_what_to_do_next(
    sallyport: Up,  # noqa: F811
    era: str,
    caller: str,
    words: tuple[str, ...],
) -> None:
    run = here("call", sallyport.directory, "--as", caller, *words, "--era", era)
    assert (run.returncode, run.stdout) == (3, "")
    assert "refused: denied by policy (-32010)" in run.stderr
    assert f"sallyport audit show {sallyport.directory} --decision " in run.stderr
    assert "Salary" not in run.stderr
    assert samples.CANARY not in run.stderr


def test_what_next_leads_to_the_record_of_the_denial(sallyport: Up) -> None:  # noqa: F811
    run = here("call", sallyport.directory, "--as", "alice/coding-bot", "database_query", "table=salaries", "--json")
    assert run.returncode == 3
    decision = json.loads(run.stdout)["error"]["data"]["decision_id"]
    shown = here("audit", "show", sallyport.directory, "--decision", decision, "--format", "json")
    assert shown.returncode == 0
    (record,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert record["decision_id"] == decision
    assert "database.production" in json.dumps(record)


def test_a_value_is_typed_by_the_schema(sallyport: Up) -> None:  # noqa: F811
    run = here(
        "call", sallyport.directory, "--as", "alice/coding-bot", "database_query", "table=orders", "limit=1", "--json"
    )
    assert run.returncode == 0, run.stderr
    assert "stapler" in run.stdout
    assert "server rack" not in run.stdout


def test_a_broken_argument_is_a_tool_error_and_exits_5(sallyport: Up) -> None:  # noqa: F811
    run = here("call", sallyport.directory, "--as", "alice/coding-bot", "read_file", "pfad=alice/notes.txt")
    assert run.returncode == 5
    assert run.stderr.startswith("tool error: ")


def test_a_token_that_is_not_believed_is_refused(sallyport: Up) -> None:  # noqa: F811
    run = here(
        "call", sallyport.directory, "--as", "alice/coding-bot", "--org", "initech", "read_file", "path=alice/notes.txt"
    )
    assert run.returncode == 3
    assert "refused: " in run.stderr


@pytest.mark.parametrize("caller", ["alice", "alice/", "/coding-bot", ""])
def test_a_caller_without_user_or_agent_is_wrong_usage(sallyport: Up, caller: str) -> None:  # noqa: F811
    run = here("call", sallyport.directory, "--as", caller, "list_files")
    assert run.returncode == 2
    assert "alice/coding-bot" in run.stderr


def test_nobody_there_exits_4_and_says_how_to_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = init(tmp_path_factory.mktemp("down") / "laptop")
    run = here("call", directory, "--as", "alice/coding-bot", "list_files")
    assert run.returncode == 4
    assert f"sallyport up {directory}" in run.stderr
    stale = {
        "mcp_url": "https://127.0.0.1:9/mcp",
        "management_url": "http://127.0.0.1:9",
        "pdp_address": "127.0.0.1:9",
        "ca_file": str(directory / "pki/ca/ca.crt"),
        "pids": {"pep": 1, "pdp": 1},
    }
    (directory / "run" / "endpoint.json").write_text(json.dumps(stale))
    run = here("call", directory, "--as", "alice/coding-bot", "list_files")
    assert run.returncode == 4
    assert "Traceback" not in run.stderr
