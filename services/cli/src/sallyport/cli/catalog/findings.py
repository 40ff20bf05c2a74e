"""What a reviewer must see before a definition is approved: each finding holds it back until somebody names it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sallyport.cli.catalog import texts

MAX_FINDINGS: Final = 20  # of one definition
_MAX_POINTER: Final = 200
_NOT_PROSE: Final = frozenset({"$schema", "$id", "$ref"})
# What a client shows to its model; the rest of a definition is pinned, and goes nowhere.
READ_BY_MODELS: Final = ("title", "description", "inputSchema", "outputSchema", "arguments")


@dataclass(frozen=True, slots=True)
class Finding:
    where: str  # a JSON Pointer into the definition, or a word for what isn't in it
    what: str
    taken: bool = False  # no catalog holds two such names, whatever the reviewer says to it

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def of_definition(
    definition: Mapping[str, Any], others: Container[str], *, read: Sequence[str] = READ_BY_MODELS
) -> tuple[Finding, ...]:
    """`others` are the names of tools that aren't this upstream's."""
    found: list[Finding] = []
    for finding in _all(definition, others, read):
        if len(found) == MAX_FINDINGS:
            return (*found, Finding("/", "and more of the kind"))
        found.append(finding)
    return tuple(found)


def _all(definition: Mapping[str, Any], others: Container[str], keys: Sequence[str]) -> Iterator[Finding]:
    for pointer, text in _strings(definition, ""):
        if characters := texts.hidden(text):
            yield Finding(_cut(pointer), f"hides characters: {', '.join(characters[:5])}")
    read = {key: definition[key] for key in keys if key in definition}
    annotations = definition.get("annotations")
    if isinstance(annotations, dict) and "title" in annotations:
        read["annotations"] = {"title": annotations["title"]}
    for pointer, text in _strings(read, ""):
        if pointer.rpartition("/")[2] not in _NOT_PROSE:
            for what in texts.suspicions(text, others):
                yield Finding(_cut(pointer), what)


def _strings(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Every string with its place, keys too: a model reads a property's name as well."""
    if isinstance(value, str):
        yield pointer or "/", value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{pointer}/{index}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            yield here, key
            yield from _strings(item, here)


def _cut(pointer: str) -> str:
    return ascii(pointer[:_MAX_POINTER])[1:-1]
