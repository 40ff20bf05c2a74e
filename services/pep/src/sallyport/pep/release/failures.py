"""An upstream's own errors, as far as a client may know them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from sallyport.pep.model import Failed, Json
from sallyport.pep.release import shape
from sallyport.pep.release.duty import Duty
from sallyport.pep.release.withheld import Withheld

GENERIC: Final = Failed(-32603, "the upstream reported an error")
MAX_MESSAGE: Final = 512  # characters
_MAX_READ: Final = 64 << 10
_MISSING_CAPABILITY: Final = -32021
_CODES: Final[Mapping[int, int]] = {
    -32601: -32601,
    -32602: -32602,
    -32603: -32603,
    _MISSING_CAPABILITY: _MISSING_CAPABILITY,
    -32002: -32602,  # 2025-11-25: resource not found; never emitted since
}
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def failed(told: Failed, duty: Duty) -> Failed:
    """The same error, or that there was one."""
    code = _CODES.get(told.code)
    if code is None:
        return GENERIC
    try:
        message = duty.words(clean(told.message))[:MAX_MESSAGE]  # cut last: half an address is no address
    except Withheld:
        message = GENERIC.message
    data = _data(told, duty)
    if code == _MISSING_CAPABILITY and not data:
        return GENERIC
    return Failed(code, message or GENERIC.message, data)


def clean(text: str) -> str:
    """One line that a reader sees all of."""
    if len(text) > _MAX_READ:
        text = text[:_MAX_READ].rpartition(" ")[0]
    plain = "".join(" " if unicodedata.category(each) in _UNSEEN else each for each in text)
    return " ".join(plain.split())


def _data(told: Failed, duty: Duty) -> Json:
    data = told.data if isinstance(told.data, dict) else {}
    try:
        if told.code == _MISSING_CAPABILITY:
            return shape.fields(data, {"requiredCapabilities": _capabilities}, what="data")
        return shape.fields(data, {"uri": lambda uri: duty.name(shape.uri(uri))}, what="data")
    except Withheld:
        return None


def _capabilities(value: Json) -> Json:
    """Names of names: what a client would have to declare."""
    return {key: _names(item, 3) for key, item in _few(value).items()}


def _names(value: Json, depth: int) -> Json:
    return {key: _names(item, depth - 1) for key, item in _few(value).items()} if depth else {}


def _few(value: Json) -> dict[str, Json]:
    named = shape.mapping(value)
    if len(named) > 16 or any(len(clean(key)) != len(key) or len(key) > 128 for key in named):  # noqa: PLR2004 — more than MCP has
        raise Withheld("capabilities that are no names")
    return named
