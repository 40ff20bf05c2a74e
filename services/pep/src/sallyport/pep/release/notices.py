"""Notifications on the stream of an answer: the same obligations hold as for the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sallyport.pep.model import Json
from sallyport.pep.release import shape
from sallyport.pep.release.content import prose
from sallyport.pep.release.duty import Duty, duty_of
from sallyport.pep.release.shape import Check
from sallyport.pep.release.withheld import Withheld
from sallyport.runtime import exact_json

MAX_BYTES: Final = 64 << 10
_FAR: Final = 1.7e308
_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def notification(
    method: str, params: Mapping[str, Json], obligations: Sequence[str]
) -> tuple[str, dict[str, Json]] | None:
    """What may go out of it; None if nothing may."""
    demanded = duty_of(tuple(obligations))
    try:
        if demanded is None:
            return None
        if method == "notifications/progress":
            told = _progress(params, demanded)
        elif method == "notifications/message":
            told = _message(params, demanded)
        else:
            return None
        return (method, told) if len(exact_json.encode(told)) <= MAX_BYTES else None
    except (Withheld, ValueError, RecursionError):
        return None


def _progress(params: Mapping[str, Json], demanded: Duty) -> dict[str, Json]:
    """How far it is may be told even where no word may."""
    number = shape.number(-_FAR, _FAR, what="progress")
    optional: dict[str, Check] = {"total": number}
    if not demanded.shapes:
        optional["message"] = prose(demanded, MAX_BYTES, "message")
    return shape.fields(dict(params), {"progressToken": _token, "progress": number}, optional, what="progress")


def _message(params: Mapping[str, Json], demanded: Duty) -> dict[str, Json]:
    def data(value: Json) -> Json:
        return demanded.text(value) if isinstance(value, str) else demanded.data(value)

    level = shape.one_of(*_LEVELS, what="level")
    return shape.fields(
        dict(params), {"level": level, "data": data}, {"logger": prose(demanded, 256, "logger")}, what="log"
    )


def _token(value: Json) -> Json:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Withheld("progressToken is no token")
    return value
