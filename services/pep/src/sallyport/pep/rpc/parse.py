"""Room 2: one HTTP request → one message of the closed union, or the refusal. Pure: no I/O, no clock, never raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sallyport.pep.model import CallTool, Era, Message, Request
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import envelope, eras, headers, mirrors
from sallyport.pep.rpc.envelope import Call
from sallyport.pep.rpc.methods import METHODS, check_params
from sallyport.pep.rpc.methods import envelope as enveloped
from sallyport.pep.rpc.rejected import Rejected, invalid, refuse


def parse(
    request: Request, *, eras: frozenset[Era], max_depth: int, origins: frozenset[str] = frozenset()
) -> Message | Rejected:
    """Read a POST: headers, JSON, envelope, era, mirrored headers, method, parameters, in this order.

    `eras` are those spoken, `origins` the allowed values of Origin (none: a browser's request is refused).
    """
    found = headers.read(request.headers)
    if isinstance(found, Refusal):
        # The id is still looked for, so that the client can tell which request was refused.
        call = envelope.read(request.body, max_depth)
        return Rejected(found, call.id if isinstance(call, Call) else call.request_id)
    if refusal := headers.negotiable(found, request.headers, origins):
        return Rejected(refusal)
    call = envelope.read(request.body, max_depth)
    if isinstance(call, Rejected):
        return call
    return _in_era(call, found, eras, _header(request, b"traceparent"))


def _in_era(call: Call, found: Mapping[str, str], spoken: frozenset[Era], trace: str) -> Message | Rejected:
    era = eras.of(call, found, spoken)
    if isinstance(era, Refusal):
        return Rejected(era, call.id, None, call.method)
    result = mirrors.check(call, found, era) or _message(call, era, trace)
    if isinstance(result, CallTool):
        result = replace(result, mirrored=mirrors.params(found))
    if isinstance(result, Refusal):
        # A notification has no JSON-RPC answer, so its refusal is always told by status (Streamable HTTP, Sending 5).
        return Rejected(result, call.id, None if call.id is None else era, call.method)
    return result


def _message(call: Call, era: Era, trace: str) -> Message | Refusal:
    row = METHODS.get(call.method)
    if row is None or era not in row.eras:
        return refuse(Reason.UNKNOWN_METHOD, "no such method in this era")
    if row.notification is not (call.id is None):
        return invalid("a request without id, or a notification with one")
    if refusal := check_params(row, call, era):
        return refusal
    return row.read(enveloped(call, era, trace), call.params)


def _header(request: Request, name: bytes) -> str:
    values = [value for key, value in request.headers if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""
