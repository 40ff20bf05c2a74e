"""Content: what a tool, a prompt or a resource shows. The types that MCP has, and no others."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from typing import Final

from sallyport.pep.model import Json
from sallyport.pep.release import shape
from sallyport.pep.release.duty import Duty
from sallyport.pep.release.shape import Check
from sallyport.pep.release.withheld import Withheld

MAX_TEXT: Final = 4 << 20  # characters; the cap on the whole result is the one that counts
MAX_ITEMS: Final = 10_000
_ROLE: Final = shape.one_of("user", "assistant", what="role")
_ANNOTATIONS: Final[Mapping[str, Check]] = {
    "audience": shape.items(_ROLE, most=2, what="audience"),
    "priority": shape.number(0, 1, what="priority"),
    "lastModified": shape.moment,
}


def block(value: Json, duty: Duty) -> dict[str, Json]:
    """One content block, with every obligation fulfilled."""
    kind = value.get("type") if isinstance(value, dict) else None
    known = _BLOCKS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise Withheld("content of a type that MCP doesn't have")
    return {"type": kind, **known(value, duty)}


def message(value: Json, duty: Duty, *, many: bool = False) -> dict[str, Json]:
    """A message of a prompt; one of sampling may have `many` blocks."""

    def said(item: Json) -> Json:
        if many and isinstance(item, list) and len(item) <= MAX_ITEMS:
            return [block(each, duty) for each in item]
        return block(item, duty)

    return shape.fields(value, {"role": _ROLE, "content": said}, what="message")


def contents(value: Json, duty: Duty, name: Check) -> dict[str, Json]:
    """Contents of a resource: text or bytes; `name` checks its URI."""
    if isinstance(value, dict) and ("text" in value) is ("blob" in value):
        raise Withheld("contents are text or blob, one of the two")
    optional = {
        "text": shape.text(MAX_TEXT, what="text", change=duty.text),
        "blob": _bytes(duty),
        "mimeType": _mime_type(duty),
        **own_meta(duty),
    }
    return shape.fields(value, {"uri": name}, optional, what="contents")


def own_meta(duty: Duty) -> dict[str, Check]:
    """_meta, as long as nothing is demanded of the data: what it holds nobody knows."""
    return {} if duty.any else {"_meta": shape.meta}


def prose(duty: Duty, most: int, what: str) -> Check:
    return shape.text(most, what=what, change=duty.words)


def _bytes(duty: Duty) -> Check:
    def checked(value: Json) -> Json:
        duty.opaque()
        try:
            binascii.a2b_base64(value if isinstance(value, str) else "*", strict_mode=True)
        except ValueError:
            raise Withheld("no base64 where bytes belong") from None
        return value

    return checked


def _mime_type(duty: Duty) -> Check:
    return lambda value: duty.name(shape.mime_type(value))


def _more(duty: Duty) -> dict[str, Check]:
    return {"annotations": lambda value: shape.fields(value, {}, _ANNOTATIONS, what="annotations"), **own_meta(duty)}


def _text(value: Json, duty: Duty) -> dict[str, Json]:
    return shape.fields(value, {"text": shape.text(MAX_TEXT, what="text", change=duty.text)}, _more(duty), what="text")


def _media(family: str) -> Callable[[Json, Duty], dict[str, Json]]:
    def mime_type(value: Json) -> Json:
        told = shape.mime_type(value)
        if not told.lower().startswith(f"{family}/"):
            raise Withheld(f"mimeType of {family} is another")
        return told

    return lambda value, duty: shape.fields(
        value, {"data": _bytes(duty), "mimeType": mime_type}, _more(duty), what=family
    )


def _link(value: Json, duty: Duty) -> dict[str, Json]:
    optional = {
        "title": prose(duty, 1024, "title"),
        "description": prose(duty, 8192, "description"),
        "mimeType": _mime_type(duty),
        "size": shape.number(0, 2**53 - 1, what="size"),
        **_more(duty),
    }
    required: dict[str, Check] = {"uri": lambda uri: duty.name(shape.link(uri)), "name": prose(duty, 1024, "name")}
    return shape.fields(value, required, optional, what="resource_link")


def _resource(value: Json, duty: Duty) -> dict[str, Json]:
    def embedded(inner: Json) -> Json:
        return contents(inner, duty, lambda uri: duty.name(shape.uri(uri)))

    return shape.fields(value, {"resource": embedded}, _more(duty), what="resource")


_BLOCKS: Final[Mapping[str, Callable[[Json, Duty], dict[str, Json]]]] = {
    "text": _text,
    "image": _media("image"),
    "audio": _media("audio"),
    "resource_link": _link,
    "resource": _resource,
}
