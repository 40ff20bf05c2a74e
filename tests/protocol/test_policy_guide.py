"""policies/README.md and the cookbook, followed to the letter by somebody who starts in an empty directory."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sallyport.pdp.load import load
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from tests.support import guide, laptop

ROOT = Path(__file__).resolve().parents[2]
DECISION = re.compile(r"decision: +([0-9a-f]{32})")


class Reader:
    """Somebody with a terminal in one directory, and a second one in which `up` runs."""

    def __init__(self, place: Path, running: ExitStack) -> None:
        self.place = place
        self.running = running
        self.decision = ""

    def follow(self, step: guide.Step) -> None:
        match step:
            case guide.File(path, text):
                (self.place / path).write_text(text)
            case guide.Sample(text):
                whole = mounted_dir.read(ROOT / "policies").files
                load(Contents({**whole, "sample.cedar": text.encode()}, "0" * 64))
            case guide.Command(line, shown):
                self.see(line, shown, self.type(line))

    def see(self, line: str, shown: tuple[str, ...], output: str) -> None:
        """Every line that the guide shows, in its order."""
        rest = output
        for expected in shown:
            found = next((at for at, said in enumerate(rest.splitlines()) if guide.shows(said, expected)), None)
            assert found is not None, f"after `{line}` the guide shows {expected!r}, but:\n{output}"
            rest = "\n".join(rest.splitlines()[found + 1 :])

    def type(self, line: str) -> str:
        line = line.replace("DECISION_ID", self.decision)
        words = shlex.split(line)
        if words[:2] == ["sallyport", "up"]:
            return "".join(self.running.enter_context(laptop.up(self.place / words[2])).said)
        if words[0] == "sallyport":
            run = laptop.here(*words[1:])
        else:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            run = subprocess.run(
                ["/bin/bash", "-ec", line],
                cwd=self.place, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True,
            )  # fmt: skip
        output = run.stdout + "\n" + run.stderr
        assert "Traceback" not in output
        if found := DECISION.search(output):
            self.decision = found[1]
        return output


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # commands of the cookbook are typed in a checkout
    monkeypatch.chdir(tmp_path)
    with ExitStack() as running:
        yield Reader(tmp_path, running)


@pytest.mark.parametrize("name", ["policies/README.md", "docs/cookbook/README.md"])
def test_whoever_follows_the_guide_sees_what_it_shows(name: str, reader: Reader) -> None:
    followed = list(guide.steps(ROOT / name))
    assert any(isinstance(step, guide.Command) for step in followed)
    for step in followed:
        reader.follow(step)


def test_a_block_that_no_test_can_run_is_no_part_of_a_guide(tmp_path: Path) -> None:
    page = tmp_path / "guide.md"
    page.write_text("Do this:\n\n```sh\nrm -rf /\n```\n")
    with pytest.raises(ValueError, match="no test can run"):
        list(guide.steps(page))


@pytest.mark.parametrize("name", ["policies/README.md", "docs/cookbook/README.md"])
def test_every_link_of_the_guide_leads_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert links
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]
