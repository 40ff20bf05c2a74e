"""What an upstream said when it was asked, and what of it was approved: JSON that only these commands read.

Definitions stand in it by their pin, and one whose pin doesn't fit isn't believed, so the files need no other guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sallyport.cli.catalog.place import Place
from sallyport.cli.catalog.sifting import sifted
from sallyport.pep.upstream.listing import KINDS, Definition, Kind, Listing
from sallyport.pep.upstream.pin import pin
from sallyport.runtime import atomic_file, exact_json, strict_json
from sallyport.runtime.problems import ConfigError

MAX_BYTES: Final = 32 << 20
_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One upstream's answer."""

    url: str
    era: str
    pulled: str
    prefix: str
    keep_open: bool
    listing: Listing


def write_snapshot(place: Place, upstream: str, snapshot: Snapshot) -> None:
    place.pending.mkdir(exist_ok=True)
    listing = {kind: [dict(item) for item in snapshot.listing.of(kind)] for kind in KINDS}
    _write(
        place.pending / f"{upstream}.json",
        {
            "url": snapshot.url,
            "era": snapshot.era,
            "pulled": snapshot.pulled,
            "prefix": snapshot.prefix,
            "keep_open": snapshot.keep_open,
            "listing": listing,
        },
    )


def read_snapshot(place: Place, upstream: str) -> Snapshot | None:
    """None where nothing was pulled. Raises ConfigError."""
    path = place.pending / f"{upstream}.json"
    match _read(path):
        case None:
            return None
        case {
            "url": str(url),
            "era": str(era),
            "pulled": str(pulled),
            "prefix": str(prefix),
            "keep_open": bool(keep_open),
            "listing": dict(listing),
        }:
            kinds: dict[Kind, tuple[Definition, ...]] = {kind: _definitions(listing.get(kind)) for kind in KINDS}
            if not sifted(Listing(kinds)).lost:
                return Snapshot(url, era, pulled, prefix, keep_open, Listing(kinds))
    raise ConfigError.about(path, "isn't as `catalog pull` writes it")


def approved(place: Place, upstream: str) -> dict[str, Definition]:
    """By pin, the definitions that approvals stand on, as far as they are there. Raises ConfigError."""
    value = _read(place.approved / f"{upstream}.json")
    found = _definitions(value.get("definitions")) if isinstance(value, dict) else ()
    return {digest: definition for definition in found if (digest := _pin(definition))}


def write_approved(place: Place, upstream: str, definitions: Iterable[Definition]) -> None:
    place.approved.mkdir(exist_ok=True)
    by_pin = {pin(definition): dict(definition) for definition in definitions}
    _write(place.approved / f"{upstream}.json", {"definitions": [by_pin[key] for key in sorted(by_pin)]})


def forget(place: Place, upstream: str) -> None:
    for suffix in (".json", ".yaml"):
        (place.pending / f"{upstream}{suffix}").unlink(missing_ok=True)


def _pin(definition: Definition) -> str:
    try:
        return pin(definition)
    except ValueError:
        return ""  # somebody wrote into the file; what has no pin is nobody's


def _definitions(value: Any) -> tuple[Definition, ...]:
    return tuple(item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _write(path: Path, value: dict[str, Any]) -> None:
    atomic_file.write(path, exact_json.encode(value) + b"\n", mode=_MODE)


def _read(path: Path) -> Any:
    if not path.exists():
        return None
    try:
        return exact_json.parse(atomic_file.read_public(path, MAX_BYTES))
    except strict_json.JsonRefused as refused:
        raise ConfigError.about(path, f"isn't as these commands write it ({refused})") from None
