"""A policy directory as the `policy` commands take it: named by itself, or by the directory of `sallyport init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.runtime import mounted_dir, strict_yaml
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from sallyport.pdp.findings.parts import Parts
    from sallyport.pdp.snapshot import Snapshot

_HELP = "A policy directory, or one made by `sallyport init`."
Where = Annotated[Path, typer.Argument(metavar="DIR", help=_HELP)]
There = Annotated[Path, typer.Option("--dir", metavar="DIR", help=_HELP, show_default="where you are")]


def locate(directory: Path) -> Path:
    """The policy directory itself."""
    config = directory / "pdp.yaml"
    if config.is_symlink() or config.exists():  # a link that leads nowhere is no leave to look elsewhere
        place = served(config)
        if not place.is_dir():
            raise Complaint(f"{place} is not a directory", f"create it, or correct `policies:` in {config}")
        return place
    inside = directory / "policies"
    place = inside if inside.is_dir() else directory
    if not place.is_dir():
        raise Complaint(
            f"{directory} is not a directory",
            f"name a policy directory, or one made by `{console.command('init', 'DIR')}`",
        )
    return place


def served(config: Path) -> Path:
    """What a PDP with this pdp.yaml serves from, whether it is there or not. Raises ConfigError."""
    document = strict_yaml.parse(config.read_bytes(), str(config))
    match document.value:
        case {"policies": str(path)} if path and "\0" not in path:
            return config.parent / path
    raise Complaint(
        f"{config} names no directory in `policies:`, so no PDP starts with it",
        "put the line back as `init` writes it, such as `policies: policies`",
    )


def load(place: Path) -> Snapshot:
    """As the PDP loads it. Raises ConfigError with every problem."""
    from sallyport.pdp.load import load as load_set  # noqa: PLC0415 — no other command needs Cedar

    return load_set(mounted_dir.read(place))


def read(place: Path) -> Parts:
    """The same, with what the other files say. Raises ConfigError."""
    return parts(mounted_dir.read(place))


def parts(contents: Contents) -> Parts:
    """The same of a set that stands in no directory. Raises ConfigError."""
    from sallyport.pdp.findings.parts import read as read_set  # noqa: PLC0415

    return read_set(contents)


def not_served(place: Path) -> tuple[Problem, ...]:
    """What the PEP couldn't serve of this set's catalog: schemas that it can't hold to, hosted tools that aren't there."""
    try:
        return unservable(mounted_dir.read(place))
    except ConfigError as error:
        return error.problems


def unservable(contents: Contents) -> tuple[Problem, ...]:
    """The same of a set that stands in no directory."""
    from sallyport.pep import catalog  # noqa: PLC0415 — no other command needs the PEP's parts
    from sallyport.pep.reach import Reach  # noqa: PLC0415
    from sallyport.pep.schema import compile_schema  # noqa: PLC0415
    from sallyport.pep.tools import NAMES  # noqa: PLC0415

    try:
        data = contents.files.get(catalog.FILE)
        if data is not None:  # a missing one is told by the PDP's loader
            catalog.load(data, compile_schema=compile_schema, reach=Reach(NAMES, {}, egress=None))
    except ConfigError as error:
        return error.problems
    return ()
