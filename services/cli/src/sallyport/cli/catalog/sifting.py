"""What of a list can be held on to: one definition that can't takes out itself, and who has its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sallyport.pep.upstream.listing import KINDS, Definition, Kind, Listing
from sallyport.runtime import exact_json


@dataclass(frozen=True, slots=True)
class Lost:
    """What has no canonical form, so that nothing could be pinned, kept or shown of it."""

    kind: Kind
    name: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Sifted:
    listing: Listing
    lost: tuple[Lost, ...]


def sifted(listing: Listing) -> Sifted:
    lost = tuple(one for kind in KINDS for one in _lost(kind, listing))
    away = {(one.kind, one.name) for one in lost if one.name is not None}
    items = {
        kind: tuple(one for one in listing.of(kind) if not _why(one) and (kind, _name(one)) not in away)
        for kind in KINDS
    }
    return Sifted(Listing(items), lost)


def _lost(kind: Kind, listing: Listing) -> Iterator[Lost]:
    for definition in listing.of(kind):
        if why := _why(definition):
            yield Lost(kind, _name(definition), f"it holds {why}")
    if count := listing.unreadable.get(kind):
        yield Lost(kind, None, "it is no object" if count == 1 else f"{count} of them are no objects")


def _why(definition: Definition) -> str:
    try:
        exact_json.encode(dict(definition))
    except ValueError as error:
        return str(error)
    return ""


def _name(definition: Definition) -> str | None:
    name = definition.get("name")
    return name if isinstance(name, str) else None
