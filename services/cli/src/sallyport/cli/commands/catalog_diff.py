"""`sallyport catalog diff`: what upstreams say now against what was approved."""

from __future__ import annotations

from typing import Annotated

import typer

from sallyport.cli import console
from sallyport.cli.commands.catalog_words import CatalogFile, FilesFolder, place_of, upstream_of
from sallyport.cli.complaint import Exit
from sallyport.cli.plain import plain


def diff(
    words: Annotated[
        list[str], typer.Argument(metavar="DIR [UPSTREAM]...", help="Without upstreams: all of the catalog's.")
    ],
    catalog: CatalogFile = None,
    files: FilesFolder = None,
) -> None:
    """Say, field by field, what differs from what was approved. What differs is in quarantine at every gate.

    Exit code: 0 all is as approved, 1 something differs, 2 wrong usage, 4 an upstream doesn't answer.
    """
    from sallyport.cli.catalog import approving, asking  # noqa: PLC0415 — takes the PEP along
    from sallyport.cli.catalog import place as places  # noqa: PLC0415
    from sallyport.cli.catalog.changes import differences  # noqa: PLC0415
    from sallyport.cli.catalog.review import Asked, review  # noqa: PLC0415

    place, names = place_of(words, catalog)
    written = places.read(place)
    means = asking.Means.of(place.pep_config, files)
    differs = False
    for name in names or sorted(written.catalog.upstreams):
        listing = asking.ask(name, upstream_of(written, name), means)
        known = approving.known_of(place, written, name)
        for difference in differences(listing, known, name):
            differs = True
            console.out.print(f"{name}: {difference.kind.removesuffix('s')} {plain(difference.key)}")
            for line in difference.lines:
                console.out.print(f"    {line}")
        new = [one.key for one in review(listing, known, Asked(name)).candidates if not one.changed]
        if new:  # what isn't in the catalog isn't served, so it is news and no difference
            console.step(f"{name}: not in the catalog: {', '.join(map(plain, new[:50]))}")
    if differs:
        raise typer.Exit(Exit.FAILED)
    console.out.print("all is as approved")
