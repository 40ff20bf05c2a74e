"""Which notifications of an answer's stream pass, and as what: rebuilt of the fields that are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeGuard

from sallyport.pep.model import Envelope, Json
from sallyport.pep.upstream.incoming import Notice
from sallyport.runtime import exact_json

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
LIST_CHANGED: Final[Mapping[str, str]] = {
    f"notifications/{kind}/list_changed": kind for kind in ("tools", "prompts", "resources")
}
_MAX_TEXT: Final = 4096
_MAX_LOGGER: Final = 256
_MAX_DATA: Final = 64 << 10


class Notices:
    """Of one request. The progress token that comes is ours, the one that goes on is the caller's."""

    def __init__(self, envelope: Envelope | None, token: int) -> None:
        self._token = token
        self._wanted = envelope.progress_token if envelope else None
        self._level = LEVELS.index(envelope.log_level) if envelope and envelope.log_level in LEVELS else len(LEVELS)
        self._progress = -math.inf

    def passed(self, notice: Notice) -> dict[str, Json] | None:
        """The parameters to go on with, or None: drop it."""
        if notice.method == "notifications/progress":
            return self._as_progress(notice.params)
        return self._as_message(notice.params) if notice.method == "notifications/message" else None

    def _as_progress(self, params: Mapping[str, Json]) -> dict[str, Json] | None:
        token, progress = params.get("progressToken"), params.get("progress")
        if self._wanted is None or type(token) is not int or token != self._token or not _is_number(progress):
            return None
        if progress <= self._progress:  # progress MUST increase
            return None
        self._progress = progress
        found: dict[str, Json] = {"progressToken": self._wanted, "progress": progress}
        total, text = params.get("total"), params.get("message")
        if _is_number(total):
            found["total"] = total
        if isinstance(text, str) and len(text) <= _MAX_TEXT:
            found["message"] = text
        return found

    def _as_message(self, params: Mapping[str, Json]) -> dict[str, Json] | None:
        level, logger, data = params.get("level"), params.get("logger"), params.get("data")
        if not isinstance(level, str) or level not in LEVELS or LEVELS.index(level) < self._level:
            return None
        if "data" not in params or len(exact_json.encode(data)) > _MAX_DATA:
            return None
        found: dict[str, Json] = {"level": level, "data": data}
        if isinstance(logger, str) and len(logger) <= _MAX_LOGGER:
            found["logger"] = logger
        return found


def _is_number(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
