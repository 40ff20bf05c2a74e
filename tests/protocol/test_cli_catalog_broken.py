"""A review that is broken needs nobody to take it away, and what can't be read or written is told with what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest

from tests.support import laptop
from tests.support.laptop import here
from tests.support.raw_lists import GOOD, Raw, raw_lists


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laptop.init(tmp_path_factory.mktemp("broken") / "laptop")


@pytest.fixture
def server() -> Iterator[Raw]:
    with raw_lists(GOOD) as raw:
        yield raw


@pytest.fixture
def directory(template: Path, tmp_path: Path, server: Raw) -> Path:
    made = Path(shutil.copytree(template, tmp_path / "d", symlinks=True))
    assert here("catalog", "pull", made, server.url, "--name", "crm").returncode == 0
    return made


def pull(directory: Path, server: Raw) -> CompletedProcess[str]:
    return here("catalog", "pull", directory, server.url, "--name", "crm")


REVIEWS: Final[dict[str, Callable[[str], str]]] = {
    "truncated": lambda text: text[: text.index("provider") + 12],
    "cut within a string": lambda text: text[: text.rindex('"')],
    "no YAML": lambda _: "{[",
    "empty": lambda _: "",
    "a list": lambda _: "- 1\n",
    "other entries": lambda _: "tools: [1, 2]\n",
    "no entries": lambda _: "tools: 7\n",
    "no text": lambda _: "\x00\x01",
    "a key twice": lambda text: f"{text}upstream: crm\n",
}
SNAPSHOTS: Final[dict[str, Callable[[str], str]]] = {
    "truncated": lambda text: text[:40],
    "empty": lambda _: "",
    "of another version": lambda _: '{"version":2,"definitions":[]}',
    "no object": lambda _: "[]",
    "a key twice": lambda text: text.replace('"url"', '"url":"x","url"', 1),
    "other definitions": lambda text: text.replace('"tools":[', '"tools":[{"name":1e400},'),
}


@pytest.mark.parametrize("broken", REVIEWS, ids=str)
def test_a_broken_review_is_told_by_approve_and_made_anew_by_pull_which_keeps_what_was_written(
    broken: str, directory: Path, server: Raw
) -> None:
    path, catalog = directory / "pending" / "crm.yaml", (directory / "catalog.yaml").read_bytes()
    whole = path.read_text()
    path.write_text(REVIEWS[broken](whole))
    written = path.read_text()
    refused = here("catalog", "approve", directory, "crm", "good")
    assert refused.returncode in {2, 3}, refused.stdout
    assert "crm.yaml" in refused.stderr
    assert "catalog pull" in refused.stderr.partition("next:")[2]
    assert (directory / "catalog.yaml").read_bytes() == catalog
    run = pull(directory, server)
    assert run.returncode == 0, run.stderr
    assert "made anew" in run.stderr
    assert path.with_name("crm.yaml.unreadable").read_text() == written
    assert "made anew" not in pull(directory, server).stderr
    assert here("catalog", "approve", directory, "crm", "good").returncode == 0


@pytest.mark.parametrize("broken", SNAPSHOTS, ids=str)
def test_a_broken_answer_is_told_by_approve_and_asked_for_anew_by_pull(
    broken: str, directory: Path, server: Raw
) -> None:
    path = directory / "pending" / "crm.json"
    path.write_text(SNAPSHOTS[broken](path.read_text()))
    refused = here("catalog", "approve", directory, "crm", "good")
    assert refused.returncode in {2, 3}, refused.stdout
    assert "catalog pull" in refused.stderr.partition("next:")[2]
    run = pull(directory, server)
    assert run.returncode == 0, run.stderr
    assert "made anew" in run.stderr
    assert here("catalog", "approve", directory, "crm", "good").returncode == 0


def test_a_review_that_isnt_there_is_no_review_with_nothing_in_it(directory: Path, server: Raw) -> None:
    (directory / "pending" / "crm.yaml").unlink()
    for names in (["--all"], ["good"]):
        refused = here("catalog", "approve", directory, "crm", *names)
        assert refused.returncode == 2
        assert "catalog pull" in refused.stderr.partition("next:")[2]
    assert pull(directory, server).returncode == 0
    assert here("catalog", "approve", directory, "crm", "good").returncode == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"definitions":[{"name":1e400},7]}', '{"definitions":7}'])
def test_old_words_that_cant_be_read_stop_nothing(text: str, directory: Path, server: Raw) -> None:
    assert here("catalog", "approve", directory, "crm", "good").returncode == 0
    kept = directory / "approved" / "crm.json"
    kept.write_text(text)
    assert here("catalog", "diff", directory).returncode == 0
    server.entries = [GOOD.replace('"q"', '"query"')]
    found = here("catalog", "diff", directory)
    assert found.returncode == 1
    assert "isn't kept here" in found.stdout
    assert pull(directory, server).returncode == 0
    assert here("catalog", "approve", directory, "crm", "good").returncode == 0
    assert here("catalog", "diff", directory).returncode == 0


@pytest.mark.parametrize(
    "text", ["", "tools: [", "tools: 7\n", "tols: []\n", "- 1\n", "tools: [{name: x}]\n", "\x00"], ids=repr
)
@pytest.mark.parametrize("command", [["pull"], ["diff"], ["approve", "crm", "good"]], ids=lambda words: words[0])
def test_a_catalog_that_was_edited_into_something_invalid_is_named_with_its_place(
    text: str, command: list[str], directory: Path
) -> None:
    (directory / "policies" / "catalog.yaml").write_text(text)
    run = here("catalog", command[0], directory, *command[1:])
    assert run.returncode == 2
    assert "catalog.yaml" in run.stderr
    assert "next: mend that file" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("name", ["pending", "approved"])
def test_a_folder_that_is_none_is_told_with_what_to_do(name: str, directory: Path, server: Raw) -> None:
    shutil.rmtree(directory / name, ignore_errors=True)
    if name == "approved":
        assert pull(directory, server).returncode == 0
    (directory / name).write_text("a file")
    run = here("catalog", "approve", directory, "crm", "good") if name == "approved" else pull(directory, server)
    assert run.returncode != 0
    assert str(directory / name) in run.stderr
    assert "next:" in run.stderr
    assert "[Errno" not in run.stderr


def test_one_upstream_that_is_down_keeps_no_other_from_being_asked(directory: Path, server: Raw) -> None:
    assert here("catalog", "approve", directory, "crm", "good").returncode == 0
    path = directory / "policies" / "catalog.yaml"
    path.write_text(path.read_text().replace("  crm:", '  acrm: {url: "http://127.0.0.1:1/mcp"}\n  crm:'))
    server.entries = [GOOD.replace('"q"', '"query"')]
    run = here("catalog", "diff", directory)
    assert run.returncode == 4
    assert "acrm at http://127.0.0.1:1/mcp can't be listed" in run.stderr
    assert "crm: tool good" in run.stdout
    assert "all is as approved" not in run.stdout
    run = here("catalog", "pull", directory)
    assert run.returncode == 4
    assert "changed: tool good" in run.stdout
