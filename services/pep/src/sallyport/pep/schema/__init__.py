"""Room 4: a call's arguments against the tool's schema, made canonical. Pure: no I/O.

What comes out is what is judged and, to the byte, what runs (N11): the arguments are read back from the very bytes
that are hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from sallyport.contract.catalog import Hosted, Prompt, Resource, Tool
from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep import mirrored
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.model import (
    CallTool,
    CheckedCall,
    Complete,
    Era,
    GetPrompt,
    Json,
    ReadResource,
    ResourceRef,
    Retry,
    Subscribe,
    digest_of,
)
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.schema.defaults import TooMuch, filled_in
from sallyport.pep.schema.resources import NoResource, resources
from sallyport.pep.schema.templates import variables
from sallyport.pep.schema.validator import compile_schema
from sallyport.runtime import canonical_json, strict_json
from sallyport.runtime.canonical_json import exceeds

__all__ = ["Judged", "Opened", "check", "compile_schema"]

Judged: TypeAlias = CallTool | GetPrompt | ReadResource | Subscribe | Complete
Opened: TypeAlias = Callable[
    [CheckedCall, str], str | None
]  # the call, what the client brings back -> the state itself
_TOO_LARGE: Final = f"the arguments are larger than {MAX_INPUT_BYTES} bytes"


def check(message: Judged, loaded: LoadedCatalog, opened: Opened = lambda *_: None) -> CheckedCall | Refusal:
    """The checked request, or why not. Names an argument by JSON Pointer, and never repeats a value.

    `opened` gives back the upstream's own requestState, if what the message brings was given out for this very call.
    """
    match message:
        case CallTool():
            call = _tool(message, loaded)
        case GetPrompt():
            call = _prompt(message, loaded)
        case ReadResource() | Subscribe():
            call = _resource(message, loaded)
        case Complete():
            call = _completion(message, loaded)
    retry = getattr(message, "retry", None)
    return call if retry is None or isinstance(call, Refusal) else _retried(call, retry, opened)


def _tool(message: CallTool, loaded: LoadedCatalog) -> CheckedCall | Refusal:
    tool = loaded.find(message.name)
    validator = loaded.validators.get(message.name)
    if tool is None or validator is None:
        return Refusal(Reason.UNKNOWN_TOOL, "the catalog has no such tool")
    try:
        final, canonical = _canonical(tool, message.arguments)
        problem = validator.problem(final)
        if problem:
            return _invalid(problem)
        touched = resources(tool, final)
    except (NoResource, _NotCarried) as error:
        return _invalid(str(error))
    disagree = _contradicted(message, tool)
    if disagree:
        return Refusal(Reason.HEADER_MISMATCH, disagree, disagree)
    return _made(message, message.name, final, canonical, touched, loaded)


def _contradicted(message: CallTool, tool: Tool) -> str:
    """By its headers (N13). Not sooner: which argument a header repeats is for whom the tool is visible to know.

    Held against what the client itself gave: it knows of no default that was filled in.
    """
    wanted, modern = mirrored.declared(tool.input), message.envelope.era is Era.MODERN
    given, headers = message.arguments, message.mirrored
    return mirrored.problem(wanted, given, headers, required=modern) or mirrored.stray(wanted, given, headers)


def _prompt(message: GetPrompt, loaded: LoadedCatalog) -> CheckedCall | Refusal:
    prompt = loaded.catalog.prompt(message.name)
    if prompt is None:
        return Refusal(Reason.NOT_SERVED, "the catalog has no such prompt")
    known = {argument.name for argument in prompt.arguments}
    missing = [one.name for one in prompt.arguments if one.required and one.name not in message.arguments]
    if message.arguments.keys() - known or missing:
        return Refusal(Reason.INVALID_PARAMS, "arguments that the prompt doesn't have, or lacks", _expected(missing))
    touched = (ResourceRef("Prompt", prompt.name),)
    return _carried(message, message.name, dict(message.arguments), touched, loaded)


def _resource(message: ReadResource | Subscribe, loaded: LoadedCatalog) -> CheckedCall | Refusal:
    # A template's own text is judged for listings, and names no resource that could be read.
    if loaded.catalog.resource(message.uri) is None or not {"{", "}"}.isdisjoint(message.uri):
        return Refusal(Reason.NOT_SERVED, "the catalog has no such resource")
    return _carried(message, message.uri, {}, (ResourceRef("McpResource", message.uri),), loaded)


def _completion(message: Complete, loaded: LoadedCatalog) -> CheckedCall | Refusal:
    """Of what a prompt or template doesn't have nothing is asked: an upstream needn't be trusted to say no."""
    name = message.prompt or message.template
    known = loaded.catalog.prompt(name) if message.prompt else loaded.catalog.resource(name)
    if known is None:
        return Refusal(Reason.NOT_SERVED, "the catalog has no such prompt or template")
    named = {str(message.argument["name"]), *message.context}
    if isinstance(known, Prompt) and not named <= {one.name for one in known.arguments}:
        return Refusal(Reason.INVALID_PARAMS, "an argument that the prompt doesn't have", _expected([]))
    if isinstance(known, Resource) and not named <= variables(known, name):
        return Refusal(Reason.INVALID_PARAMS, "no variable of the template", "the template has no such variable")
    touched = (ResourceRef("Prompt" if message.prompt else "McpResource", name),)
    arguments: dict[str, Json] = {"argument": dict(message.argument), "context": dict(message.context)}
    return _carried(message, name, arguments, touched, loaded)


def _carried(
    message: Judged, name: str, arguments: dict[str, Json], touched: tuple[ResourceRef, ...], loaded: LoadedCatalog
) -> CheckedCall | Refusal:
    canonical = canonical_json.encode(arguments)
    if len(canonical) > MAX_INPUT_BYTES:
        return Refusal(Reason.INVALID_PARAMS, _TOO_LARGE, _TOO_LARGE)
    return _made(message, name, arguments, canonical, touched, loaded)


def _made(
    message: Judged,
    name: str,
    final: dict[str, Json],
    canonical: bytes,
    touched: tuple[ResourceRef, ...],
    loaded: LoadedCatalog,
) -> CheckedCall:
    digest = digest_of(canonical, {})
    return CheckedCall(name, final, canonical, digest, touched, loaded.digest, message.envelope.method)


def _retried(call: CheckedCall, retry: Retry, opened: Opened) -> CheckedCall | Refusal:
    """The same call with what its second way brings; the state is bound to the arguments of the first.

    The answers are to the upstream's own questions: no policy sees them, and the record has a keyed hash of them.
    """
    state = opened(call, retry.state) if retry.state else ""
    if state is None:
        return Refusal(Reason.FOREIGN_HANDLE, "a requestState that wasn't given to this caller for this call")
    more: dict[str, Json] = {"inputResponses": dict(retry.responses)} | ({"requestState": state} if state else {})
    if exceeds(more, MAX_INPUT_BYTES):
        # Only a tool's result can say what is wrong with its arguments (SEP-1303).
        tool = call.method == "tools/call"
        return _invalid(_TOO_LARGE) if tool else Refusal(Reason.INVALID_PARAMS, _TOO_LARGE, _TOO_LARGE)
    return replace(call, retry=more, digest=digest_of(call.canonical, more))


def _expected(missing: list[str]) -> str:
    return f"the prompt needs {', '.join(missing)}" if missing else "the prompt has no such argument"


class _NotCarried(ValueError):
    """Arguments that can't be put into canonical form. The text may be shown."""


def _canonical(tool: Tool, arguments: Mapping[str, Json]) -> tuple[dict[str, Json], bytes]:
    if exceeds(arguments, MAX_INPUT_BYTES):
        raise _NotCarried(_TOO_LARGE)
    judged = _filled(tool, arguments) if isinstance(tool.provider, Hosted) else dict(arguments)
    try:
        canonical = canonical_json.encode(judged)
        # Reading back makes 1.0 the integer 1, here as everywhere downstream.
        final = strict_json.parse(canonical)
    except ValueError as error:
        raise _NotCarried(f"the arguments can't be carried: {error}") from None
    if len(canonical) > MAX_INPUT_BYTES or not isinstance(final, dict):
        raise _NotCarried(_TOO_LARGE)
    return final, canonical


def _filled(tool: Tool, arguments: Mapping[str, Json]) -> Json:
    try:
        filled = filled_in(tool.input, dict(arguments))
    except TooMuch:
        raise _NotCarried(_TOO_LARGE) from None
    if filled != arguments and exceeds(filled, MAX_INPUT_BYTES):
        raise _NotCarried(_TOO_LARGE)
    return filled


def _invalid(text: str) -> Refusal:
    # The record tells where, not what: an unknown argument's name is the caller's text.
    where = text.partition(":")[0] if text.startswith("/") else ""
    return Refusal(Reason.INVALID_ARGUMENTS, f"the arguments don't fit at {where or '/'}", public=text)
