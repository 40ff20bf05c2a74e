"""What an approval holds on to: one digest over everything that an upstream says of a tool or prompt (N21)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from sallyport.pep.model import Json
from sallyport.pep.upstream.listing import Definition, Kind
from sallyport.runtime import exact_json

AMBIGUOUS_PIN: Final = ""
NO_PIN: Final = "!"  # and why; like the one above it is nobody's


def pin(definition: Mapping[str, Json]) -> str:
    """SHA-256 over RFC 8785 of the whole definition as it was sent, fields unknown to us and `_meta` too.

    Neither the order of keys nor white space matters, every field does, and every digit of an integer. Raises ValueError,
    which says why, where it has no canonical form.
    """
    return hashlib.sha256(exact_json.encode(dict(definition))).hexdigest()


def _pin_or_why(definition: Definition) -> str:
    try:
        return pin(definition)
    except ValueError as error:
        return f"{NO_PIN}{error}"


def pins_of(items: Mapping[Kind, tuple[Definition, ...]]) -> dict[tuple[Kind, str], str]:
    """By kind and name as listed; an ambiguous one has the pin that nothing has."""
    found: dict[tuple[Kind, str], str] = {}
    for kind, definitions in items.items():
        for definition in definitions:
            name = definition.get("name")
            if not isinstance(name, str):
                continue  # nothing can be approved under it
            digest = _pin_or_why(definition)
            if found.setdefault((kind, name), digest) != digest:
                found[kind, name] = AMBIGUOUS_PIN
    return found
