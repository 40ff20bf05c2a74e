"""The two images as a pair that serves: read-only root, no capability, no network but their own loopback, no /tmp."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.images.engine import run
from tests.images.image import Image
from tests.images.pair import Pair, pair, until
from tests.support import laptop
from tests.support.raw_call import denied, permitted

_STATUS = "print(open('/proc/1/status').read())"
_WRITES = """
import errno, os
refused = []
for folder in ("/", "/app", "/etc", "/home/nonroot", "/tmp", "/usr/bin", "/var", "/app/lib/python3.13/site-packages"):
    try:
        os.close(os.open(f"{folder}/written", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        refused.append(error.errno in (errno.EROFS, errno.EACCES))
print(refused.count(True), "of 8 refused")
"""
_FORBID = '@id("nothing_today")\nforbid (principal, action, resource);\n'


@pytest.fixture(scope="module")
def serving(images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(images, tmp_path_factory.mktemp("serving") / "gate") as made:
        yield made


def test_a_permitted_call_is_served_and_another_denied(serving: Pair) -> None:
    answer = serving.call("read_file", path="alice/notes.txt")
    assert permitted(answer), answer
    assert "Ship the export" in answer["result"]["content"][0]["text"]
    assert denied(serving.call("read_file", path="bob/private.txt"))


def test_the_database_tool_runs_without_a_folder_for_temporary_files(serving: Pair) -> None:
    assert permitted(serving.call("database_query", table="customers"))
    assert denied(serving.call("database_query", table="salaries"))


@pytest.mark.parametrize("service", ["pdp", "pep"])
def test_the_process_has_a_numeric_user_no_capability_and_no_way_to_new_ones(serving: Pair, service: str) -> None:
    lines = serving.python(getattr(serving, service), _STATUS).splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    assert set(status["Uid"] + status["Gid"]) == {"65532"}
    assert status["NoNewPrivs"] == ["1"]
    assert {status[f"Cap{kind}"][0] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}


@pytest.mark.parametrize("service", ["pdp", "pep"])
def test_no_folder_of_the_root_can_be_written(serving: Pair, service: str) -> None:
    assert serving.python(getattr(serving, service), _WRITES) == "8 of 8 refused"


@pytest.mark.parametrize("service", ["pdp", "pep"])
def test_no_shell_can_be_opened_in_a_running_container(serving: Pair, service: str) -> None:
    assert run("exec", getattr(serving, service), "sh").returncode != 0


def test_a_changed_policy_is_vetted_by_the_child_and_comes_into_force(
    images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pair(images, tmp_path_factory.mktemp("vetted") / "gate") as made:
        made.write("policies/broken.cedar", "permit (")
        until(lambda: "policy set refused" in made.logs(made.pdp), lambda: made.logs(made.pdp))
        assert permitted(made.call("read_file", path="alice/notes.txt"))
        made.write("policies/broken.cedar", _FORBID)
        until(lambda: denied(made.call("read_file", path="alice/notes.txt")), lambda: made.logs(made.pdp))


def test_both_stop_when_told_to_and_leave_a_record_that_verifies(
    images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pair(images, tmp_path_factory.mktemp("stopped") / "gate") as made:
        assert permitted(made.call("read_file", path="alice/notes.txt"))
        assert (made.stop(made.pep), made.stop(made.pdp)) == (0, 0)
    verified = laptop.cli("audit", "verify", made.directory)
    assert verified.returncode == 0, verified.stdout + verified.stderr
