"""One bridge per test before the opponent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge import Bridge, bridge

Start = Callable[..., Bridge]


@pytest.fixture
def opponent(tmp_path: Path) -> Iterator[Start]:
    """Starts it with these options of the bridge; `arguments` are the opponent's own."""
    script = Path(__file__).with_name("opponent.py")
    with ExitStack() as stack:

        def start(*options: str, arguments: tuple[str, ...] = (), **more: Any) -> Bridge:
            program = [sys.executable, "-I", str(script), *arguments]
            return stack.enter_context(bridge(tmp_path, program, *options, **more))

        yield start
