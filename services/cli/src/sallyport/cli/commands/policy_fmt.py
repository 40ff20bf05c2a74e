"""`sallyport policy fmt`: .cedar files in one form, so that a diff shows what changed and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.plain import plain
from sallyport.runtime import atomic_file
from sallyport.runtime.problems import ConfigError, Problem

_SUFFIX = ".cedar"


def fmt(
    places: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help=".cedar files, or directories of them.")],
    check: Annotated[bool, typer.Option("--check", help="Write nothing; print what would change.")] = False,
) -> None:
    """Format policies, keeping comments, ids and meaning.

    Exit code: 0 all is in form, 1 --check and something isn't, 2 a file is no policy text.
    """
    from sallyport.cli.formatting import formatted  # noqa: PLC0415 — takes Cedar along

    changed: list[tuple[Path, str, str]] = []
    problems: list[Problem] = []
    files = list(dict.fromkeys(file for place in places for file in _files(place)))
    for file in files:
        text = _text(file)
        try:
            written = formatted(text, str(file))
        except ConfigError as error:
            problems += error.problems
            continue
        if written != text:
            changed.append((file, text, written))
    if problems:  # all or nothing: half a formatted set is a diff that nobody asked for
        raise ConfigError(problems)
    for file, text, written in changed:
        if check:
            _show(file, text, written)
        else:
            atomic_file.write(file.resolve(), written.encode(), mode=file.stat().st_mode & 0o777)
            console.out.print(f"formatted {file}")
    if check and changed:
        raise Complaint(
            f"{len(changed)} of {len(files)} files would change",
            f"format them: {console.command('policy', 'fmt', *places)}",
            Exit.FAILED,
        )


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        inside = place / "policies"
        found = sorted((inside if inside.is_dir() else place).glob(f"*{_SUFFIX}"))
        if not found:
            raise Complaint(f"{place} holds no {_SUFFIX} file", "name a policy directory, or the files themselves")
        yield from found
    elif place.is_file() and place.suffix == _SUFFIX:
        yield place
    else:
        raise Complaint(f"{place} is no {_SUFFIX} file and no directory", "name a policy directory, or .cedar files")


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError.about(file, f"not UTF-8 at byte {error.start}; save the file as UTF-8") from None


def _show(file: Path, text: str, written: str) -> None:
    lines = difflib.unified_diff(text.splitlines(), written.splitlines(), f"{file}", f"{file} (formatted)", lineterm="")
    for line in lines:
        console.out.print(plain(line))
