"""Bridges before the opponent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge import Bridge, bridge

Start = Callable[..., Bridge]


SCRIPT = Path(__file__).with_name("opponent.py")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """For tests that bring sessions of their own and look at nothing else."""
    with bridge(tmp_path_factory.mktemp("bridge"), [sys.executable, "-I", str(SCRIPT)], "--sessions", "64") as running:
        yield running


@pytest.fixture
def opponent(tmp_path: Path) -> Iterator[Start]:
    """Starts it with these options of the bridge; `arguments` are the opponent's own."""
    with ExitStack() as stack:

        def start(*options: str, arguments: tuple[str, ...] = (), **more: Any) -> Bridge:
            program = [sys.executable, "-I", str(SCRIPT), *arguments]
            return stack.enter_context(bridge(tmp_path, program, *options, **more))

        yield start
