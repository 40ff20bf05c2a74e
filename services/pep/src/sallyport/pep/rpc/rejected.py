"""What room 2 gives in place of a message."""

from __future__ import annotations

from dataclasses import dataclass

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.model import Era
from sallyport.pep.refusal import Reason, Refusal


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refusal with whatever is known to answer it with; `method` is for the record."""

    refusal: Refusal
    request_id: str | int | None = None
    era: Era | None = None
    method: str = ""


def refuse(reason: Reason, detail: str, public: str = "") -> Refusal:
    return Refusal(reason, detail, public)


def invalid(detail: str) -> Refusal:
    """Not one JSON-RPC message as the spec has it; the text names rules only, never input."""
    return Refusal(Reason.INVALID_REQUEST, detail, detail)


def mismatch(detail: str) -> Refusal:
    return Refusal(Reason.HEADER_MISMATCH, detail, detail)


def bad_params(detail: str) -> Refusal:
    return Refusal(Reason.INVALID_PARAMS, detail, detail)


def too_large() -> Refusal:
    """The arguments of any tool alike, so it tells nothing of one."""
    return bad_params(f"the arguments are larger than {MAX_INPUT_BYTES} bytes")
