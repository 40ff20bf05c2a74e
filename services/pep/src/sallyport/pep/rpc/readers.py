"""Parameters → messages: one reader a method. What is too long, or of another shape, is refused with its rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeGuard

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.model import (
    AboutTask,
    CallTool,
    Cancel,
    Complete,
    Envelope,
    GetPrompt,
    Initialize,
    Json,
    Listen,
    Message,
    Notification,
    ReadResource,
    Retry,
    SetLevel,
    Subscribe,
    Unsubscribe,
)
from sallyport.pep.refusal import Refusal
from sallyport.pep.rpc.envelope import is_id
from sallyport.pep.rpc.rejected import bad_params, too_large
from sallyport.runtime import canonical_json
from sallyport.runtime.canonical_json import exceeds

Read: TypeAlias = Callable[[Envelope, Mapping[str, Json]], Message | Refusal]

NAME_LENGTH: Final = 128
VERSION_LENGTH: Final = 64
URI_LENGTH: Final = 2048
HANDLE_LENGTH: Final = 24_576  # 16 KiB of an upstream's, sealed; cursors are handles too
TEXT_LENGTH: Final = 4096  # of a prompt's argument or of what is to be completed
MAX_URIS: Final = 256
LEVELS: Final = frozenset({"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"})
RETRIED: Final = ("inputResponses", "requestState")
_LISTENED: Final = ("toolsListChanged", "promptsListChanged", "resourcesListChanged")


def initialize(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    version = params.get("protocolVersion")
    if not isinstance(version, str) or not 0 < len(version) <= VERSION_LENGTH:
        return bad_params("protocolVersion is no string of 1 to 64 characters")
    if not isinstance(params.get("capabilities"), dict) or not isinstance(params.get("clientInfo"), dict):
        return bad_params("capabilities or clientInfo is no object")
    return Initialize(envelope, version)


def cancelled(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    if "requestId" not in params:  # legacy: a task's, which ends by tasks/cancel alone
        return Notification(envelope)
    wanted = params["requestId"]
    return Cancel(envelope, wanted) if is_id(wanted) else bad_params("requestId is no id")


def _cursor(params: Mapping[str, Json]) -> str | None | Refusal:
    cursor = params.get("cursor", "")
    if not isinstance(cursor, str) or len(cursor) > HANDLE_LENGTH:
        return bad_params("cursor is none that was given out")
    return cursor if "cursor" in params else None


def listing(make: Callable[[Envelope, str | None], Message]) -> Read:
    def read(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
        cursor = _cursor(params)
        return cursor if isinstance(cursor, Refusal) else make(envelope, cursor)

    return read


def call_tool(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    name, arguments, retry = params.get("name"), params.get("arguments", {}), _retry(params)
    if not _text(name, NAME_LENGTH):
        return bad_params("name is no string of 1 to 128 characters")
    if not isinstance(arguments, dict):
        return bad_params("arguments is no object")
    return retry if isinstance(retry, Refusal) else CallTool(envelope, name, arguments, retry)


def get_prompt(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    name, arguments, retry = params.get("name"), params.get("arguments", {}), _retry(params)
    if not _text(name, NAME_LENGTH):
        return bad_params("name is no string of 1 to 128 characters")
    if not _texts(arguments):
        return bad_params("arguments is no object of strings of at most 4096 characters")
    return retry if isinstance(retry, Refusal) else GetPrompt(envelope, name, arguments, retry)


def read_resource(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    uri, retry = params.get("uri"), _retry(params)
    if not _text(uri, URI_LENGTH):
        return bad_params("uri is no string of 1 to 2048 characters")
    return retry if isinstance(retry, Refusal) else ReadResource(envelope, uri, retry)


def subscribe(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    uri = params.get("uri")
    return (
        Subscribe(envelope, uri) if _text(uri, URI_LENGTH) else bad_params("uri is no string of 1 to 2048 characters")
    )


def unsubscribe(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    read = subscribe(envelope, params)
    return read if isinstance(read, Refusal) else Unsubscribe(envelope)


def complete(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    reference, argument = params.get("ref"), params.get("argument")
    context = params.get("context", {})
    given = context.get("arguments", {}) if isinstance(context, dict) and context.keys() <= {"arguments"} else None
    if not isinstance(argument, dict) or argument.keys() != {"name", "value"} or not _texts(argument):
        return bad_params("argument is no object of a name and a value")
    if not _texts(given):
        return bad_params("context.arguments is no object of strings")
    if not isinstance(reference, dict):
        return bad_params("ref is no object")
    match reference:
        case {"type": "ref/prompt", "name": str(name)} if _text(name, NAME_LENGTH) and _only(
            reference, "name", "title"
        ):
            return Complete(envelope, name, "", argument, given)
        case {"type": "ref/resource", "uri": str(uri)} if _text(uri, URI_LENGTH) and _only(reference, "uri"):
            return Complete(envelope, "", uri, argument, given)
    return bad_params("ref is neither a prompt's name nor a resource template")


def _only(reference: Mapping[str, Json], *keys: str) -> bool:
    return reference.keys() <= {"type", *keys}


def set_level(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    level = params.get("level")
    return (
        SetLevel(envelope, level)
        if isinstance(level, str) and level in LEVELS
        else bad_params("level is none of RFC 5424's")
    )


def listen(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    wanted = params.get("notifications")
    if not isinstance(wanted, dict):
        return bad_params("notifications is no object")
    flags = [wanted.get(key) for key in _LISTENED]  # what else is wanted isn't offered, as the acknowledgement tells
    uris = wanted.get("resourceSubscriptions") or []
    if not all(isinstance(flag, bool | None) for flag in flags):
        return bad_params("a kind of notification is neither true nor false")
    if not isinstance(uris, list) or len(uris) > MAX_URIS or not all(_text(uri, URI_LENGTH) for uri in uris):
        return bad_params("resourceSubscriptions is no list of at most 256 URIs")
    tools, prompts, resources = (flag is True for flag in flags)
    return Listen(envelope, tools, prompts, resources, tuple(dict.fromkeys(map(str, uris))))


def about_task(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    task, responses = params.get("taskId"), params.get("inputResponses", {})
    if not _text(task, HANDLE_LENGTH):
        return bad_params("taskId is no string")
    if not _objects(responses):
        return bad_params("inputResponses is no object of objects")
    told: Json = {"inputResponses": responses}  # as it is judged
    if exceeds(told, MAX_INPUT_BYTES) or len(canonical_json.encode(told)) > MAX_INPUT_BYTES:
        return too_large()
    return AboutTask(envelope, task, responses)


def _retry(params: Mapping[str, Json]) -> Retry | None | Refusal:
    """Multi round-trip requests: what a client brings on its second way."""
    if not params.keys() & set(RETRIED):
        return None
    responses, state = params.get("inputResponses", {}), params.get("requestState", "")
    if not _objects(responses):
        return bad_params("inputResponses is no object of objects")
    if not isinstance(state, str) or len(state) > HANDLE_LENGTH:
        return bad_params("requestState is none that was given out")
    return Retry(responses, state)


def _objects(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())


def _text(value: Json, longest: int) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= longest


def _texts(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict) and all(isinstance(one, str) and len(one) <= TEXT_LENGTH for one in value.values())
