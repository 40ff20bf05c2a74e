"""The Cedar types that carry arguments and attributes, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sallyport.pdp.cedar_text import quote


@dataclass(frozen=True, slots=True)
class Primitive:
    """String, Long, Bool, or an extension type: decimal, ipaddr, datetime, duration."""

    name: str


@dataclass(frozen=True, slots=True)
class EntityRef:
    """A reference to an entity of this type."""

    name: str


@dataclass(frozen=True, slots=True)
class SetOf:
    element: CedarType


@dataclass(frozen=True, slots=True)
class Field:
    type: CedarType
    required: bool


@dataclass(frozen=True, slots=True)
class Record:
    """`left_out` are declared properties without a faithful type; `open` says that undeclared ones may come too."""

    fields: Mapping[str, Field]
    left_out: frozenset[str] = frozenset()
    open: bool = False


CedarType: TypeAlias = Primitive | EntityRef | SetOf | Record

STRING = Primitive("String")
LONG = Primitive("Long")
BOOL = Primitive("Bool")
DECIMAL = Primitive("decimal")
DATETIME = Primitive("datetime")
DURATION = Primitive("duration")
IPADDR = Primitive("ipaddr")


def render(cedar_type: CedarType) -> str:
    """The type in Cedar's schema syntax; records inline, names of attributes always quoted."""
    match cedar_type:
        case Primitive(name) | EntityRef(name):
            return name
        case SetOf(element):
            return f"Set<{render(element)}>"
        case Record(fields):
            inside = ", ".join(
                f"{quote(name)}{'' if field.required else '?'}: {render(field.type)}" for name, field in fields.items()
            )
            return "{" + inside + "}"


def exact(cedar_type: CedarType) -> bool:
    """Does nothing get lost on the way in? Only then may two values be compared as wholes."""
    match cedar_type:
        case SetOf(element):
            return exact(element)
        case Record(fields, left_out, is_open):
            return not is_open and not left_out and all(exact(field.type) for field in fields.values())
        case _:
            return True
