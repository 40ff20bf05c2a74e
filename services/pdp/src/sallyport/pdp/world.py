"""The entities of a request, and whether all that they refer to is there: Cedar itself never looks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import cedarpy

Uid: TypeAlias = tuple[str, str]  # type, id
Entity: TypeAlias = Mapping[str, Any]  # Cedar's JSON: uid, attrs, parents, tags


@dataclass(frozen=True, slots=True)
class World:
    """Entities parsed once, under the schema: Cedar never looks at a handle again."""

    handle: cedarpy.Entities
    gaps: bool  # something that is referred to isn't there


def build(entities: Iterable[Entity], schema: cedarpy.Schema | None, *, gaps: bool = False) -> World:
    """ValueError if the entities don't fit the schema, or say two things of one."""
    text = json.dumps(list(entities), separators=(",", ":"), allow_nan=False)
    return World(cedarpy.Entities.from_json_str(text, schema), gaps)


def missing(roots: Iterable[Uid], entities: Iterable[Entity]) -> frozenset[Uid]:
    """What can be reached from `roots` by attributes, tags and parents, and isn't among the entities."""
    known = {uid_of(entity): entity for entity in entities}
    absent: set[Uid] = set()
    seen: set[Uid] = set()
    waiting = list(roots)
    while waiting:
        uid = waiting.pop()
        if uid in seen:
            continue
        seen.add(uid)
        if uid in known:
            entity = known[uid]
            waiting += chain(parents(entity), references((entity.get("attrs", {}), entity.get("tags", {}))))
        else:
            absent.add(uid)
    return frozenset(absent)


def uid_of(entity: Entity) -> Uid:
    return _uid(entity["uid"])


def parents(entity: Entity) -> Iterator[Uid]:
    yield from (_uid(parent) for parent in entity["parents"])


def references(value: Any) -> Iterator[Uid]:
    """Every entity that a value in Cedar's JSON names; whatever a record's attributes are called, it is no entity."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list | tuple):
            waiting.extend(found)
        elif isinstance(found, Mapping):
            if "__entity" in found:
                yield _uid(found["__entity"])
            elif "__extn" not in found:
                waiting.extend(found.values())


def _uid(stated: Mapping[str, Any]) -> Uid:
    inner = stated.get("__entity", stated)
    return inner["type"], inner["id"]
