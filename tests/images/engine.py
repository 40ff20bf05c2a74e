"""The container engine's own client, as an operator would use it."""

from __future__ import annotations

import os
import subprocess
from typing import Final

import pytest

DOCKER: Final = os.environ.get("DOCKER", "docker")
# What every container of these tests is held to. There is no --tmpfs: the services need no /tmp.
SEALED: Final = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")
PYTHON: Final = "/app/bin/python3.13"
_PATIENCE: Final = 600.0  # seconds, for a build


def run(*arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
    """`docker …` to its end, whatever that is."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    return subprocess.run(
        [DOCKER, *arguments],
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
        env=environment,
    )


def docker(*arguments: str, said: str | None = None) -> str:
    """`docker …`, which must succeed; what it printed."""
    done = run(*arguments, said=said)
    assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def must_answer() -> None:
    try:
        done = run("version")
        complaint = done.stderr if done.returncode else ""
    except OSError as error:
        complaint = str(error)
    if complaint:
        pytest.fail(f"these tests need a container engine; start one, or set DOCKER_HOST and DOCKER: {complaint}")
