"""`sallyport catalog diff`: what upstreams say now against what was approved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli import console
from sallyport.cli.commands.catalog_words import CatalogFile, EachUpstream, FilesFolder, place_of, upstream_of
from sallyport.cli.complaint import Exit
from sallyport.cli.plain import plain

if TYPE_CHECKING:
    from sallyport.cli.catalog.place import Place, Written
    from sallyport.cli.catalog.sifting import Sifted


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
    from sallyport.cli.catalog import asking  # noqa: PLC0415 — takes the PEP along
    from sallyport.cli.catalog import place as places  # noqa: PLC0415

    place, names = place_of(words, catalog)
    written = places.read(place)
    means = asking.Means.of(place.pep_config, files)
    differs, each = False, EachUpstream()
    for name in names or sorted(written.catalog.upstreams):
        upstream = upstream_of(written, name)
        with each.one():
            differs |= _differs(place, written, name, asking.ask(name, upstream, means))
    each.end()
    if differs:
        raise typer.Exit(Exit.FAILED)
    console.out.print("all is as approved")


def _differs(place: Place, written: Written, name: str, said: Sifted) -> bool:
    from sallyport.cli.catalog import approving  # noqa: PLC0415
    from sallyport.cli.catalog.changes import differences  # noqa: PLC0415
    from sallyport.cli.catalog.review import Asked, review  # noqa: PLC0415

    differs, known = False, approving.known_of(place, written, name)
    for difference in differences(said, known, name):
        differs = True
        console.out.print(f"{name}: {difference.kind.removesuffix('s')} {plain(difference.key)}")
        for line in difference.lines:
            console.out.print(f"    {line}")
    new = [one.key for one in review(said.listing, known, Asked(name)).candidates if not one.changed]
    if new:  # what isn't in the catalog isn't served, so it is news and no difference
        console.step(f"{name}: not in the catalog: {', '.join(map(plain, new[:50]))}")
    return differs
