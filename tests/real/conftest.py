"""Real servers, installed by their own package managers: `pytest -m real tests/real`. Each needs npm, PyPI or Go once.

A fixture NAME_url gives the server's URL and the file whose content is the Authorization header, or None.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.bridge import bridge

HERE = Path(__file__).parent
Place: TypeAlias = tuple[str, Path | None]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "real: real MCP servers, installed from their registries; runs only with -m real"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.is_relative_to(HERE)]
    for item in here:
        item.add_marker(pytest.mark.real)
    if "real" not in str(config.getoption("markexpr")):
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]


def installed(server: str) -> list[str]:
    """The command that runs it; the test fails where it can't be installed."""
    done = subprocess.run([HERE / "install.sh", server], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        pytest.fail(f"{server} can't be installed:\n{done.stderr}")
    return done.stdout.strip().split("\t")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the servers of files and of git serve: a repository of one commit."""
    place = tmp_path_factory.mktemp("served")
    (place / "hello.txt").write_text("hello from a file\n")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=T", "-c", "user.email=t@t", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", place, *words], check=True)
    return place


@pytest.fixture(scope="session")
def filesystem_url(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Place]:
    program = [*installed("filesystem"), str(folder)]
    with bridge(tmp_path_factory.mktemp("filesystem"), program, "--read-only") as running:
        yield running.url, running.token_file


@pytest.fixture(scope="session")
def git_url(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Place]:
    program = [*installed("git"), "--repository", str(folder)]
    with bridge(tmp_path_factory.mktemp("git"), program, "--read-only", "--env", "PATH") as running:
        yield running.url, running.token_file


@pytest.fixture(scope="session")
def github_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Its calls would need GitHub; its tools don't."""
    program = [*installed("github"), "stdio"]
    token = ("--env", "GITHUB_PERSONAL_ACCESS_TOKEN=ghp_made_up")
    with bridge(tmp_path_factory.mktemp("github"), program, "--read-only", *token) as running:
        yield running.url, running.token_file


@pytest.fixture(scope="session")
def everything_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """By stdio too: over HTTP it listens on every address."""
    with bridge(tmp_path_factory.mktemp("everything"), [*installed("everything"), "stdio"], "--read-only") as running:
        yield running.url, running.token_file
