"""Results and refusals put into HTTP and JSON-RPC; nothing is decided or recorded here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY

from sallyport.pep import VERSION, refusal
from sallyport.pep.model import Answer, Era, Failed, Json, Message, Output, ToolOutput
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import results
from sallyport.pep.trail import Trail

DECISION_ID: Final = "sallyport.io/decision_id"
ACCEPTED: Final = Answer(202, (), b"")  # a notification, Streamable HTTP: Sending messages 5
_JSON: Final = ((b"content-type", b"application/json"),)


def result(message: Message, value: Mapping[str, Json]) -> Answer:
    """A JSON-RPC result."""
    request_id = message.envelope.id
    # A request without an id is a notification, and room 2 lets none of those come this far.
    return Answer(200, _JSON, results.envelope("" if request_id is None else request_id, value))


def output(message: Message, shown: Output, decision_id: str) -> Answer:
    """What came of a permitted request. It names its decision, so that a user can ask the record about it."""
    if isinstance(shown, Failed):
        return _failed(message, shown, decision_id)
    if isinstance(shown, ToolOutput):
        value = results.tools_call(shown, message.envelope.era, VERSION)
    else:
        value = results.reply(shown, message.envelope, VERSION)
    meta = value.get("_meta", {})
    named: dict[str, Json] = {**(meta if isinstance(meta, dict) else {}), DECISION_ID: decision_id}
    return result(message, {**value, "_meta": named})


def _failed(message: Message, shown: Failed, decision_id: str) -> Answer:
    """An upstream's own error, as far as it was released."""
    data: dict[str, Json] = {**(shown.data if isinstance(shown.data, dict) else {}), DECISION_ID: decision_id}
    error: Json = {"code": shown.code, "message": shown.message, "data": data}
    request_id = message.envelope.id
    modern = message.envelope.era is Era.MODERN
    status = 400 if modern and shown.code == MISSING_REQUIRED_CLIENT_CAPABILITY else 200  # 2026-07-28, _meta
    return Answer(status, _JSON, results.error("" if request_id is None else request_id, error))


def refused(told: Refusal, trail: Trail, challenge: str) -> Answer:
    """What this caller may know of a refusal; wrong arguments of a visible tool are a tool's error (SEP-1303)."""
    message = trail.message
    if told.reason is Reason.INVALID_ARGUMENTS and told.public and message is not None:
        told_so = ToolOutput(({"type": "text", "text": f"invalid arguments: {told.public}"},), is_error=True)
        return output(message, told_so, trail.decision_id)
    return refusal.respond(
        told, request_id=trail.request_id, era=trail.era, decision_id=trail.decision_id, challenge=challenge
    )
