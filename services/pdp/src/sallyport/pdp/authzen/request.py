"""Bodies read strictly into evaluations. What the standard doesn't name is ignored; what it names must have its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sallyport.pdp.model import Json
from sallyport.runtime import strict_json

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "subject": ("type", "id"),
    "action": ("name",),
    "resource": ("type", "id"),
}
Object = Mapping[str, Json]


class Malformed(Exception):
    """Not a request of AuthZEN. The text goes to the client and holds none of its values."""


class Semantic(StrEnum):
    """After which decision a batch ends."""

    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject or a resource, or an action, whose name is the id."""

    type: str
    id: str
    properties: Object


@dataclass(frozen=True, slots=True)
class Evaluation:
    subject: Entity
    action: Entity
    resource: Entity
    context: Object


@dataclass(frozen=True, slots=True)
class Batch:
    """`items`: an evaluation each, or why it can't be one. `single`: asked and answered as one evaluation."""

    items: tuple[Evaluation | str, ...]
    semantic: Semantic = Semantic.EXECUTE_ALL
    single: bool = False

    def ends_with(self, decision: bool) -> bool:  # noqa: FBT001 — the decision itself
        """Is this the decision after which nothing more is judged?"""
        last = {Semantic.DENY_ON_FIRST_DENY: False, Semantic.PERMIT_ON_FIRST_PERMIT: True}
        return last.get(self.semantic) is decision


def single(body: bytes) -> Batch:
    """Raises Malformed."""
    return Batch((_evaluation(_parse(body)),), single=True)


def batch(body: bytes, most: int) -> Batch:
    """Raises Malformed for what is wrong with the whole; an item's fault is that item's alone."""
    top = _parse(body)
    listed = top.get("evaluations", [])
    if listed == []:
        return Batch((_evaluation(top),), single=True)
    if not isinstance(listed, list):
        raise Malformed("evaluations is not an array")
    if len(listed) > most:
        raise Malformed(f"more than {most} evaluations")
    defaults = _defaults(top)
    return Batch(tuple(_item(item, defaults) for item in listed), _semantic(top.get("options", {})))


def _parse(body: bytes) -> Object:
    try:
        value = strict_json.parse(body)
    except strict_json.JsonRefused as refused:
        raise Malformed(f"the body isn't JSON as it is taken here: {refused}") from None
    if not isinstance(value, dict):
        raise Malformed("the body is not a JSON object")
    return value


def _semantic(options: Json) -> Semantic:
    if not isinstance(options, dict):
        raise Malformed("options is not an object")
    said = options.get("evaluations_semantic", Semantic.EXECUTE_ALL)
    if not isinstance(said, str) or said not in set(Semantic):
        raise Malformed(f"options.evaluations_semantic is none of {', '.join(Semantic)}")
    return Semantic(said)


def _defaults(top: Object) -> Object:
    found = {name: top[name] for name in (*_REQUIRED, "context") if name in top}
    for name, value in found.items():
        if not isinstance(value, dict):
            raise Malformed(f"{name} is not an object")
    return found


def _item(item: Json, defaults: Object) -> Evaluation | str:
    if not isinstance(item, dict):
        return "the evaluation is not an object"
    merged = {**defaults, **item}
    for name, required in _REQUIRED.items():
        own, default = item.get(name), defaults.get(name)
        if isinstance(own, dict) and isinstance(default, dict):
            # The item's entity stands for the whole default, but for what must be there and isn't (scenario §3.2.7).
            merged[name] = {**{part: default[part] for part in required if part in default}, **own}
    try:
        return _evaluation(merged)
    except Malformed as error:
        return str(error)


def _evaluation(found: Object) -> Evaluation:
    context = found.get("context", {})
    if not isinstance(context, dict):
        raise Malformed("context is not an object")
    return Evaluation(_entity(found, "subject"), _entity(found, "action"), _entity(found, "resource"), context)


def _entity(found: Object, name: str) -> Entity:
    value = found.get(name)
    if name not in found:
        raise Malformed(f"{name} is missing")
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object")
    texts = {part: _text(value, name, part) for part in _REQUIRED[name]}
    properties = value.get("properties", {})
    if not isinstance(properties, dict):
        raise Malformed(f"{name}.properties is not an object")
    return Entity(texts.get("type", ""), texts.get("id", texts.get("name", "")), properties)


def _text(value: Object, name: str, part: str) -> str:
    text = value.get(part)
    if part not in value:
        raise Malformed(f"{name}.{part} is missing")
    if not isinstance(text, str):
        raise Malformed(f"{name}.{part} is not a string")
    return text
