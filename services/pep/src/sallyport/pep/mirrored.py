"""Mcp-Param-*: arguments that a tool's schema wants repeated in headers by `x-mcp-header` (SEP-2243)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from sallyport.pep.model import Json
from sallyport.runtime.strict_json import MAX_INTEGER

Declared: TypeAlias = Mapping[tuple[str, ...], str]  # path of properties -> the header's name behind Mcp-Param-

_KEY: Final = "x-mcp-header"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")  # RFC 9110 §5.6.2
_SAFE: Final = re.compile(r"(?!=\?base64\?.*\?=$)[!-~](?:[ -~]*[!-~])?")
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")
_INTEGER: Final = re.compile(r"(-?[1-9][0-9]{0,15}|0)(?:\.0+)?")  # Server Validation: 42.0 is 42; no other form is
_CARRIED: Final = frozenset({"string", "integer", "boolean"})


def declared(schema: Mapping[str, Any]) -> Declared:
    """What a schema wants repeated, along chains of plain `properties`; a name that isn't one is left out."""
    return dict(_declared(schema, ()))


def written(wanted: Declared, arguments: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """The headers for these arguments; what isn't there is not repeated."""
    found = ((name, _scalar(_at(arguments, path))) for path, name in wanted.items())
    return tuple((f"Mcp-Param-{name}", _encode(str(value))) for name, value in found if value is not None)


def problem(wanted: Declared, arguments: Mapping[str, Json], given: Mapping[str, str], *, required: bool) -> str:
    """How headers and arguments disagree, or "". `given`: what stands behind mcp-param-, in lower case -> value."""
    for path, name in wanted.items():
        value, header = _scalar(_at(arguments, path)), given.get(name.lower())
        if header is not None and (value is None or not repeats(header, {value})):
            return f"Mcp-Param-{name} and the body disagree"
        if header is None and value is not None and required:
            return f"Mcp-Param-{name} is missing"
    return ""


def stray(wanted: Declared, arguments: Mapping[str, Json], given: Mapping[str, str]) -> str:
    """How headers that nothing declares contradict the arguments, or "". One that is called like an argument repeats it.

    Others on the way may route by it, so it says nothing that the body doesn't.
    """
    left = given and given.keys() - {name.lower() for name in wanted.values()}
    if not left:
        return ""
    own: dict[str, list[Json]] = {}
    for key, argument in arguments.items():
        if (name := key.lower()) in left:
            own.setdefault(name, []).append(argument)
    every = scalars(arguments.values()) if left - own.keys() else frozenset()
    agree = (repeats(given[name], scalars(own[name]) if name in own else every) for name in left)
    return "" if all(agree) else "an Mcp-Param header and the body disagree"


def scalars(values: Iterable[Json]) -> frozenset[str | int]:
    """All that stands in them, at any depth, as `repeats` has it: integers by their number, all else as a header's text."""
    return frozenset(_scalars(list(values)))


def repeats(header: str, found: Container[str | int]) -> bool:
    """Whether a header says one of these: text letter by letter, an integer by its number."""
    text = decode(header)
    if text is None or text in found:
        return text is not None
    number = _INTEGER.fullmatch(text)
    return number is not None and int(number[1]) in found


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


def _scalars(values: list[Json]) -> Iterator[str | int]:
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
        elif (said := _scalar(value)) is not None:
            yield said
        elif value is not None:
            yield str(value)  # a number that is no integer: none that a schema can declare


def _at(arguments: Mapping[str, Json], path: tuple[str, ...]) -> Any:
    here: Any = arguments
    for step in path:
        here = here.get(step) if isinstance(here, Mapping) else None
    return here


def _scalar(value: Any) -> str | int | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    return value if isinstance(value, int | str) else None


def _encode(value: str) -> str:
    return value if _SAFE.fullmatch(value) else f"=?base64?{base64.b64encode(value.encode()).decode()}?="
