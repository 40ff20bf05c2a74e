"""Values put into Cedar's JSON for exactly their type: nothing a caller sends becomes an entity or an extension call."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sallyport.pdp.types import CedarType, EntityRef, Primitive, Record, SetOf

MAX_STRING = 65_536  # code points
MAX_ELEMENTS = 4096  # an element costs Cedar about 7 µs, and others wait meanwhile
_MAX_LONG = 2**63 - 1
_DECIMAL_STEP = Decimal(10_000)


class NotCarriedError(ValueError):
    """The value has no faithful form under its type; carries no part of the value."""


def carry(cedar_type: CedarType, value: Any) -> Any:
    """The value as Cedar's JSON under this type; what the type doesn't name is dropped. Raises NotCarriedError."""
    match cedar_type:
        case Primitive(name):
            return _primitive(name, value)
        case SetOf(element):
            return _set(element, value)
        case Record():
            return _record(cedar_type, value)
        case EntityRef(name):
            return {"__entity": {"type": name, "id": _string(value)}}


def _primitive(name: str, value: Any) -> Any:
    match name:
        case "Bool":
            if not isinstance(value, bool):
                raise NotCarriedError("not a boolean")
            return value
        case "Long":
            return _long(value)
        case "decimal":
            return _decimal(value)
        case _:  # String, and the extension types that attributes give as text
            return _string(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise NotCarriedError("not a string")
    if len(value) > MAX_STRING:
        raise NotCarriedError("string too long")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise NotCarriedError("lone surrogate")
    return value


def _long(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotCarriedError("not an integer")
    if isinstance(value, float) and not value.is_integer():  # infinities and NaN too
        raise NotCarriedError("not an integer")
    number = int(value)
    if not -_MAX_LONG - 1 <= number <= _MAX_LONG:
        raise NotCarriedError("integer out of range")
    return number


def _decimal(value: Any) -> str:
    """Exactly four places, as Cedar writes them; a number with more is not rounded but refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotCarriedError("not a number")
    number = Decimal(repr(value))
    if not number.is_finite() or abs(number) > _MAX_LONG:
        raise NotCarriedError("number out of range")
    scaled = number * _DECIMAL_STEP
    if scaled != scaled.to_integral_value() or not -_MAX_LONG - 1 <= scaled <= _MAX_LONG:
        raise NotCarriedError("number out of range or with more than four places")
    units = int(scaled)
    whole, rest = divmod(abs(units), 10_000)
    return f"{'-' if units < 0 else ''}{whole}.{rest:04d}"


def _set(element: CedarType, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise NotCarriedError("not an array")
    if len(value) > MAX_ELEMENTS:
        raise NotCarriedError("too many elements")
    return [carry(element, item) for item in value]


def _record(record: Record, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise NotCarriedError("not an object")
    carried: dict[str, Any] = {}
    for name, field in record.fields.items():
        if name in value:
            carried[name] = carry(field.type, value[name])
        elif field.required:
            raise NotCarriedError("a required property is missing")
    return carried
