"""What every driver asks for, and the one line that it prints; other drivers run where none of our types are known."""

from __future__ import annotations

import json
import os
from typing import Any, Final

# The tools to call with their arguments, as the test has them.
ASKED: Final[list[tuple[str, dict[str, Any]]]] = json.loads(os.environ.get("ASKED", "[]"))


def report(tools: list[str], answers: list[Any], era: str = "") -> None:
    """`answers` are texts, or {"error": message} where the client understood that it was refused."""
    print(json.dumps({"tools": tools, "answers": answers, "era": era}))  # noqa: T201 — it is what the test reads
