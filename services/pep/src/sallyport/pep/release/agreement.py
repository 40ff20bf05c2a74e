"""Whether the text of a result says the same as its structured content: a client reads one, its model the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sallyport.pep.model import Json
from sallyport.pep.release.duty import document
from sallyport.pep.release.withheld import Withheld
from sallyport.runtime import exact_json


def check(content: Sequence[dict[str, Json]], structured: dict[str, Json]) -> None:
    """Raise unless every text that is JSON is the structured content or a part of it; prose is nobody's copy.

    SDKs wrap what is no object: `{"result": …}`, with a text for the whole or for each item.
    """
    texts = [text for text in _texts(content) if text.lstrip().startswith(("{", "["))]
    if not texts:
        return
    whole = exact_json.encode(structured)
    said = {spelt for text in texts if text.encode() != whole and (spelt := _bytes(text)) not in {None, whole}}
    if said and not said <= set(_parts(structured)):
        raise Withheld("text and structured content disagree")


def _texts(content: Sequence[dict[str, Json]]) -> Iterator[str]:
    for block in content:
        text = block.get("text")
        if block["type"] == "text" and isinstance(text, str):
            yield text


def _bytes(text: str) -> bytes | None:
    value = document(text)
    return exact_json.encode(value) if isinstance(value, dict | list) else None


def _parts(structured: dict[str, Json]) -> Iterator[bytes]:
    for member in structured.values():
        for part in (member, *(member if isinstance(member, list) else ())):
            if isinstance(part, dict | list):
                yield exact_json.encode(part)
            elif isinstance(part, str) and (inner := _bytes(part)) is not None:
                yield inner
