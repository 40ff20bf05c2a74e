"""Results and refusals put into HTTP and JSON-RPC; nothing is decided or recorded here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sallyport.pep import VERSION, refusal
from sallyport.pep.model import Answer, Json, Message, ToolOutput
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


def tool(message: Message, output: ToolOutput, decision_id: str) -> Answer:
    """A tool's result. It names its decision, so that a user can ask the record about it."""
    value = results.tools_call(output, message.envelope.era, VERSION)
    meta = value.get("_meta", {})
    named: dict[str, Json] = {**(meta if isinstance(meta, dict) else {}), DECISION_ID: decision_id}
    return result(message, {**value, "_meta": named})


def refused(told: Refusal, trail: Trail, challenge: str) -> Answer:
    """What this caller may know of a refusal; wrong arguments of a visible tool are a tool's error (SEP-1303)."""
    message = trail.message
    if told.reason is Reason.INVALID_ARGUMENTS and told.public and message is not None:
        output = ToolOutput(({"type": "text", "text": f"invalid arguments: {told.public}"},), is_error=True)
        return tool(message, output, trail.decision_id)
    return refusal.respond(
        told, request_id=trail.request_id, era=trail.era, decision_id=trail.decision_id, challenge=challenge
    )
