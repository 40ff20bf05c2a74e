"""What a definition says now against what was approved, field by field, as a terminal can show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sallyport.cli.catalog.review import Kind, Known, there_of
from sallyport.cli.catalog.sifting import Sifted
from sallyport.cli.plain import cut, plain
from sallyport.pep.upstream.listing import Definition
from sallyport.pep.upstream.pin import pin
from sallyport.runtime import exact_json

_MAX_VALUE: Final = 2000  # bytes shown of one value
_MAX_FIELDS: Final = 200  # shown of one definition
# Where an entry repeats what the definition says, for approvals whose definition isn't kept here.
_REPEATED: Final = (("title", "title"), ("description", "description"), ("output", "outputSchema"))


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry of the catalog that its upstream no longer bears out."""

    kind: Kind
    key: str
    lines: tuple[str, ...]


def differences(said: Sifted, known: Known, upstream: str) -> Iterator[Difference]:
    listing = said.listing
    lost = {(one.kind, one.name): one.why for one in said.lost}
    for kind in ("tools", "prompts"):
        now: dict[str, list[Definition]] = {}
        for definition in listing.of(kind):
            now.setdefault(str(definition.get("name")), []).append(definition)
        for entry in known.values.get(kind, []):
            there = there_of(entry, upstream)
            if there is None:
                continue
            why = lost.get((kind, there))
            lines = (f"can't be pinned: {why}",) if why else tuple(_of_entry(entry, now.get(there, []), known.before))
            if lines:
                yield Difference(kind, str(entry.get("name")), lines)
    listed = {str(item.get("uri")) for item in listing.of("resources")}
    listed |= {str(item.get("uriTemplate")) for item in listing.of("templates")}
    for entry in known.values.get("resources", []):
        key = entry.get("uri") or entry.get("template")
        if entry.get("upstream") == upstream and key and key not in listed:
            yield Difference("resources", str(key), ("no longer listed",))


def _of_entry(entry: Mapping[str, Any], now: list[Definition], before: Mapping[str, Definition]) -> Iterator[str]:
    approved = entry.get("pin")
    pins = {pin(definition) for definition in now}
    if approved is None:
        yield "never approved: it has no pin"
    elif not now:
        yield "no longer listed"
    elif len(pins) > 1:
        yield "listed more than once, in different words"
    elif pins != {approved}:
        old = before.get(str(approved))
        if old is not None:
            yield from list(fields(old, now[0]))[:_MAX_FIELDS]
            return
        yield f"pin: {plain(str(approved))} -> {pins.pop()}"
        yield "what was approved isn't kept here; as far as the entry repeats it:"
        for key, field in _REPEATED:
            yield from list(_walk(entry.get(key, _ABSENT), now[0].get(field, _ABSENT), f"/{field}"))[:_MAX_FIELDS]


def fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """`/description: "old" -> "new"`, and + and - for what came and went. Nothing in it moves a cursor."""
    yield from _walk(dict(old), dict(new), "")


class _Absent:
    """No value, which isn't null."""


_ABSENT: Final = _Absent()


def _walk(old: Any, new: Any, pointer: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _walk(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{pointer}/{_step(key)}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _walk(one, other, f"{pointer}/{index}")
    elif old is _ABSENT and new is _ABSENT:
        return
    elif old is _ABSENT:
        yield f"+ {_place(pointer)}: {_shown(new)}"
    elif new is _ABSENT:
        yield f"- {_place(pointer)}: {_shown(old)}"
    elif exact_json.encode(old) != exact_json.encode(new):
        yield f"  {_place(pointer)}: {_shown(old)} -> {_shown(new)}"


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _place(pointer: str) -> str:
    return cut(plain(pointer), 300)


def _shown(value: Any) -> str:
    return cut(plain(exact_json.encode(value).decode()), _MAX_VALUE)
