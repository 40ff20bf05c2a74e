"""What the container has left, by both forms of its control group."""

from __future__ import annotations

from pathlib import Path

import pytest

from sallyport.pdp import memory, vet

MIB = 1 << 20


def group(place: Path, form: str, most: str, taken: int, cached: int) -> Path:
    v1 = place / "memory"
    v1.mkdir()
    names = {
        "v2": (place / "memory.max", place / "memory.current", place / "memory.stat", "inactive_file"),
        "v1": (v1 / "memory.limit_in_bytes", v1 / "memory.usage_in_bytes", v1 / "memory.stat", "total_inactive_file"),
    }
    bound, now, stat, name = names[form]
    bound.write_text(f"{most}\n")
    now.write_text(f"{taken}\n")
    stat.write_text(f"anon 1\ninactive_file_more 7\n{name} {cached}\nfile 3\n")
    return place


@pytest.mark.parametrize("form", ["v1", "v2"])
def test_what_is_left_is_the_bound_less_what_is_taken_and_can_not_be_dropped(tmp_path: Path, form: str) -> None:
    assert memory.left(group(tmp_path, form, str(192 * MIB), 150 * MIB, 40 * MIB)) == 82 * MIB


@pytest.mark.parametrize("form", ["v1", "v2"])
def test_nothing_is_left_of_a_full_container(tmp_path: Path, form: str) -> None:
    assert memory.left(group(tmp_path, form, str(MIB), 2 * MIB, 0)) == 0


@pytest.mark.parametrize(("form", "most"), [("v1", "9223372036854771712"), ("v2", "max"), ("v2", "garbage")])
def test_without_a_bound_there_is_none(tmp_path: Path, form: str, most: str) -> None:
    assert memory.left(group(tmp_path, form, most, MIB, 0)) is None


def test_without_control_groups_there_is_no_bound(tmp_path: Path) -> None:
    assert memory.left(tmp_path) is None


def test_a_process_knows_its_own_data(tmp_path: Path) -> None:
    before = memory.own()
    held = bytearray(64 * MIB)
    assert 60 * MIB < memory.own() - before < 80 * MIB
    del held
    assert memory.own(tmp_path / "nowhere") == 0


@pytest.mark.parametrize(("free", "more"), [(100 * MIB, 75 * MIB), (0, 16 * MIB)])
def test_the_checker_may_take_most_of_what_is_left_and_never_too_little_for_a_small_set(
    monkeypatch: pytest.MonkeyPatch, free: int, more: int
) -> None:
    monkeypatch.setattr(memory, "left", lambda: free)
    monkeypatch.setattr(memory, "own", lambda: 20 * MIB)
    assert vet._most_data() == 20 * MIB + more
