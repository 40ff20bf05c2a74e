"""The request and the entities that a decision is made on, laid open: the one place that follows the engine's steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cedarpy

from sallyport.pdp import engine
from sallyport.pdp.model import Principal, Query
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.world import Uid


@dataclass(frozen=True, slots=True)
class Prepared:
    """What Cedar is asked."""

    request: Mapping[str, Any]  # Cedar's: principal, action and resource as {type, id}, and the whole context
    entities: cedarpy.Entities
    schema: cedarpy.Schema
    attributes: Mapping[Uid, Mapping[str, Any]]  # Cedar's JSON
    parents: Mapping[Uid, tuple[Uid, ...]]

    def within(self, uid: Uid) -> tuple[Uid, ...]:
        """All ancestors, the nearest first."""
        found: dict[Uid, None] = {}
        waiting = [*self.parents.get(uid, ())]
        while waiting:
            parent = waiting.pop(0)
            if parent not in found:
                found[parent] = None
                waiting += self.parents.get(parent, ())
        return tuple(found)


def prepare(snapshot: Snapshot, principal: Principal, query: Query, now: datetime) -> Prepared:
    """As the engine does it, but with all of the context, for a human to see. Raises Denied."""
    prepared = engine.prepare(snapshot, principal, query, now, whole=True)
    described = snapshot.principals.view(principal).entities
    resource = snapshot.entities.resource(prepared.rules, principal, query)
    attributes = {_uid(entity["uid"]): entity["attrs"] for entity in described}
    return Prepared(
        prepared.request,
        prepared.world.handle,
        snapshot.schema,
        {**attributes, resource.uid: resource.attributes},
        {_uid(entity["uid"]): tuple(map(_uid, entity["parents"])) for entity in described},
    )


def _uid(stated: Mapping[str, Any]) -> Uid:
    return stated["type"], stated["id"]
