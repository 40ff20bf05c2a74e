"""What a request touches, and the entities that Cedar gets to see: all of them there, or none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

import cedarpy

from sallyport.pdp import world
from sallyport.pdp.model import Denied, ErrorCode, Principal, Query
from sallyport.pdp.principals import CACHED, Principals
from sallyport.pdp.resources import Resources
from sallyport.pdp.rules import ActionRules
from sallyport.pdp.schema import SERVER_ID
from sallyport.pdp.world import Uid, World

_dump: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Resource:
    uid: Uid
    orgs: tuple[str, ...]  # every org that it refers to
    attributes: dict[str, Any] = field(hash=False, compare=False)  # Cedar's JSON
    text: str  # the same, to be told apart by


class Entities:
    """Finds resources and keeps the parsed entities of the last requests."""

    __slots__ = ("_resources", "world")

    def __init__(self, principals: Principals, resources: Resources, schema: cedarpy.Schema) -> None:
        self._resources = resources
        self.world = lru_cache(maxsize=CACHED)(partial(_world, principals, schema))

    def resource(self, rules: ActionRules, principal: Principal, query: Query) -> Resource:
        """The resource with every attribute, in the principal's own org. Raises Denied."""
        if query.resource_type not in rules.action.resource_types or not query.resource_id:
            raise Denied(ErrorCode.UNKNOWN_RESOURCE)
        if query.resource_type in {"Tool", "Server"}:
            return self._own(rules, principal, query)
        found = self._resources.attributes(query.resource_type, query.resource_id, query.resource_attributes)
        attributes, orgs = found
        if attributes["org"]["__entity"]["id"] != principal.org:
            raise Denied(ErrorCode.ORG_ISOLATION)
        return Resource((query.resource_type, query.resource_id), tuple(sorted(orgs)), attributes, _dump(attributes))

    def _own(self, rules: ActionRules, principal: Principal, query: Query) -> Resource:
        """A tool or the server itself: what it is stands in the catalog, and nobody adds to it."""
        if query.resource_id != (rules.action.name if query.resource_type == "Tool" else SERVER_ID):
            raise Denied(ErrorCode.UNKNOWN_RESOURCE)
        if query.resource_attributes:
            raise Denied(ErrorCode.RESOURCE_CONFLICT)
        if principal.org not in rules.orgs:
            raise Denied(ErrorCode.ORG_ISOLATION)
        orgs = tuple(sorted(rules.orgs))
        attributes = {"orgs": [{"__entity": {"type": "Org", "id": org}} for org in orgs]}
        return Resource((query.resource_type, query.resource_id), orgs, attributes, _dump(attributes))


def _world(principals: Principals, schema: cedarpy.Schema, principal: Principal, resource: Resource) -> World:
    """ValueError if it doesn't fit the schema."""
    view = principals.view(principal)
    orgs = [_org(org) for org in resource.orgs if org != principal.org]
    uid = {"type": resource.uid[0], "id": resource.uid[1]}
    touched = {"uid": uid, "attrs": resource.attributes, "parents": []}
    described = [*view.entities, *orgs, touched]
    return world.build(described, schema, gaps=bool(world.missing([view.uid, resource.uid], described)))


def _org(name: str) -> dict[str, Any]:
    return {"uid": {"type": "Org", "id": name}, "attrs": {}, "parents": []}
