"""Many doors at once, and the table that says how each was found."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from doors import Answer, Door, State, knock

PATIENCE = 60.0  # seconds for what still starts: the gate, the canary, policies on their way to the nodes
_SETTLING = 15.0  # seconds in which a new pod's policies may still be on their way
_PAUSE = 1.0
_CALM_ROUNDS = 2
_LATE = ", but not in this pod's first seconds: its policies came after it"


def say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def row(verdict: str, where: object, what: str, why: str) -> None:
    say(f"{verdict:<8}{where!s:<50} {what:<40} {why}")


def fail(*sentences: str) -> NoReturn:
    say()
    for sentence in sentences:
        say(sentence)
    say("FAILED")
    raise SystemExit(1)


def knock_all(doors: Sequence[Door], seconds: float) -> dict[Door, Answer]:
    with ThreadPoolExecutor(max_workers=max(len(doors), 1)) as threads:
        return dict(zip(doors, threads.map(lambda door: knock(door, seconds), doors), strict=True))


def eventually(what: str, attempt: Callable[[], str]) -> None:
    """Try until `attempt` gives "", and fail with what it gave last; tell every few seconds what is waited for."""
    began = told = time.monotonic()
    while why := attempt():
        now = time.monotonic()
        if now - began > PATIENCE:
            fail(f"{what}: not within {PATIENCE:.0f} s. {why}")
        if now - told > _PAUSE * 5:
            say(f"waiting for {what} ({now - began:.0f} s): {why}")
            told = now
        time.sleep(_PAUSE)


def must_open(doors: Sequence[Door], seconds: float, advice: str) -> None:
    """The open doors come first: they show that this pod's network is up and that its knocking is heard."""
    last: dict[Door, Answer] = {}

    def attempt() -> str:
        shut = [door for door in doors if door not in last or last[door].state is not State.OPEN]
        last.update(knock_all(shut, seconds))
        missing = [f"{door} ({door.what}): {last[door].why}." for door in doors if last[door].state is not State.OPEN]
        return " ".join([*missing, advice]) if missing else ""

    eventually("what must answer", attempt)
    for door in doors:
        row("open", door, door.what, last[door].why)


def must_close(doors: Sequence[Door], seconds: float, advice: str) -> None:
    """Closed in two rounds, one after the other. What opens within the first seconds only is told."""
    began, calm, late = time.monotonic(), 0, set[Door]()
    while calm < _CALM_ROUNDS:
        if calm or late:
            time.sleep(_PAUSE)
        answers = knock_all(doors, seconds)
        wrong = {door: answer for door, answer in answers.items() if answer.state is not State.CLOSED}
        late |= wrong.keys()
        calm = 0 if wrong else calm + 1
        if wrong and time.monotonic() - began > _SETTLING:
            break
    for door, answer in answers.items():
        settled = door in late and door not in wrong
        row(
            answer.state if door not in wrong else answer.state.upper(),
            door,
            door.what,
            answer.why + (_LATE if settled else ""),
        )
    if wrong:
        fail(*(_sentence(door, answer) for door, answer in wrong.items()), advice)


def _sentence(door: Door, answer: Answer) -> str:
    if answer.state is State.UNKNOWN:
        return f"UNKNOWN: {door} ({door.what}) was {answer.why}. Name it by its address."
    return f"OPEN: {door} ({door.what}) answers and must not: {answer.why}."


def tell(doors: Sequence[Door], seconds: float) -> None:
    """Whether there is anybody at all behind doors that must be shut for others."""
    for door, answer in knock_all(doors, seconds).items():
        open_ = answer.state is State.OPEN
        why = answer.why if open_ else f"{answer.why}: nothing answers there even through an open door"
        row("open" if open_ else "silent", door, door.what, why)
