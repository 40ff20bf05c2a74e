"""What the `catalog` commands are told: which catalog, and which of its upstreams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.plain import plain

if TYPE_CHECKING:
    from sallyport.cli.catalog.place import Place, Written
    from sallyport.contract.surfaces import Upstream

CatalogFile = Annotated[
    Path | None, typer.Option("--catalog", metavar="FILE", help="A catalog.yaml, instead of DIR.", show_default=False)
]
FilesFolder = Annotated[
    Path | None,
    typer.Option(
        "--files",
        metavar="FOLDER",
        help="Holds UPSTREAM/{ca.crt, credential, tls.crt, tls.key}, as `upstreams` in pep.yaml does.",
        show_default=False,
    ),
]


def place_of(words: Sequence[str], catalog: Path | None) -> tuple[Place, tuple[str, ...]]:
    """Where the catalog is, and the words that are left."""
    from sallyport.cli.catalog.place import Place  # noqa: PLC0415 — takes the PEP along

    if catalog is not None:
        return Place.beside(catalog), tuple(words)
    if not words:
        raise Complaint(
            "no directory is named", f"name one made by `{console.command('init', 'DIR')}`, or --catalog FILE"
        )
    return Place.at(Path(words[0])), tuple(words[1:])


def named(place: Place) -> tuple[str, ...]:
    """How an operator names it."""
    return (str(place.pending.parent),) if place.pep_config else (f"--catalog={place.catalog}",)


class EachUpstream:
    """One that can't be listed keeps no other from being asked; the exit code tells of it at the end."""

    def __init__(self) -> None:
        self._failed = False

    @contextmanager
    def one(self) -> Iterator[None]:
        try:
            yield
        except Complaint as complaint:
            if complaint.code is not Exit.UNAVAILABLE:
                raise
            console.show(complaint)
            self._failed = True

    def end(self) -> None:
        if self._failed:
            raise typer.Exit(Exit.UNAVAILABLE)


def upstream_of(written: Written, name: str) -> Upstream:
    found = written.catalog.upstreams.get(name)
    if found is None:
        known = ", ".join(sorted(written.catalog.upstreams)) or "none"
        raise Complaint(
            f"the catalog has no upstream {plain(name)!r}; it has: {known}",
            f"pull a new one by its URL: {console.command('catalog', 'pull', 'DIR', 'https://host:port/mcp')} --name NAME",
        )
    return found
