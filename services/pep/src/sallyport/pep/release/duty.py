"""All that a permit demands of one result, ready to be done; what it can't be done to is withheld."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from typing import Final

from pydantic_core import from_json

from sallyport.pep.model import Json
from sallyport.pep.release.grammar import Demand, DropRows, Mask, MaxRows, Redact, parse
from sallyport.pep.release.masks import Masks
from sallyport.pep.release.pointers import drop_rows, redact, shorten
from sallyport.pep.release.withheld import Withheld
from sallyport.runtime import exact_json

_OPENS: Final = ("{", "[", '"')


class Duty:
    """`shapes`: it demands something of the data's shape, so that prose, which has none, can't leave."""

    def __init__(self, demands: Sequence[Demand]) -> None:
        kinds = {kind for demand in demands if isinstance(demand, Mask) for kind in demand.kinds}
        self._masks = Masks(tuple(kinds)) if kinds else None
        self._drops = [demand for demand in demands if isinstance(demand, DropRows)]
        self._fields = [demand for demand in demands if isinstance(demand, Redact)]
        self._most = min((demand.most for demand in demands if isinstance(demand, MaxRows)), default=0)
        self.shapes = bool(self._drops or self._fields or self._most)
        self._known: tuple[Json, Json] | None = None
        self.any = self.shapes or self._masks is not None

    def opaque(self) -> None:
        """Bytes that can't be looked into."""
        if self.any:
            raise Withheld("an obligation can't be fulfilled on binary content")

    def words(self, text: str) -> str:
        """Prose: it has no fields and no rows."""
        if self.shapes:
            raise Withheld("an obligation on fields or rows can't be fulfilled on prose")
        return self._masks.text(text) if self._masks else text

    def name(self, text: str) -> str:
        """What stops meaning what it means when a letter of it changes: a URI."""
        if self._masks and self._masks.text(text) != text:
            raise Withheld("a mask would change a URI")
        return text

    def text(self, text: str) -> str:
        """A text block: JSON is treated as JSON."""
        if not self.any:
            return text
        value = document(text)
        if value is None or (self.shapes and isinstance(value, str)):
            return self.words(text)
        known = self._known
        changed = known[1] if known and value == known[0] else self.data(value)
        return text if changed == value else exact_json.encode(changed).decode()

    def knowing(self, value: Json, changed: Json) -> Duty:
        """The same, for texts beside structured content: most are a copy of it, whose change is known by then."""
        found = copy(self)
        found._known = value, changed  # noqa: SLF001 — its own
        return found

    def data(self, value: Json, *, marked: bool = False) -> Json:
        """JSON; `marked` puts a mark where a field was, for a schema that wants it there."""
        if self.shapes:
            _check_flat(value)
        for drop in self._drops:
            value = drop_rows(value, drop)
        for field in self._fields:
            value = redact(value, field, marked=marked)
        if self._most:
            value = shorten(value, self._most)
        return self._masks.data(value) if self._masks else value


@lru_cache(maxsize=1024)
def duty_of(obligations: tuple[str, ...]) -> Duty | None:
    """None if one of them isn't known."""
    demands = [parse(obligation) for obligation in obligations]
    return Duty([each for group in demands for each in group]) if all(demands) else None


def document(text: str) -> Json:
    """The object, array or string that a text is as JSON; None if it is prose.

    What some parsers take and ours doesn't means different things to different readers: withheld.
    """
    if not text.lstrip(" \t\r\n").startswith(_OPENS):
        return None
    try:
        return exact_json.whole(text.encode())
    except ValueError:
        if _is_json_to_some(text):
            raise Withheld("JSON that parsers disagree about") from None
        return None


def _is_json_to_some(text: str) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def _check_flat(value: Json) -> None:
    """A document in a string has fields and rows that no pointer reaches."""
    if isinstance(value, str) and isinstance(document(value), dict | list):
        raise Withheld("JSON within a string, where an obligation on fields or rows doesn't reach")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_flat(child)
