"""`sallyport demo`: three scenes on a throw-away directory, told on one screen. Exit code 0 only if all went as told."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from sallyport.cli import console, endpoint, samples, shipped
from sallyport.cli.commands.init import make
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.laptop import Laptop

_UP: Final = "Ctrl-C stops both"  # the last line that `up` says when it is up
_STOP_SECONDS: Final = 60.0


def demo(
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Leave everything in this new directory.", show_default=False)
    ] = None,
) -> None:
    """Play three scenes: a permit, two denials, a changed record.

    Everything happens in a throw-away directory. Exit code 0 only if every scene goes as told.
    """
    with _directory(keep) as directory:
        told = _play(directory, keep)
    _epilogue(keep, told=told)
    raise typer.Exit(Exit.OK if told else Exit.FAILED)


def _play(directory: Path, keep: Path | None) -> bool:
    from sallyport.cli import scenes  # noqa: PLC0415 — the MCP SDK in it takes most of a second to import

    console.step("setting up keys, policies and sample data in a new directory ...")
    make(directory, shipped.find())
    laptop = Laptop.at(directory)
    console.step("starting the PDP (decides) and the PEP (enforces) ...")
    with _running(laptop):
        here = endpoint.read(laptop)
        console.step("")
        told = [scenes.own_file(laptop, here), scenes.tricked(laptop, here, keep)]
    told.append(scenes.tampered(laptop))
    return all(told)


def _epilogue(keep: Path | None, *, told: bool) -> None:
    if not told:
        console.out.print(Text("NOT as told: see the lines marked UNEXPECTED above.", style="bold red"))
        return
    directory = keep or Path("DIR")
    console.out.print(Text("All three went as told.", style="bold green"))
    start = () if keep else (console.command("init", directory),)
    again = (console.command("up", directory), "# and in another terminal:")
    ask = (directory, "--as", "alice/coding-bot", "read_file", f"path={next(iter(samples.FILES))}")
    console.out.print("Your turn:")
    for line in (*start, *again, console.command("call", *ask)):
        console.out.print(f"  {line}")


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    place = Path(tempfile.mkdtemp(prefix="sallyport-demo-"))
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def _running(laptop: Laptop) -> Iterator[None]:
    """`sallyport up` as a child that can't outlive us."""
    arguments = ("sallyport.cli.tether", "sallyport.cli", "up", str(laptop.root), "--port", "0", "--no-restart")
    with subprocess.Popen(  # noqa: S603 — our own interpreter and module
        [sys.executable, "-P", "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        process_group=0,  # Ctrl-C reaches us alone, and we stop it in order
    ) as child:
        try:
            _wait_until_up(child)
            yield
        finally:
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=_STOP_SECONDS)


def _wait_until_up(child: subprocess.Popen[str]) -> None:
    said: list[str] = []
    for line in child.stdout or ():
        if _UP in line:
            for warning in (text for text in said if text.startswith("warning:")):
                console.err.print(warning.rstrip())
            return
        said.append(line)
    console.err.print("".join(said).rstrip())
    raise Complaint("the demo's services didn't start", "mend what the lines above say", Exit.FAILED)
