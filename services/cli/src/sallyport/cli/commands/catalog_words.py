"""What the `catalog` commands are told: which catalog, and which of its upstreams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
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


def upstream_of(written: Written, name: str) -> Upstream:
    found = written.catalog.upstreams.get(name)
    if found is None:
        known = ", ".join(sorted(written.catalog.upstreams)) or "none"
        raise Complaint(
            f"the catalog has no upstream {plain(name)!r}; it has: {known}",
            f"pull a new one by its URL: {console.command('catalog', 'pull', 'DIR', 'https://host:port/mcp')} --name NAME",
        )
    return found
