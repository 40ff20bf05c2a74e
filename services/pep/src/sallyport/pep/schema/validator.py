"""JSON Schema 2020-12, compiled once: nothing is fetched, formats hold, and no pattern can run away (CWE-1333)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from jsonschema_rs import Draft202012Validator, ReferencingError, RegexOptions, ValidationError

from sallyport.pep.catalog import SchemaRefused
from sallyport.pep.model import Json
from sallyport.pep.schema.expansion import check_expansion
from sallyport.runtime import exact_json

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_SHOWN: Final = 200  # characters of a pointer or an expectation
_REGEX_BYTES: Final = 1 << 20  # of a compiled pattern
_STEP: Final = re.compile(r"[A-Za-z0-9_.$-]{1,64}")
# What a schema says of a limit; the other members of an error hold parts of the caller's value.
_OF_THE_SCHEMA: Final = ("types", "property", "options", "expected_value", "limit", "multiple_of", "pattern", "format")


class _Compiled:
    """See catalog.Validator."""

    __slots__ = ("_validator",)

    def __init__(self, validator: Draft202012Validator) -> None:
        self._validator = validator

    def problem(self, value: Json) -> str:
        try:
            self._validator.validate(value)
        except ValidationError as error:
            return _explain(error)
        # A value that the validator can't take, or a reference that leads nowhere, fits no schema.
        except (ReferencingError, ValueError, RecursionError):
            return "can't be checked"
        return ""


def compile_schema(schema: Mapping[str, Any]) -> _Compiled:
    """Compile, or raise SchemaRefused: another dialect, too big, a loop of references, a reference that would have to be fetched, a pattern
    outside the linear engine (look-around, back-references), an unknown format, or no valid schema."""
    check_expansion(schema)
    _check_dialect(schema)
    try:
        validator = Draft202012Validator(
            dict(schema),
            offline=True,
            validate_formats=True,
            ignore_unknown_formats=False,
            pattern_options=RegexOptions(size_limit=_REGEX_BYTES, dfa_size_limit=_REGEX_BYTES),
        )
    except (ValidationError, ReferencingError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:MAX_SHOWN]
        raise SchemaRefused(f"not a schema that can be held to: {reason}") from None
    return _Compiled(validator)


def _check_dialect(node: Any) -> None:
    """At every level: an embedded schema may name another dialect, whose words mean other things."""
    if isinstance(node, Mapping):
        if isinstance(node.get("$schema"), str) and node["$schema"] != DIALECT:
            raise SchemaRefused(f"write it in {DIALECT}, or leave $schema out")
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        _check_dialect(child)


def _explain(error: ValidationError) -> str:
    kind = error.kind
    details = kind.as_dict()
    expected = next((details[key] for key in _OF_THE_SCHEMA if key in details), None)
    if kind.name == "required":
        return f"{_pointer([*error.instance_path, str(expected)])}: required"
    if "unexpected" in details:
        return f"{_pointer(error.instance_path)}: {_unknown(details['unexpected'])}"
    if kind.name == "falseSchema":
        return f"{_pointer(error.instance_path)}: nothing more is allowed here"
    text = kind.name if expected is None else f"{kind.name} {_spell(expected)}"
    return f"{_pointer(error.instance_path)}: expected {text}"[: 2 * MAX_SHOWN]


def _unknown(names: Sequence[str]) -> str:
    """The caller's own keys, as far as they look like an argument's name; for the caller alone, never for the record."""
    shown = [*islice(filter(_STEP.fullmatch, names), 3)]
    return f"unknown argument {', '.join(shown)}" if shown else "an unknown argument"


def _pointer(path: Sequence[str | int]) -> str:
    """Where in the arguments; a key that no schema would have is the caller's text, and stays out."""
    steps = (str(step) if _STEP.fullmatch(str(step)) else "…" for step in path)
    return ("/" + "/".join(steps))[:MAX_SHOWN]


def _spell(expected: Any) -> str:
    try:
        return exact_json.encode(expected).decode()[:MAX_SHOWN]
    except ValueError:
        return "another value"
