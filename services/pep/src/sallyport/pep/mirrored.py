"""Mcp-Param-*: arguments that a tool's schema wants repeated in headers by `x-mcp-header` (SEP-2243)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from sallyport.pep.model import Json

Declared: TypeAlias = Mapping[tuple[str, ...], str]  # path of properties -> the header's name behind Mcp-Param-

_KEY: Final = "x-mcp-header"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")  # RFC 9110 §5.6.2
_SAFE: Final = re.compile(r"(?!=\?base64\?.*\?=$)[!-~](?:[ -~]*[!-~])?")
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")
_CARRIED: Final = frozenset({"string", "integer", "boolean"})


def declared(schema: Mapping[str, Any]) -> Declared:
    """What a schema wants repeated, along chains of plain `properties`; a name that isn't one is left out."""
    return dict(_declared(schema, ()))


def written(wanted: Declared, arguments: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """The headers for these arguments; what isn't there is not repeated."""
    found = ((name, _scalar(_at(arguments, path))) for path, name in wanted.items())
    return tuple((f"Mcp-Param-{name}", _encode(value)) for name, value in found if value is not None)


def problem(wanted: Declared, arguments: Mapping[str, Json], given: Mapping[str, str], *, required: bool) -> str:
    """How headers and arguments disagree, or "". `given`: what stands behind mcp-param-, in lower case -> value."""
    for path, name in wanted.items():
        value, header = _scalar(_at(arguments, path)), given.get(name.lower())
        if header is not None and (value is None or decode(header) != value):
            return f"Mcp-Param-{name} and the body disagree"
        if header is None and value is not None and required:
            return f"Mcp-Param-{name} is missing"
    return ""


def stray(wanted: Declared, arguments: Mapping[str, Json], given: Mapping[str, str]) -> str:
    """How headers that nothing declares contradict the arguments, or "". One that is called like an argument repeats it.

    Others on the way may route by it, so it says nothing that the body doesn't.
    """
    declared_names = {name.lower() for name in wanted.values()}
    for name, header in given.items():
        own = [argument for key, argument in arguments.items() if key.lower() == name]
        if name not in declared_names and decode(header) not in scalars(own or arguments.values()):
            return "an Mcp-Param header and the body disagree"
    return ""


def scalars(values: Iterable[Json]) -> frozenset[str]:
    """All that stands in them, at any depth, as a header would have it."""
    return frozenset(_scalars(list(values)))


def decode(value: str) -> str | None:
    """Undo =?base64?…?= (Streamable HTTP, Value Encoding); None where it isn't the one canonical encoding of UTF-8."""
    encoded = _ENCODED.fullmatch(value)
    if encoded is None:
        return value
    try:
        raw = base64.b64decode(encoded[1], validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text if base64.b64encode(raw).decode() == encoded[1] else None


def _declared(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    properties = schema.get("properties")
    for key, child in properties.items() if isinstance(properties, Mapping) else ():
        if not isinstance(child, Mapping):
            continue
        name = child.get(_KEY)
        if isinstance(name, str) and _TOKEN.fullmatch(name) and child.get("type") in _CARRIED:
            yield (*path, key), name
        yield from _declared(child, (*path, key))


def _scalars(values: list[Json]) -> Iterator[str]:
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
        elif isinstance(value, bool):
            yield "true" if value else "false"
        elif value is not None:
            yield str(value)


def _at(arguments: Mapping[str, Json], path: tuple[str, ...]) -> Any:
    here: Any = arguments
    for step in path:
        here = here.get(step) if isinstance(here, Mapping) else None
    return here


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | str) else None


def _encode(value: str) -> str:
    return value if _SAFE.fullmatch(value) else f"=?base64?{base64.b64encode(value.encode()).decode()}?="
