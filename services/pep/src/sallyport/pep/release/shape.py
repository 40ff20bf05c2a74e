"""Shapes of MCP: a value is built anew from the members that are known, so that nothing else can leave with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from sallyport.pep.model import Json
from sallyport.pep.release.withheld import Withheld

Check: TypeAlias = Callable[[Json], Json]  # the value that may leave, or Withheld

MAX_URI: Final = 2048
_MIME: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:; ?[!-:<-~ ]{1,127}){0,4}")
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_URI: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,63}):(?P<rest>[!#$%&'()*+,./0-9:;=?@A-Z_a-z~\[\]{|}^-]+)"
)
# Prefixes whose second label is `mcp` or `modelcontextprotocol` are the protocol's own; ours are the gate's.
_RESERVED: Final = re.compile(
    r"(?is:(?:[^/.]+\.)?(?:sallyport\.io|(?:modelcontextprotocol|mcp)(?:\.[^/]*)?|io\.sallyport)/.*)"
)
# A reader that follows one of these runs it, or opens what is the reader's own.
_RUNS: Final = frozenset(
    {"javascript", "vbscript", "data", "blob", "about", "filesystem", "view-source", "jar", "intent"}
)


def fields(
    value: Json, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *, what: str
) -> dict[str, Json]:
    """The known members of an object, each checked; one that is null counts as absent, as the SDKs have it."""
    if not isinstance(value, dict):
        raise Withheld(f"{what} is no object")
    checks = {**required, **(optional or {})}
    found = {key: checks[key](item) for key, item in value.items() if key in checks and item is not None}
    missing = required.keys() - found.keys()
    if missing:
        raise Withheld(f"{what} lacks {min(missing)}")
    return found


def items(check: Check, *, most: int, what: str) -> Check:
    """An array of such."""

    def checked(value: Json) -> Json:
        if not isinstance(value, list) or len(value) > most:
            raise Withheld(f"{what}: no array of at most {most}")
        return [check(item) for item in value]

    return checked


def one_of(*values: str, what: str) -> Check:
    def checked(value: Json) -> Json:
        if value not in values or not isinstance(value, str):
            raise Withheld(f"{what} is none that is known")
        return value

    return checked


def text(most: int, *, what: str, change: Callable[[str], str] = str) -> Check:
    """A string of at most so many characters; `change` is what an obligation makes of it."""

    def checked(value: Json) -> Json:
        if not isinstance(value, str) or len(value) > most:
            raise Withheld(f"{what} is no string of at most {most} characters")
        return change(value)

    return checked


def number(least: float, most: float, *, what: str) -> Check:
    def checked(value: Json) -> Json:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise Withheld(f"{what} is no number from {least} to {most}")
        return value

    return checked


def flag(value: Json) -> Json:
    if not isinstance(value, bool):
        raise Withheld("a flag is neither true nor false")
    return value


def mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Withheld("no object where one belongs")
    return value


def mime_type(value: Json) -> str:
    if not isinstance(value, str) or not _MIME.fullmatch(value):
        raise Withheld("mimeType is no media type")
    return value


def moment(value: Json) -> str:
    """A time as ISO 8601 has it."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise Withheld("a time is none")
    return value


def uri(value: Json) -> str:
    """An absolute URI in ASCII that names something and runs nothing."""
    found = _URI.fullmatch(value) if isinstance(value, str) and len(value) <= MAX_URI else None
    if not found or found["scheme"].lower() in _RUNS:
        raise Withheld("a uri is none that may be passed on")
    return found[0]


def link(value: Json) -> str:
    """A URI that somebody is meant to follow: on the reader's own machine it names nothing."""
    told = uri(value)
    scheme, _, rest = told.partition(":")
    if scheme.lower() == "file" or not (rest.startswith("//") or scheme.lower() == "urn"):
        raise Withheld("a link leads where none may")
    return told


def meta(value: Json) -> dict[str, Json]:
    """An upstream's own _meta, without what only the protocol or this gate may say."""
    return {key: item for key, item in mapping(value).items() if not _RESERVED.fullmatch(key)}
