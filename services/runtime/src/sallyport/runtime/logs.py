"""Logs: one JSON object a line on stderr, ours and the libraries' alike, and no secrets in them."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK: Final = "[masked]"
_MAX_DEPTH: Final = 8
_SECRET_KEY: Final = re.compile(
    r"authorization|token|passw|secret|cookie|credential|(?:^|[_.-])keys?$|api_?key|private", re.IGNORECASE
)
_SECRET_TEXT: Final = re.compile(
    r"(?i:\b(?:bearer|basic|dpop)\s+)[A-Za-z0-9+/=._~-]{8,}"  # RFC 6750 §2.1
    r"|\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JWS, RFC 7515 §3.1
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_QUIET: Final = ("uvicorn.access", "aiohttp.access")  # the audit record says who came; access logs hold query strings


def configure(service: str, *, level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's messages to stderr, named `service`. Levels: debug to error."""
    if level not in _LEVELS:
        raise ValueError(f"log level {level!r} is unknown; use one of {', '.join(_LEVELS)}")
    shared = _shared(service)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            mask_secrets,
            structlog.processors.JSONRenderer(serializer=_one_line),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    _route(handler, _LEVELS[level])
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask values whose key looks like a secret's, and texts that look like one, at any depth."""
    return {key: MASK if _SECRET_KEY.search(key) else _masked(value, _MAX_DEPTH) for key, value in event.items()}


def _masked(value: Any, depth: int) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth:
        return {
            str(key): MASK if _SECRET_KEY.search(str(key)) else _masked(item, depth - 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_masked(item, depth - 1) for item in value]
    return _SECRET_TEXT.sub(MASK, str(value))


def _shared(service: str) -> list[Processor]:
    def name_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        name_service,
    ]


def _one_line(event: Any, **_options: Any) -> str:
    """ASCII only: CR, LF, ESC, U+0085 and U+2028 are all escaped, so no value can begin a line of its own."""
    return json.dumps(event, ensure_ascii=True, separators=(",", ":"))


def _route(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in list(logging.root.manager.loggerDict):  # uvicorn and grpc may have set up handlers of their own
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _QUIET:
        logging.getLogger(name).disabled = True
