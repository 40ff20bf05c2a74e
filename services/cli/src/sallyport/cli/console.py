"""Where text goes: results to stdout, everything about them to stderr. Colours only on a terminal; ASCII always."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from sallyport.cli.complaint import Complaint

# soft_wrap: a path or token must survive being piped, whatever the width of the terminal.
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


_NAME: Final = "sallyport"


def command(*words: str | Path) -> str:
    """`sallyport …` as the operator can type it here: by the path it was run as, unless PATH finds the same one."""
    script = Path(sys.argv[0])
    if script.name != _NAME:  # `python -m sallyport.cli`
        script = Path(sys.executable).with_name(_NAME)
    found = shutil.which(_NAME)
    name = _NAME if not script.exists() or (found and script.samefile(found)) else str(script)
    return shlex.join([name, *map(str, words)])


def show(complaint: Complaint) -> None:
    err.print(Text("error: ", style="bold red").append(complaint.wrong, style="not bold default"))
    err.print(Text("  next: ", style="bold").append(complaint.next_step, style="not bold"))


def step(text: str) -> None:
    """One line of progress."""
    err.print(Text(text, style="dim"))


def warn(text: str) -> None:
    err.print(Text("warning: ", style="bold yellow").append(text, style="not bold default"))
