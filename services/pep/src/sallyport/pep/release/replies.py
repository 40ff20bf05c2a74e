"""Results of every method but a tool's own: built anew from what MCP has, with every obligation fulfilled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sallyport.contract.surfaces import canonical
from sallyport.pep.model import Failed, Json, Reply, ToolOutput
from sallyport.pep.release import content, failures, outputs, questions, shape
from sallyport.pep.release.content import prose
from sallyport.pep.release.duty import Duty
from sallyport.pep.release.held_to import HeldTo
from sallyport.pep.release.shape import Check
from sallyport.pep.release.withheld import Withheld

TASKS: Final = "io.modelcontextprotocol/tasks"
_MAX_VALUES: Final = 100  # of a completion
_LONG: Final = 2**53 - 1
_STATUS: Final = shape.one_of("working", "input_required", "completed", "failed", "cancelled", what="status")
_ASKING: Final = frozenset({"tools/call", "prompts/get", "resources/read"})


def reply(told: Reply, held_to: HeldTo, duty: Duty) -> Reply | ToolOutput:
    """By its resultType, and by the method that it answers."""
    call = held_to.call
    if told.type == "input_required" and call.method in _ASKING:
        return Reply(questions.wanted(told.result, held_to, duty), told.type)
    if told.type == "task" and call.method == "tools/call":
        return Reply(_created(told.result, held_to, duty), told.type)
    if told.type == "complete" and call.method == "tools/call":
        return outputs.released(outputs.read(told.result), held_to, duty)
    known = _METHODS.get(call.method) if told.type == "complete" else None
    if known is None:
        raise Withheld("a result that this method doesn't have")
    return Reply(known(dict(told.result), held_to, duty))


def _prompt(result: dict[str, Json], _held_to: HeldTo, duty: Duty) -> dict[str, Json]:
    messages = shape.items(lambda value: content.message(value, duty), most=content.MAX_ITEMS, what="messages")
    optional = {"description": prose(duty, 8192, "description"), **content.own_meta(duty)}
    return shape.fields(result, {"messages": messages}, optional, what="prompt")


def _resource(result: dict[str, Json], held_to: HeldTo, duty: Duty) -> dict[str, Json]:
    call = held_to.call
    asked = call.name.rstrip("/")

    def beneath(value: Json) -> Json:
        if value == call.name:
            return value
        told = shape.uri(value)
        if told.rstrip("/") != asked and not (told.startswith(f"{asked}/") and canonical(told)):
            raise Withheld("contents of another resource than the one asked for")
        return duty.name(told)

    each = shape.items(lambda value: content.contents(value, duty, beneath), most=content.MAX_ITEMS, what="contents")
    return shape.fields(result, {"contents": each}, content.own_meta(duty), what="resource")


def _completion(result: dict[str, Json], _held_to: HeldTo, duty: Duty) -> dict[str, Json]:
    values = shape.items(prose(duty, 4096, "value"), most=_MAX_VALUES, what="values")
    optional: dict[str, Check] = {"total": shape.number(0, _LONG, what="total"), "hasMore": shape.flag}
    inner: dict[str, Check] = {
        "completion": lambda value: shape.fields(value, {"values": values}, optional, what="completion")
    }
    return shape.fields(result, inner, content.own_meta(duty), what="completion")


def _empty(result: dict[str, Json], _held_to: HeldTo, duty: Duty) -> dict[str, Json]:
    return shape.fields(result, {}, content.own_meta(duty), what="acknowledgement")


def _created(result: Mapping[str, Json], held_to: HeldTo, duty: Duty) -> dict[str, Json]:
    extensions = held_to.capabilities.get("extensions")
    if not isinstance(extensions, dict) or TASKS not in extensions:
        raise Withheld("a task, for a client that didn't declare tasks")
    return _state(dict(result), {}, duty)


def _task(result: dict[str, Json], held_to: HeldTo, duty: Duty) -> dict[str, Json]:
    """A task's result is the tool's, and its error an upstream's: judged as if they had come at once."""

    def done(value: Json) -> Json:
        return outputs.spell(outputs.released(outputs.read(shape.mapping(value)), held_to, duty))

    return _state(
        result,
        {
            "inputRequests": lambda value: questions.requests(value, held_to.capabilities, duty),
            "result": done,
            "error": lambda value: _error(value, duty),
        },
        duty,
    )


def _state(result: dict[str, Json], more: Mapping[str, Check], duty: Duty) -> dict[str, Json]:
    when, millis = shape.moment, shape.number(0, _LONG, what="milliseconds")
    required = {"taskId": shape.text(1024, what="taskId"), "status": _STATUS, "createdAt": when, "lastUpdatedAt": when}
    optional: dict[str, Check] = {"ttlMs": millis, "pollIntervalMs": millis, **more, **content.own_meta(duty)}
    if not duty.shapes:
        optional["statusMessage"] = prose(duty, 2048, "statusMessage")
    return {"ttlMs": None, **shape.fields(result, required, optional, what="task")}


def _error(value: Json, duty: Duty) -> Json:
    told = shape.fields(
        value,
        {"code": shape.number(-_LONG, _LONG, what="code"), "message": shape.text(1 << 20, what="message")},
        {"data": lambda data: data},
        what="error",
    )
    shown = failures.failed(Failed(int(str(told["code"])), str(told["message"]), told.get("data")), duty)
    return {"code": shown.code, "message": shown.message, **({} if shown.data is None else {"data": shown.data})}


_METHODS: Final[Mapping[str, Callable[[dict[str, Json], HeldTo, Duty], dict[str, Json]]]] = {
    "prompts/get": _prompt,
    "resources/read": _resource,
    "resources/subscribe": _empty,
    "resources/unsubscribe": _empty,
    "completion/complete": _completion,
    "tasks/get": _task,
    "tasks/update": _empty,
    "tasks/cancel": _empty,
}
