"""What an approval holds on to: one digest over everything that an upstream says of a tool or prompt (N21)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sallyport.pep.model import Json
from sallyport.runtime import exact_json


def pin(definition: Mapping[str, Json]) -> str:
    """SHA-256 over RFC 8785 of the whole definition as it was sent, fields unknown to us and `_meta` too.

    Neither the order of keys nor white space matters, every field does, and every digit of an integer. Raises ValueError,
    which says why, where it has no canonical form.
    """
    return hashlib.sha256(exact_json.encode(dict(definition))).hexdigest()
