"""What is installed is what was pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_SHIPPED = sorted(_ROOT.glob("services/*/requirements.txt"))
_TOOLS = [_ROOT / "deploy/images/requirements.txt", _ROOT / "tests/cluster/client/requirements.txt"]
_FILES = [_ROOT / "requirements.txt", *_SHIPPED, *_TOOLS]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def _pins(path: Path) -> dict[str, tuple[str, bool]]:
    """Name -> (version, whether a hash follows), for each requirement of a file."""
    blocks = re.split(r"\n(?=\S)", path.read_text().strip())
    found = [(match, block) for block in blocks if (match := _PIN.match(block))]
    assert len(found) == len([block for block in blocks if not block.startswith("#")]), f"an unpinned line in {path}"
    return {match[1]: (match[2], "--hash=sha256:" in block) for match, block in found}


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_n29_every_requirement_is_pinned_by_version_and_hash(path: Path) -> None:
    unhashed = [name for name, (_, hashed) in _pins(path).items() if not hashed]
    assert not unhashed


@pytest.mark.parametrize("path", _SHIPPED, ids=lambda path: str(path.relative_to(_ROOT)))
def test_n29_what_ships_is_a_subset_of_what_was_tested(path: Path) -> None:
    tested = _pins(_FILES[0])
    assert all(tested.get(name, ("",))[0] == version for name, (version, _) in _pins(path).items())


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_n29_no_requirement_file_names_an_index(path: Path) -> None:
    assert "://" not in path.read_text()
