"""Headers that repeat what the body says: where both are there they agree, in either era (N13, SEP-2243)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.mirrored import decode, repeats, scalars
from sallyport.pep.model import Era
from sallyport.pep.refusal import Refusal
from sallyport.pep.rpc.envelope import Call
from sallyport.pep.rpc.rejected import mismatch, too_large
from sallyport.runtime.canonical_json import exceeds

_PARAM: Final = "mcp-param-"
_DISAGREE: Final = "an Mcp-Param header and the body disagree"
# Method → the parameter that Mcp-Name repeats.
_NAMED: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}


def check(call: Call, headers: Mapping[str, str], era: Era) -> Refusal | None:
    """Compare Mcp-Method, Mcp-Name and Mcp-Param-* with the body; the modern era requires the first two."""
    method, name = headers.get("mcp-method"), headers.get("mcp-name")
    if method is None and era is Era.MODERN:
        return mismatch("Mcp-Method is missing")
    if method is not None and method != call.method:
        return mismatch("Mcp-Method and the body disagree")
    named = call.params.get(_NAMED[call.method]) if call.method in _NAMED else None
    if name is None and era is Era.MODERN and call.method in _NAMED:
        return mismatch("Mcp-Name is missing")
    if name is not None and (named is None or decode(name) != named):
        return mismatch("Mcp-Name and the body disagree")
    given = params(headers)
    return _check_given(given.values(), call) if given else None


def params(headers: Mapping[str, str]) -> dict[str, str]:
    """What stands in Mcp-Param-* headers, by the rest of their names."""
    return {name.removeprefix(_PARAM): value for name, value in headers.items() if name.startswith(_PARAM)}


def _check_given(values: Iterable[str], call: Call) -> Refusal | None:
    """Some argument has the value. Which one it must be stands in the tool's schema: room 4 holds it to that one."""
    arguments = call.params.get("arguments")
    if call.method != "tools/call" or not isinstance(arguments, dict):
        return mismatch(_DISAGREE)
    if exceeds(arguments, MAX_INPUT_BYTES):  # none so large is ever run
        return too_large()
    found = scalars(arguments.values())
    return None if all(repeats(value, found) for value in values) else mismatch(_DISAGREE)
