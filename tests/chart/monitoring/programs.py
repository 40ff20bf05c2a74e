"""The programs that these tests run, and what to do where one is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

_FROM: Final = {
    "helm": "install Helm 3.14 or newer, or name it in HELM",
    "promtool": "it is in Debian's package prometheus; without its daemon: apt-get download prometheus && "
    "dpkg -x prometheus_*.deb DIR && export PROMTOOL=DIR/usr/bin/promtool",
    "prometheus": "it is in Debian's package prometheus; without its daemon: apt-get download prometheus && "
    "dpkg -x prometheus_*.deb DIR && export PROMETHEUS=DIR/usr/bin/prometheus",
}


@cache
def find(name: str) -> str:
    """The path of a program: from the environment variable of its name, or else from PATH."""
    found = shutil.which(os.environ.get(name.upper()) or name)
    if found is None:
        pytest.fail(f"this test runs {name}, which isn't here: {_FROM[name]}", pytrace=False)
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [find("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
