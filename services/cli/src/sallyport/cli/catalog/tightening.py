"""An upstream's schema as the gate holds to it: in the one dialect, and with no key taken that it doesn't name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_OLD: Final = (
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
    "https://json-schema.org/draft/2019-09/schema",
)
# In place: these say something of the very value that the schema around them is about.
_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE: Final = ("if", "then", "else", "not", "$ref", "$dynamicRef", "dependentSchemas", *_IN_PLACE_LISTS)
_NAMED: Final = ("properties", "patternProperties")
_SINGLE: Final = ("items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems")
_DEFINITIONS: Final = ("$defs", "definitions")
_OF_ANNOTATIONS: Final = frozenset({"$ref", "title", "description", "default", "deprecated", "examples", "$comment"})
_CLOSED: Final = ("additionalProperties", "unevaluatedProperties")


def carried_over(schema: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The schema in 2020-12 where it names an older dialect, and which that was; else as it is, and ""."""
    named = schema.get("$schema")
    dialect = named.rstrip("#") if isinstance(named, str) else ""
    if dialect not in _OLD:
        return dict(schema), ""
    rest = {key: value for key, value in schema.items() if key != "$schema"}
    translated: dict[str, Any] = _translated(rest)
    return translated, dialect


def _translated(node: Any) -> Any:
    if not isinstance(node, Mapping):
        return node
    found = {key: _child(key, value) for key, value in node.items()}
    if isinstance(found.get("items"), list):
        found["prefixItems"] = found.pop("items")
        if "additionalItems" in found:
            found["items"] = found.pop("additionalItems")
    dependencies = found.pop("dependencies", None)
    if isinstance(dependencies, dict):
        needs = {key: value for key, value in dependencies.items() if isinstance(value, list)}
        schemas = {key: value for key, value in dependencies.items() if not isinstance(value, list)}
        found |= {"dependentRequired": needs} if needs else {}
        found |= {"dependentSchemas": schemas} if schemas else {}
    return found


def _child(key: str, value: Any) -> Any:
    if key in {"enum", "const", "default", "examples"}:
        return value
    if isinstance(value, list):
        return [_translated(item) for item in value]
    if key in {*_NAMED, *_DEFINITIONS, "dependencies", "dependentSchemas"} and isinstance(value, dict):
        return {name: _translated(item) for name, item in value.items()}
    return _translated(value)


def tightened(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Closed at every level that names its properties. What is open by its own word stays so; see `open_places`.

    Where several schemas describe one object, none of them knows all of its keys, so the outermost is closed by
    `unevaluatedProperties`.
    """
    closing = _Closing(schema)
    found = closing.close(schema, "")
    if not any(key in found for key in _CLOSED) and not any(key in found for key in _IN_PLACE):
        found["additionalProperties"] = False  # the arguments themselves, also where no argument is named
    return found


def open_places(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Where, as JSON Pointers into the schema, an object may have keys that the schema doesn't name."""
    return tuple(_open(schema, "", _all_composed(schema)))


@dataclass(frozen=True, slots=True)
class _Part:
    """A schema inside a schema."""

    pointer: str
    schema: Mapping[str, Any]
    in_place: bool  # it describes the same value as the schema that it is in


def _parts(node: Mapping[str, Any], pointer: str) -> Iterator[_Part]:
    for key, value in node.items():
        here = f"{pointer}/{_escaped(key)}"
        if isinstance(value, Mapping) and key in {*_NAMED, *_DEFINITIONS, "dependentSchemas"}:
            for name, item in value.items():
                if isinstance(item, Mapping):
                    yield _Part(f"{here}/{_escaped(name)}", item, key == "dependentSchemas")
        elif isinstance(value, list) and key in {*_IN_PLACE_LISTS, "prefixItems"}:
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield _Part(f"{here}/{index}", item, key != "prefixItems")
        elif isinstance(value, Mapping) and key in {*_SINGLE, "if", "then", "else", "not"}:
            yield _Part(here, value, key not in _SINGLE)


class _Closing:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root, self._composed = root, _all_composed(root)

    def close(self, node: Mapping[str, Any], pointer: str) -> dict[str, Any]:
        """A schema that alone describes its value."""
        found = self.within(node, pointer)
        if any(key in node for key in _CLOSED) or _is_plain_reference(node):
            return found  # a reference's target is closed itself, or by who composes it
        if any(key in node for key in _IN_PLACE):
            if _names_properties(node, self._root, 0):
                found["unevaluatedProperties"] = False
        elif "properties" in node:
            found["additionalProperties"] = False
        return found

    def within(self, node: Mapping[str, Any], pointer: str) -> dict[str, Any]:
        """A schema that another one closes: only what lies beneath it. What tests a value (`if`, `not`) stays."""
        found: dict[str, Any] = dict(node)
        for part in _parts(node, pointer):
            steps = part.pointer.removeprefix(pointer).split("/")[1:]
            if steps[0] in {"if", "not"}:
                continue
            in_place = part.in_place or f"#{part.pointer}" in self._composed
            new = self.within(part.schema, part.pointer) if in_place else self.close(part.schema, part.pointer)
            _put(found, steps, new)
        return found


def _put(found: dict[str, Any], steps: Sequence[str], new: Any) -> None:
    key = _unescaped(steps[0])
    if len(steps) == 1:
        found[key] = new
        return
    name = _unescaped(steps[1])
    if isinstance(found[key], list):
        found[key] = [new if index == int(name) else item for index, item in enumerate(found[key])]
    else:
        found[key] = {**found[key], name: new}


def _is_plain_reference(node: Mapping[str, Any]) -> bool:
    return "$ref" in node and node.keys() <= _OF_ANNOTATIONS


def _all_composed(root: Mapping[str, Any]) -> frozenset[str]:
    """With what those refer to in turn."""
    found: set[str] = set()
    new = set(_composed(root))
    while new:
        found |= new
        targets = [_target(reference, root) for reference in new]
        further = {one for each in targets if isinstance(each, Mapping) for one in _composed(each, in_place=True)}
        new = further - found
    return frozenset(found)


def _composed(node: Mapping[str, Any], *, in_place: bool = False) -> Iterator[str]:
    """References whose target describes a value together with another schema."""
    if isinstance(node.get("$ref"), str) and (in_place or not _is_plain_reference(node)):
        yield node["$ref"]
    for part in _parts(node, ""):
        yield from _composed(part.schema, in_place=part.in_place)


def _names_properties(node: Any, root: Mapping[str, Any], depth: int) -> bool:
    """Whether it, or what it is composed of, names any: a choice of strings needs no closing."""
    if not isinstance(node, Mapping) or depth > 16:  # noqa: PLR2004 — a loop of references is refused elsewhere
        return False
    if "properties" in node:
        return True
    parts: list[Any] = [part.schema for part in _parts(node, "") if part.in_place]
    if isinstance(node.get("$ref"), str):
        parts.append(_target(node["$ref"], root))
    return any(_names_properties(part, root, depth + 1) for part in parts)


def _target(reference: str, root: Mapping[str, Any]) -> Any:
    """Of a pointer into the document; what lies elsewhere is refused when the schema is compiled."""
    here: Any = root if reference.startswith("#") else None
    for step in reference.split("/")[1:]:
        here = here.get(_unescaped(step)) if isinstance(here, Mapping) else None
    return here


def _open(node: Mapping[str, Any], pointer: str, composed: frozenset[str], *, closed: bool = False) -> Iterator[str]:
    closed = closed or f"#{pointer}" in composed or any(node.get(key, True) not in (True, {}) for key in _CLOSED)
    kind = node.get("type")
    is_object = "properties" in node or "object" in (kind if isinstance(kind, list) else [kind])
    if is_object and not closed and not _is_plain_reference(node):
        yield pointer or "/"
    for part in _parts(node, pointer):
        if not part.pointer.endswith(("/if", "/not")):
            yield from _open(part.schema, part.pointer, composed, closed=closed and part.in_place)


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
