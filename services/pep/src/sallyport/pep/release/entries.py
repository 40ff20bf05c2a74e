"""Entries of a list that an upstream made: what a permit to read demands holds for what is told of the thing, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sallyport.pep.model import Json
from sallyport.pep.release.duty import duty_of
from sallyport.pep.release.withheld import Withheld

_ADDRESSES = frozenset({"uri", "uriTemplate"})
_FACTS = frozenset({"size", "mimeType"})


def entry(listed: Mapping[str, Json], obligations: Sequence[str]) -> dict[str, Json] | None:
    """The entry as it may leave; None where an obligation can't be fulfilled on it."""
    demanded = duty_of(tuple(dict.fromkeys(obligations)))
    if demanded is None:
        return None
    shown: dict[str, Json] = {}
    try:
        for key, value in listed.items():
            if key in _ADDRESSES and isinstance(value, str):
                shown[key] = demanded.name(value)
            elif key in _FACTS or not isinstance(value, str):
                shown[key] = value
            elif not demanded.shapes:  # of fields and rows prose has none; what it says of them isn't shown
                shown[key] = demanded.words(value)
    except Withheld:
        return None
    return {"name": "", **shown} if "name" in listed else shown
