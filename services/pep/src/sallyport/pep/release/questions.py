"""What an upstream wants of the client before it goes on (multi round-trip requests): only what the client can do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from sallyport.pep.model import Era, Json
from sallyport.pep.release import content, shape
from sallyport.pep.release.content import prose
from sallyport.pep.release.duty import Duty
from sallyport.pep.release.held_to import HeldTo
from sallyport.pep.release.shape import Check
from sallyport.pep.release.withheld import Withheld

MAX_STATE: Final = 16 << 10  # bytes of requestState; sealed, it has to fit a handle
_MAX_REQUESTS: Final = 16
_MAX_FIELDS: Final = 64
_KEY: Final = re.compile(r"[ -~]{1,128}")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The last label has a letter, and is no number in any spelling: then no reader takes the whole for an address.
_NAMED: Final = rf"(?=[0-9-]*[A-Za-z])(?!0[xX][0-9A-Fa-f]*(?:[:/?#]|$)){_LABEL}"
_PAGE: Final = re.compile(rf"(?i:https)://(?P<host>(?:{_LABEL}\.)*{_NAMED})(?::(?P<port>[0-9]{{1,5}}))?(?:[/?#].*)?")
_LONGEST_HOST: Final = 253
_LAST_PORT: Final = 65535
_MANY: Final = 2**53 - 1
_NUMBER: Final = shape.number(-_MANY, _MANY, what="a bound")
_COUNT: Final = shape.number(0, _MANY, what="a count")


def wanted(result: Mapping[str, Json], held_to: HeldTo, duty: Duty) -> dict[str, Json]:
    """An `input_required` result: requests, a state, or both. The legacy era has none, and nothing to bring it back by."""
    if held_to.era is not Era.MODERN:
        raise Withheld("input_required, for a client whose revision doesn't have it")
    optional: dict[str, Check] = {
        "inputRequests": lambda value: requests(value, held_to.capabilities, duty),
        "requestState": shape.text(MAX_STATE, what="requestState", change=_state),
    }
    found = shape.fields(dict(result), {}, optional, what="input_required")
    if not found:
        raise Withheld("input_required asks for nothing")
    return found


def _state(value: str) -> str:
    if len(value.encode()) > MAX_STATE:
        raise Withheld("requestState is too long")
    return value


def requests(value: Json, capabilities: Mapping[str, Json], duty: Duty) -> dict[str, Json]:
    asked = shape.mapping(value)
    if len(asked) > _MAX_REQUESTS or not all(_KEY.fullmatch(key) for key in asked):
        raise Withheld("inputRequests: too many, or a key that is no plain text")
    return {duty.name(key): _request(item, capabilities, duty) for key, item in asked.items()}


def _request(value: Json, capabilities: Mapping[str, Json], duty: Duty) -> dict[str, Json]:
    asked = shape.mapping(value)
    method = asked.get("method")
    known = _METHODS.get(method) if isinstance(method, str) else None
    if known is None:
        raise Withheld("inputRequests: a method that no client answers")
    params = known(shape.mapping(asked.get("params") or {}), capabilities, duty)
    return {"method": method, **({"params": params} if params else {})}


def _roots(_params: dict[str, Json], capabilities: Mapping[str, Json], _duty: Duty) -> dict[str, Json]:
    _declared(capabilities, "roots")
    return {}


def _elicitation(params: dict[str, Json], capabilities: Mapping[str, Json], duty: Duty) -> dict[str, Json]:
    modes = _declared(capabilities, "elicitation")
    mode = params.get("mode", "form")
    if mode not in ("form", "url") or (mode not in modes and (modes or mode == "url")):  # {} means form alone
        raise Withheld("a mode of elicitation that the client didn't declare")
    required: dict[str, Check] = {"message": prose(duty, 8192, "message")}
    required |= {"url": lambda url: duty.name(_page(url))} if mode == "url" else {"requestedSchema": _form(duty)}
    optional: dict[str, Check] = {"mode": lambda value: value}
    if mode == "url":
        optional["elicitationId"] = shape.text(256, what="elicitationId", change=duty.name)
    return shape.fields(params, required, optional, what="elicitation")


def _page(value: Json) -> str:
    """A page that somebody is sent to: https, of a host that anybody can read, with nothing in it that nobody sees."""
    url = shape.uri(value)
    found = _PAGE.fullmatch(url)
    if not found or int(found["port"] or 0) > _LAST_PORT:
        raise Withheld("elicitation: no page of https with a host's plain name")
    host = found["host"].lower()
    if len(host) > _LONGEST_HOST or f".{host}".endswith(".localhost") or ".xn--" in f".{host}":
        raise Withheld("elicitation: a host that isn't what it looks like, or the reader's own")
    try:
        seen = unquote(url, errors="strict")
    except UnicodeDecodeError:
        raise Withheld("elicitation: a page's address that isn't UTF-8") from None
    if not seen.isprintable():
        raise Withheld("elicitation: a page's address with a character that nobody sees")
    return url


def _form(duty: Duty) -> Check:
    words = prose(duty, 2048, "a text of a form")
    names = shape.items(words, most=256, what="values")
    choice = shape.items(
        lambda value: shape.fields(value, {"const": words, "title": words}, what="choice"), most=256, what="choices"
    )
    inner: dict[str, Check] = {"type": shape.one_of("string", what="type"), "enum": names, "anyOf": choice}
    member: dict[str, Check] = {
        **dict.fromkeys(("title", "description"), words),
        **dict.fromkeys(("enum", "enumNames"), names),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _COUNT),
        **dict.fromkeys(("minimum", "maximum"), _NUMBER),
        "format": shape.one_of("date", "date-time", "email", "uri", what="format"),
        "oneOf": choice,
        "items": lambda value: shape.fields(value, {}, inner, what="items"),
        "default": lambda value: _default(value, names, words),
    }
    kind: dict[str, Check] = {"type": shape.one_of("string", "number", "integer", "boolean", "array", what="type")}

    def members(value: Json) -> Json:
        named = shape.mapping(value)
        if len(named) > _MAX_FIELDS:
            raise Withheld("a form of too many fields")
        return {duty.name(key): shape.fields(item, kind, member, what="field") for key, item in named.items()}

    def form(value: Json) -> Json:
        required: dict[str, Check] = {"type": shape.one_of("object", what="type"), "properties": members}
        return shape.fields(value, required, {"required": names}, what="requestedSchema")

    return form


def _default(value: Json, names: Check, words: Check) -> Json:
    if isinstance(value, bool | int | float):
        return value
    return names(value) if isinstance(value, list) else words(value)


def _sampling(params: dict[str, Json], capabilities: Mapping[str, Json], duty: Duty) -> dict[str, Json]:
    declared = _declared(capabilities, "sampling")
    messages = shape.items(lambda value: content.message(value, duty, many=True), most=1000, what="messages")
    required: dict[str, Check] = {"messages": messages, "maxTokens": _COUNT}
    contexts = ("none", "thisServer", "allServers") if "context" in declared else ("none",)
    priority = shape.number(0, 1, what="priority")
    hints = shape.items(
        lambda value: shape.fields(value, {}, {"name": prose(duty, 256, "hint")}, what="hint"), most=64, what="hints"
    )
    wishes = {"hints": hints, "costPriority": priority, "speedPriority": priority, "intelligencePriority": priority}
    optional: dict[str, Check] = {
        "systemPrompt": prose(duty, 64 << 10, "systemPrompt"),
        "includeContext": shape.one_of(*contexts, what="includeContext"),
        "temperature": _NUMBER,
        "stopSequences": shape.items(prose(duty, 1024, "stopSequences"), most=64, what="stopSequences"),
        "modelPreferences": lambda value: shape.fields(value, {}, wishes, what="modelPreferences"),
    }
    if params.get("tools") or params.get("toolChoice"):  # a tool that nobody reviewed, in the client's own model
        raise Withheld("sampling with tools")
    return shape.fields(params, required, optional, what="sampling")


def _declared(capabilities: Mapping[str, Json], name: str) -> dict[str, Json]:
    declared = capabilities.get(name)
    if not isinstance(declared, dict):
        raise Withheld(f"the client didn't declare {name}")
    return declared


_METHODS: Final[Mapping[str, Callable[[dict[str, Json], Mapping[str, Json], Duty], dict[str, Json]]]] = {
    "elicitation/create": _elicitation,
    "sampling/createMessage": _sampling,
    "roots/list": _roots,
}
