"""The resources of a call: JSON Pointers (RFC 6901) into the checked arguments."""

from __future__ import annotations

import re
from typing import Final

from sallyport.contract.catalog import MAX_EACH, ResourceMapping, Tool
from sallyport.contract.limits import MAX_RESOURCE_ID_BYTES
from sallyport.pep.model import Json, ResourceRef
from sallyport.runtime import canonical_json

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")  # RFC 6901 §4: no leading zeros, no "-"


class NoResource(ValueError):
    """A pointer leads to nothing that can be judged. The text may be shown."""


def resources(tool: Tool, arguments: dict[str, Json]) -> tuple[ResourceRef, ...]:
    """What the call touches; the tool itself where the catalog names nothing. All of them must be permitted."""
    if not tool.resources:
        return (ResourceRef("Tool", tool.name),)
    found = tuple(ref for mapping in tool.resources for ref in _mapped(mapping, arguments))
    return tuple(dict.fromkeys(found))


def _mapped(mapping: ResourceMapping, arguments: dict[str, Json]) -> tuple[ResourceRef, ...]:
    if mapping.each is not None:
        return tuple(ResourceRef(mapping.type, name) for name in _each(mapping.each, arguments))
    if isinstance(mapping.id, str):
        return (ResourceRef(mapping.type, _id(mapping.id, _at(mapping.id, arguments))),)
    parts: list[Json] = [_id(pointer, _at(pointer, arguments)) for pointer in mapping.id or ()]
    if not parts:
        raise NoResource("the catalog names no resource")
    # An array can't be forged by a separator within a part.
    joined = canonical_json.encode(parts).decode()
    return (ResourceRef(mapping.type, _id(",".join(mapping.id or ()), joined)),)


def _each(pointer: str, arguments: dict[str, Json]) -> list[str]:
    value = _at(pointer, arguments)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_EACH:
        raise NoResource(f"{pointer}: expected 1 to {MAX_EACH} entries")
    names = [_id(f"{pointer}/{index}", item) for index, item in enumerate(value)]
    if len(set(names)) != len(names):
        raise NoResource(f"{pointer}: expected each entry once")
    return names


def _id(pointer: str, value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise NoResource(f"{pointer}: expected a string that is not empty")
    if len(value.encode()) > MAX_RESOURCE_ID_BYTES:
        raise NoResource(f"{pointer}: expected at most {MAX_RESOURCE_ID_BYTES} bytes")
    return value


def _at(pointer: str, arguments: dict[str, Json]) -> Json:
    here: Json = arguments
    for escaped in pointer.split("/")[1:]:
        step = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and step in here:
            here = here[step]
        elif isinstance(here, list) and _INDEX.fullmatch(step) and int(step) < len(here):
            here = here[int(step)]
        else:
            raise NoResource(f"{pointer}: missing")
    return here
