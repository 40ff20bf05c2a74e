"""What may get into an image, and that none passes for a commit which holds something else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[2]
_SOURCES: Final = ("proto/src", *(f"services/{name}/src" for name in ("runtime", "audit", "pdp", "pep")))
_PACKAGE: Final = "services/pdp/src/sallyport/pdp"
_ENGINE: Final = '#!/bin/sh\nwhile [ $# -gt 0 ]; do case "$1" in REVISION=*) echo "$1" >>"$TOLD";; esac; shift; done\n'


def test_the_context_names_each_folder_of_sources_and_no_other() -> None:
    named = {
        line.removeprefix("!").removesuffix("/*.py")
        for line in (_ROOT / ".dockerignore").read_text().splitlines()
        if line.endswith("/*.py")
    }
    found = {
        path.parent.relative_to(_ROOT).as_posix()
        for sources in _SOURCES
        for path in (_ROOT / sources).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert named == found


def git(tree: Path, *arguments: str) -> str:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@sallyport.test", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(tree), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A commit of what the script looks at."""
    made = tmp_path / "tree"
    for name in ("deploy/images/build.sh", ".gitignore", ".dockerignore", "services/pep/pyproject.toml", "LICENSE"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_ROOT / name, made / name)
    (made / _PACKAGE).mkdir(parents=True)
    (made / _PACKAGE / "__init__.py").touch()
    git(made, "init", "--quiet")
    git(made, "add", ".")
    git(made, "commit", "--quiet", "--message", "first")
    return made


def revision(tree: Path) -> str:
    """What the image would be labelled with."""
    engine, told = tree.parent / "engine", tree.parent / "told"
    engine.write_text(_ENGINE)
    engine.chmod(0o755)
    told.unlink(missing_ok=True)
    environment = {"PATH": "/usr/bin:/bin", "DOCKER": str(engine), "TOLD": str(told)}
    subprocess.run([tree / "deploy/images/build.sh", "pdp"], check=True, capture_output=True, env=environment)
    return told.read_text().strip().removeprefix("REVISION=")


@pytest.mark.parametrize("left", ["", f"{_PACKAGE}/__pycache__/x.pyc", f"{_PACKAGE}/../x.egg-info/top.py", "notes.txt"])
def test_an_image_of_the_commit_alone_bears_its_name(tree: Path, left: str) -> None:
    if left:
        (tree / left).parent.mkdir(exist_ok=True)
        (tree / left).touch()
    assert revision(tree) == git(tree, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "left", [f"{_PACKAGE}/__init__.py", f"{_PACKAGE}/new.py", f"{_PACKAGE}/build/leak.py", f"{_PACKAGE}/dist/a b.py"]
)
def test_an_image_of_anything_more_does_not_pass_for_the_commits_own_even_where_git_ignores_it(
    tree: Path, left: str
) -> None:
    (tree / left).parent.mkdir(exist_ok=True)
    (tree / left).write_text("more = 1\n")
    assert revision(tree) == f"{git(tree, 'rev-parse', 'HEAD')}-modified"


def test_a_file_that_only_this_machine_ignores_counts_too(tree: Path) -> None:
    (tree / ".git/info/exclude").write_text("secret.py\n")
    (tree / _PACKAGE / "secret.py").touch()
    assert revision(tree).endswith("-modified")
