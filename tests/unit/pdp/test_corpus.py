"""Cedar's own tests through the engine room, and that the comparison itself lets nothing wrong pass."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from sallyport.pdp import corpus

CORPUS = Path(__file__).resolve().parents[3].parent / "shared" / "corpora" / "cedar"
GENERATED = CORPUS / "corpus-visible.tar.gz"
there = pytest.mark.skipif(not GENERATED.is_file(), reason=f"no Cedar corpus at {CORPUS}")
# How many files, requests, differences; permits of Cedar that we deny for an error, and for an absent entity.
HALVES = {0: (2737, 21896, 0, 0, 88), 1: (2737, 21896, 0, 0, 120)}


def figures(counts: Counter[str]) -> tuple[int, ...]:
    return tuple(counts[name] for name in ("files", "requests", "different", "error", "absent"))


def tried(case: corpus.Case | corpus.Unreadable, counts: Counter[str]) -> list[str]:
    assert isinstance(case, corpus.Case)
    return list(corpus.check(case, counts))


@there
@pytest.mark.timeout(600)
@pytest.mark.parametrize("half", sorted(HALVES))
def test_p5_each_generated_test_gives_cedars_decision_reasons_errors_and_validation(half: int) -> None:
    counts: Counter[str] = Counter()
    found = [line for case in islice(corpus.cases(GENERATED), half, None, 2) for line in tried(case, counts)]
    assert found == []
    assert figures(counts) == HALVES[half]


@there
def test_p5_each_test_written_by_hand_does_too() -> None:
    counts: Counter[str] = Counter()
    assert [line for case in corpus.cases(CORPUS / "tests") for line in tried(case, counts)] == []
    assert figures(counts) == (22, 74, 0, 0, 2)


SCHEMA = """
entity User { friend?: User, level: Long };
entity Photo;
action view appliesTo { principal: [User], resource: [Photo], context: { x?: Long } };
"""
POLICIES = """
// A semicolon; in a comment
permit (principal == User::"alice", action, resource);
@id("named") permit (principal is User, action == Action::"view", resource) when { context has x && context.x + 9223372036854775807 > 0 };
forbid (principal, action, resource in Photo::"secret;");
"""  # fmt: skip
ENTITIES: list[dict[str, Any]] = [
    {"uid": {"type": "User", "id": "alice"}, "attrs": {"level": 1}, "parents": []},
    {"uid": {"type": "User", "id": "bob"}, "attrs": {"level": 1, "friend": {"__entity": {"type": "User", "id": "nobody"}}}, "parents": []},
    *({"uid": {"type": "Photo", "id": name}, "attrs": {}, "parents": []} for name in ("a", "secret;")),
]  # fmt: skip


def request(decision: str, reason: list[str], errors: list[str], **changes: Any) -> dict[str, Any]:
    uids = {
        part: {"type": kind, "id": name}
        for part, kind, name in (
            ("principal", "User", "alice"), ("action", "Action", "view"), ("resource", "Photo", "a")
        )
    }  # fmt: skip
    return {"description": "one", **uids, "context": {}, "decision": decision, "reason": reason, "errors": errors, **changes}  # fmt: skip


TEST: dict[str, Any] = {
    "policies": "sets/p.cedar",
    "entities": "sets/e.json",
    "schema": "sets/s.cedarschema",
    "shouldValidate": True,
    "requests": [
        request("allow", ["policy0"], []),
        request("deny", ["policy2"], [], resource={"type": "Photo", "id": "secret;"}),
        request("allow", ["policy0"], ["policy1"], context={"x": 1}),
        request("allow", ["policy0", "policy1"], [], context={"x": 0}),
        request("deny", [], [], principal={"type": "User", "id": "bob"}),
        request("allow", ["policy1"], [], principal={"type": "User", "id": "bob"}, context={"x": 0}),
    ],
}


def laid_out(
    directory: Path, test: Any = TEST, *, policies: str = POLICIES, name: str = "one.json", sets: str = "sets"
) -> Path:
    (directory / sets).mkdir(parents=True, exist_ok=True)
    (directory / sets / "p.cedar").write_text(policies)
    (directory / sets / "e.json").write_text(json.dumps(ENTITIES))
    (directory / sets / "s.cedarschema").write_text(SCHEMA)
    (directory / name).write_text(json.dumps(test))
    return directory / name


def run(*paths: Path) -> int:
    return corpus.main([str(path) for path in paths])


def test_p5_a_case_in_order_passes_and_our_two_rules_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laid_out(tmp_path)) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 files, 6 requests: 0 differ from Cedar")
    assert "1 for an evaluation error, 1 for an absent entity" in said


def spoilt(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    test = copy.deepcopy(TEST)
    change(test)
    return test


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "a permit for a denial": lambda test: test["requests"][1].update(decision="allow"),
    "a denial for a permit": lambda test: test["requests"][0].update(decision="deny"),
    "a permit denied for our error rule alone": lambda test: test["requests"][2].update(errors=[]),
    "another reason": lambda test: test["requests"][0].update(reason=["policy1"]),
    "a reason too many": lambda test: test["requests"][0].update(reason=["policy0", "policy1"]),
    "a reason too few": lambda test: test["requests"][3].update(reason=["policy0"]),
    "no reason": lambda test: test["requests"][1].update(reason=[]),
    "a reason of an absent principal": lambda test: test["requests"][5].update(reason=["policy0"]),
    "an error that isn't": lambda test: test["requests"][0].update(errors=["policy1"]),
    "another error": lambda test: test["requests"][2].update(errors=["policy0"]),
    "validation": lambda test: test.update(shouldValidate=False),
    "a context that doesn't fit the schema": lambda test: test["requests"][0].update(context={"x": "1"}),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_p5_a_wrong_expectation_is_reported(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laid_out(tmp_path, spoilt(WRONG[name]))) == 1
    said = capsys.readouterr().out
    assert said.startswith("one.json: ")
    assert " requests: 1 differ from Cedar" in said


UNREADABLE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a decision misspelt": lambda test: test["requests"][4].update(decision="denied"),
    "no decision": lambda test: test["requests"][4].pop("decision"),
    "no reasons": lambda test: test["requests"][0].pop("reason"),
    "no errors": lambda test: test["requests"][0].pop("errors"),
    "no principal": lambda test: test["requests"][0].update(principal=None),
    "no requests": lambda test: test.update(requests=[]),
    "a validation that isn't one": lambda test: test.update(shouldValidate="true"),
    "a file that isn't there": lambda test: test.update(policies="sets/other.cedar"),
    "no file named": lambda test: test.pop("entities"),
}


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_is_not_whole_is_said_and_not_passed(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laid_out(tmp_path, spoilt(UNREADABLE[name]))) == 2
    assert capsys.readouterr().err.startswith("can't be read: one.json: ")


@pytest.mark.parametrize("policies", ["permit (principal", "permit (principal == ?principal, action, resource);"])
def test_policies_that_cedar_cannot_take_are_said_with_their_file(
    tmp_path: Path, policies: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laid_out(tmp_path, policies=policies)) == 2
    assert capsys.readouterr().err.startswith("can't be read: one.json: ")


def test_files_that_are_missing_or_no_tests_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = tmp_path / "noise.tar.gz"
    noise.write_bytes(b"not an archive")
    (tmp_path / "list.json").write_text("[]")
    for path in (tmp_path / "gone.json", noise, tmp_path / "list.json"):
        assert run(path) == 2
        assert str(path.name) in capsys.readouterr().err or path == noise
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty") == 1  # nothing was compared


def test_tests_of_one_name_in_two_folders_of_an_archive_are_two_tests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ones written by hand are all called 1.json, 2.json …; the last one must not stand for all."""
    for folder in ("first", "second"):
        laid_out(tmp_path / folder)
    laid_out(tmp_path / "second", spoilt(WRONG["validation"]))
    packed = tmp_path / "all.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        for path in sorted(tmp_path.rglob("*.*")):
            if path != packed:
                archive.add(path, path.relative_to(tmp_path))
    assert run(packed) == 1
    assert "2 files, 12 requests: 1 differ" in capsys.readouterr().out
    assert run(tmp_path) == 1  # the folders, and the archive in it
    assert "4 files, 24 requests: 2 differ" in capsys.readouterr().out


def test_one_file_that_can_not_be_read_hides_nothing_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laid_out(tmp_path / "good")
    laid_out(tmp_path / "wrong", spoilt(WRONG["validation"]))
    broken = tmp_path / "broken.json"
    broken.write_text('{"requests": [')
    entities = tmp_path / "one.entities.json"  # lies beside a test, and is met by *.json
    entities.write_text("[]")
    assert run(broken, entities, tmp_path / "good", tmp_path / "wrong") == 2
    said = capsys.readouterr()
    assert "broken.json" in said.err
    assert "1 can't be read; 2 files, 12 requests: 1 differ" in said.out


def test_what_a_test_names_by_its_path_is_taken_before_what_lies_beside_it(tmp_path: Path) -> None:
    laid_out(tmp_path)
    (tmp_path / "p.cedar").write_text("forbid (principal, action, resource);")
    assert run(tmp_path / "one.json") == 0


def test_archives_may_hold_anything_besides(tmp_path: Path) -> None:
    packed = tmp_path / "odd.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        for name, data in (("a.json", b"[]"), ("b.json", b'{"requests": 1, "policies": 2}')):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert run(packed) == 2


def test_it_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sallyport.pdp.corpus", str(laid_out(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
