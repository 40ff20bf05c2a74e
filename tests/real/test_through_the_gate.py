"""The same servers behind the gate, approved by its own commands: what was approved works, and nothing else is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.real.conftest import Place
from tests.support import laptop

TOOL_ERROR = 5  # of `sallyport call`: the tool itself says that it failed


@contextmanager
def guarded(directory: Path, name: str, place: Place, *tools: str) -> Iterator[Path]:
    """A running gate with these tools of a server approved, as the README tells it."""
    url, token = place
    made = laptop.here("init", directory, "--upstream", f"{name}={url}")
    assert made.returncode == 0, made.stderr
    if token is not None:
        path = directory / "policies/catalog.yaml"
        catalog = yaml.safe_load(path.read_text())
        catalog["upstreams"][name] |= {"credential": "authorization", "era": "2025-11-25"}
        path.write_text(yaml.safe_dump(catalog, sort_keys=False))
        (directory / "upstreams" / name).mkdir(mode=0o700)
        shutil.copy(token, directory / "upstreams" / name / "credential")
        (directory / "upstreams" / name / "credential").chmod(0o600)
    pulled = laptop.here("catalog", "pull", directory)
    assert pulled.returncode == 0, pulled.stderr
    approved = laptop.here(
        "catalog",
        "approve",
        directory,
        name,
        *tools,
        "--effect",
        "read_only",
        *(f"--despite-findings={one}" for one in tools),
    )
    assert approved.returncode == 0, approved.stderr
    assert urlsplit(url).netloc in (directory / "pep.yaml").read_text()
    with laptop.up(directory, "--no-restart") as running:
        running.ready()  # until the upstream was asked all that it has is in quarantine; a real one may take seconds
        yield directory


def call(directory: Path, tool: str, *arguments: str) -> tuple[int, str]:
    """Its exit code and all that was said, of a failure also what the record says."""
    done = laptop.here("call", directory, "--as", "alice/coding-bot", tool, *arguments)
    shown = laptop.here("audit", "show", directory, "--format", "json").stdout if done.returncode else ""
    return done.returncode, f"{done.stdout}\n{done.stderr}\n{shown}"


def whole(directory: Path) -> None:
    assert laptop.here("audit", "verify", directory).returncode == 0
    assert laptop.here("audit", "reconcile", directory).returncode == 0


def test_server_filesystem_reads_what_was_approved_and_has_nothing_else(
    filesystem_url: Place, folder: Path, tmp_path: Path
) -> None:
    with guarded(tmp_path / "gate", "filesystem", filesystem_url, "read_text_file") as directory:
        code, told = call(directory, "read_text_file", f"path={folder / 'hello.txt'}")
        assert (code, "hello from a file" in told) == (0, True), told
        code, told = call(directory, "write_file", f"path={folder / 'new.txt'}", "content=x")
        assert (code, "denied" in told) == (3, True), told
    whole(directory)


def test_mcp_server_git_reads_a_repository(git_url: Place, folder: Path, tmp_path: Path) -> None:
    with guarded(tmp_path / "gate", "git", git_url, "git_log") as directory:
        code, told = call(directory, "git_log", f"repo_path={folder}")
        assert (code, "first" in told) == (0, True), told
    whole(directory)


def test_github_mcp_server_gets_a_call_and_says_itself_that_it_has_no_github(github_url: Place, tmp_path: Path) -> None:
    with guarded(tmp_path / "gate", "github", github_url, "get_me") as directory:
        code, told = call(directory, "get_me")
        assert (code, "failed to get user" in told) == (TOOL_ERROR, True), told
    whole(directory)


@pytest.mark.parametrize(
    ("tool", "given", "exit_code", "expected"),
    [("echo", "message=hello", 0, "hello"), ("get-sum", "a=2", TOOL_ERROR, "/b: required")],
)
def test_server_everything_answers(
    everything_url: Place, tmp_path: Path, tool: str, given: str, exit_code: int, expected: str
) -> None:
    with guarded(tmp_path / "gate", "everything", everything_url, tool) as directory:
        code, told = call(directory, tool, given)
        assert (code, expected in told) == (exit_code, True), told
    whole(directory)
