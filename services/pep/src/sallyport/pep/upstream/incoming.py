"""What an upstream sends: each message is read strictly, and is an answer, a notification, a question, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeGuard

from sallyport.pep.model import Failed, Json, Reply
from sallyport.pep.upstream import elements
from sallyport.pep.upstream.failures import UpstreamBroke
from sallyport.runtime import exact_json, strict_json

_OURS: Final = frozenset({"resultType", "ttlMs", "cacheScope"})  # the gate says these itself
_TYPES: Final = frozenset({"complete", "input_required", "task"})
_MAX_MESSAGE: Final = 2048  # characters of an error's text
_MAX_ID: Final = 256


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification."""

    method: str
    params: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Question:
    """A request of the server's own, which only the legacy era knows."""

    id: str | int
    method: str


@dataclass(frozen=True, slots=True)
class Noise:
    """Nothing that anybody waits for."""


Heard: TypeAlias = Reply | Failed | Notice | Question | Noise


class Unbelievable(UpstreamBroke):
    """An answer came, and it can't be believed."""

    def __init__(self, detail: str, public: str = "its answer is malformed") -> None:
        super().__init__(public, detail)


def read(data: bytes, request_id: int) -> Heard:
    """Raises Unbelievable: malformed, or an answer to something else."""
    message = _message(data, exact_json.whole)
    method = message.get("method")
    if method is None:
        return _answer(message, request_id)
    params = message.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        return Noise()
    if "id" not in message:
        return Notice(method, params)
    asked = message["id"]
    return Question(asked, method) if _is_id(asked) else Noise()


def listed(data: bytes, request_id: int) -> Heard:
    """The same where definitions are asked for: what of an answer can't be carried takes out the entry that it is in."""
    message = _message(data, exact_json.parse)
    return (
        _answer(message, request_id)
        if is_for(message, request_id) and "method" not in message
        else read(data, request_id)
    )


def refusal(data: bytes, request_id: int) -> Heard:
    """What comes under another status than 200: noise where it isn't this request's answer. Raises Unbelievable."""
    try:
        ours = is_for(_parsed(data, exact_json.whole), request_id)
    except Unbelievable:
        ours = False
    return read(data, request_id) if ours else Noise()


def _parsed(data: bytes, parse: Callable[[bytes], Json]) -> Json:
    if too_many := elements.excess(data):
        raise Unbelievable(f"an answer that has {too_many}", "its answer has too many elements")
    try:
        return parse(data)
    except strict_json.JsonRefused as refused:
        raise Unbelievable(f"an answer that isn't JSON as we take it: {refused}") from None


def _message(data: bytes, parse: Callable[[bytes], Json]) -> dict[str, Json]:
    message = _parsed(data, parse)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Unbelievable("not one JSON-RPC message")
    return message


def is_for(message: Json, request_id: int) -> bool:
    """Whether it names this very request: 1 is neither "1" nor 1.0 nor true."""
    return isinstance(message, dict) and type(message.get("id")) is int and message["id"] == request_id


def _is_id(asked: Json) -> TypeGuard[str | int]:
    """One that our own answer can name."""
    if isinstance(asked, str):
        return len(asked) <= _MAX_ID
    return type(asked) is int and abs(asked) <= strict_json.MAX_INTEGER


def _answer(message: dict[str, Json], request_id: int) -> Reply | Failed:
    if not is_for(message, request_id):
        raise Unbelievable("an answer to another request")
    if ("result" in message) == ("error" in message):
        raise Unbelievable("an answer with both or neither of result and error")
    return _failed(message["error"]) if "error" in message else _reply(message["result"])


def _reply(result: Json) -> Reply:
    if not isinstance(result, dict):
        raise Unbelievable("a result that is no object")
    kind = result.get("resultType", "complete")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise Unbelievable("a result of a type that nobody knows")
    return Reply({key: value for key, value in result.items() if key not in _OURS}, kind)


def _failed(error: Json) -> Failed:
    code, text = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
    if not isinstance(error, dict) or type(code) is not int or not isinstance(text, str):
        raise Unbelievable("an error without code or message")
    return Failed(code, text[:_MAX_MESSAGE], error.get("data"))
