"""Files that are replaced while something built from them serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sallyport.runtime.atomic_file import read_public
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError
from tests.support.raw_http import BOUND


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def following(
    file: Path, fit: Callable[[int, int], None] = lambda _, __: None, clock: Clock | None = None
) -> Followed[int]:
    def build() -> int:
        try:
            return int(read_public(file))
        except ValueError:
            raise ConfigError.about(file, "is no number; write one") from None

    return Followed("number", lambda: read_public(file).decode(), build, fit, clock or Clock())


def test_n30_a_change_is_taken_once_it_holds_still(file: Path) -> None:
    followed = following(file)
    assert not followed.look()
    file.write_text("2")
    assert not followed.look()
    file.write_text("23")  # somebody was still writing
    assert not followed.look()
    assert followed.value == 1
    assert followed.look()
    assert followed.value == 23
    assert not followed.look()


def test_n30_what_is_broken_never_serves_and_is_said_until_it_is_mended(file: Path) -> None:
    followed = following(file)
    for broken, why in ((b"x", "is no number"), (b"", "is no number"), (None, "can't be read")):
        file.unlink() if broken is None else file.write_bytes(broken)
        assert not followed.look()
        assert not followed.look()
        assert followed.value == 1
        assert f"{file}: {why}" in followed.failure
    file.write_text("2")
    followed.look()
    assert followed.look()
    assert (followed.value, followed.failure) == (2, "")


def test_n30_the_old_bytes_put_back_end_the_complaint(file: Path) -> None:
    followed = following(file)
    for text, complains in (("x", True), ("1", False)):
        file.write_text(text)
        followed.look()
        assert not followed.look()
        assert bool(followed.failure) is complains


def test_a_file_that_is_missing_for_a_moment_is_nothing_to_complain_about(file: Path) -> None:
    followed = following(file)
    file.unlink()
    followed.look()
    file.write_text("1")
    followed.look()
    followed.look()
    assert not followed.failure


def test_there_is_a_line_in_the_log_at_each_change_and_not_at_each_look(file: Path) -> None:
    followed = following(file)
    with capture_logs() as logs:
        for text in ("x", "2", "y", "2"):
            file.write_text(text)
            for _ in range(5):
                followed.look()
    assert [line["event"].partition(";")[0] for line in logs] == [
        "replacement refused",
        "replaced",
        "replacement refused",
        "the files hold again what serves",
    ]
    assert logs[0] == {
        "event": "replacement refused; the last good one serves",
        "log_level": "error",
        "what": "number",
        "problem": f"{file}: is no number; write one",
    }


def test_n30_what_changes_while_it_is_built_from_is_not_taken(file: Path) -> None:
    states = iter(("1", "1", "2", "2", "3", "3", "3", "3"))
    built = iter((1, 2, 3))
    followed = Followed("number", lambda: next(states), lambda: next(built))
    assert [followed.look() for _ in range(3)] == [False] * 3  # seen as 2, built as 2, and it was 3 by then
    assert followed.value == 1
    assert followed.look()
    assert followed.value == 3


def test_a_start_takes_files_that_just_changed(tmp_path: Path) -> None:
    states = iter(("1", "2", "2", "2"))
    assert Followed("number", lambda: next(states), lambda: 7).value == 7


def test_n30_files_that_never_hold_still_stop_the_start() -> None:
    states = iter(range(100))
    with pytest.raises(ConfigError, match="kept changing"):
        Followed("number", lambda: str(next(states)), lambda: 7)


def test_n5_what_is_broken_stops_the_start(file: Path) -> None:
    file.write_text("x")
    with pytest.raises(ConfigError, match="is no number; write one"):
        following(file)


def test_n30_what_may_not_replace_what_serves_is_tried_again_until_it_may(file: Path) -> None:
    ripe: list[int] = []
    compared: list[tuple[int, int]] = []
    clock = Clock()

    def fit(served: int, made: int) -> None:
        compared.append((served, made))
        if made not in ripe:
            raise ConfigError.about(file, "isn't ripe")

    followed = following(file, fit, clock)  # a start takes it as it is
    file.write_text("2")
    followed.look()
    for _ in range(3):
        clock.now += 30
        assert not followed.look()
        assert followed.failure == f"{file}: isn't ripe"
    assert compared == [(1, 2)] * 3
    ripe.append(2)
    clock.now += 30
    assert followed.look()
    assert (followed.value, followed.failure) == (2, "")


def test_n30_the_same_refused_bytes_are_not_built_from_at_each_look(file: Path) -> None:
    tried: list[int] = []
    clock = Clock()

    def fit(_: int, made: int) -> None:
        tried.append(made)
        raise ConfigError.about(file, "is refused")

    followed = following(file, fit, clock)
    for text, seconds, attempts in (
        ("2", 1, 1),
        ("2", 29, 1),
        ("2", 1, 2),
        ("3", 0, 3),
        ("2", 0, 4),
        ("1", 0, 4),
        ("2", 0, 5),
    ):
        file.write_text(text)
        clock.now += seconds
        for _ in range(5):
            assert not followed.look()
        assert len(tried) == attempts, (text, clock.now)
        assert bool(followed.failure) is (text != "1")


def test_n30_a_builder_that_breaks_changes_nothing(file: Path) -> None:
    faults = iter((None, RuntimeError("a secret"), RuntimeError("a secret")))

    def build() -> int:
        if fault := next(faults):
            raise fault
        return 1

    followed = Followed("number", lambda: read_public(file).decode(), build)
    file.write_text("2")
    followed.look()
    assert not followed.look()
    assert (followed.value, followed.failure) == (1, "can't be used: RuntimeError")


async def test_n30_a_watch_goes_on_whatever_happens_to_those_who_hear(file: Path) -> None:
    followed = following(file)
    heard: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    def hear(older: int, newer: int) -> None:
        heard.put_nowait((older, newer))
        raise RuntimeError("broken")

    task = asyncio.create_task(followed.watch(hear, poll=0.01))
    try:
        for number in (2, 3):
            await asyncio.to_thread(file.write_text, str(number))
            assert await asyncio.wait_for(heard.get(), BOUND) == (number - 1, number)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
