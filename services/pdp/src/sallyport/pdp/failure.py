"""What an exception on the way to a decision means: always a denial, and never a word about its values."""

from __future__ import annotations

from typing import Final

import structlog

from sallyport.pdp.model import Denied, ErrorCode

_log: Final = structlog.get_logger()


def code_of(error: BaseException) -> ErrorCode:
    """The error code of the denial. Raises again only what ends the process."""
    if isinstance(error, Denied):
        return error.code
    if isinstance(error, UnicodeError):  # a lone surrogate, which no text in Cedar holds
        return ErrorCode.INVALID_QUESTION
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    _log.error("decision failed", error=type(error).__name__, place=_place(error))
    return ErrorCode.INTERNAL


def _place(error: BaseException) -> str:
    """The innermost line of code; an exception's text may hold an argument's value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
