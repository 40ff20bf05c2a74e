"""What a request touches, and the entities that Cedar gets to see: all of them there, or none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

import cedarpy

from sallyport.pdp import listed, world
from sallyport.pdp.listed import Listed
from sallyport.pdp.model import Denied, ErrorCode, Principal, Query
from sallyport.pdp.principals import CACHED, Principals
from sallyport.pdp.resources import Resources
from sallyport.pdp.rules import ActionRules
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

    __slots__ = ("_listed", "_resources", "world")

    def __init__(self, principals: Principals, resources: Resources, found: Listed, schema: cedarpy.Schema) -> None:
        self._resources = resources
        self._listed = found
        self.world = lru_cache(maxsize=CACHED)(partial(_world, principals, schema))

    def resource(self, rules: ActionRules, principal: Principal, query: Query) -> Resource:
        """The resource with every attribute, in the principal's own org. Raises Denied."""
        if query.resource_type not in rules.action.resource_types or not query.resource_id:
            raise Denied(ErrorCode.UNKNOWN_RESOURCE)
        if query.resource_type in listed.TYPES:
            return self._of_catalog(rules, principal, query)
        found = self._resources.attributes(query.resource_type, query.resource_id, query.resource_attributes)
        attributes, orgs = found
        if attributes["org"]["__entity"]["id"] != principal.org:
            raise Denied(ErrorCode.ORG_ISOLATION)
        return Resource((query.resource_type, query.resource_id), tuple(sorted(orgs)), attributes, _dump(attributes))

    def stand_in(self, rules: ActionRules, principal: Principal, query: Query) -> Resource:
        """What a prompt or resource of that name could look like, were it listed for this tenant. Raises Denied."""
        if query.resource_type not in listed.MANY & rules.action.resource_types or not query.resource_id:
            raise Denied(ErrorCode.UNKNOWN_RESOURCE)
        entry = listed.nobodys(principal.org)
        return Resource((query.resource_type, query.resource_id), entry.orgs, entry.attributes, entry.text)

    def _of_catalog(self, rules: ActionRules, principal: Principal, query: Query) -> Resource:
        """A tool, a server, a prompt: what it is stands in the catalog, and nobody adds to it."""
        uid = query.resource_type, query.resource_id
        entry = self._listed.find(*uid)
        if entry is None or rules.action.alone.get(uid[0], uid[1]) != uid[1]:
            raise Denied(ErrorCode.UNKNOWN_RESOURCE)
        if query.resource_attributes:
            raise Denied(ErrorCode.RESOURCE_CONFLICT)
        if principal.org not in entry.orgs:
            raise Denied(ErrorCode.ORG_ISOLATION)
        return Resource(uid, entry.orgs, entry.attributes, entry.text)


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
