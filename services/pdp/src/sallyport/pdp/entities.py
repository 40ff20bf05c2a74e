"""What a request touches, and the entities that Cedar gets to see: all of them there, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cedarpy

from sallyport.pdp.model import Denied, ErrorCode, Principal, Query
from sallyport.pdp.principals import CACHED, Principals, Uid
from sallyport.pdp.resources import Resources
from sallyport.pdp.rules import ActionRules
from sallyport.pdp.schema import SERVER_ID


@dataclass(frozen=True, slots=True)
class Resource:
    uid: Uid
    attributes: str  # Cedar's JSON object
    orgs: tuple[str, ...]  # every org that it refers to


class Entities:
    """Finds resources and keeps the parsed entities of the last requests."""

    __slots__ = ("_principals", "_resources", "_schema", "handle")

    def __init__(self, principals: Principals, resources: Resources, schema: cedarpy.Schema) -> None:
        self._principals = principals
        self._resources = resources
        self._schema = schema
        self.handle = lru_cache(maxsize=CACHED)(self._handle)

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
        return Resource((query.resource_type, query.resource_id), _dump(attributes), tuple(sorted(orgs)))

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
        return Resource((query.resource_type, query.resource_id), _dump(attributes), orgs)

    def _handle(self, principal: Principal, resource: Resource) -> cedarpy.Entities:
        """Built under the schema: Cedar never looks at a handle again. ValueError if it doesn't fit."""
        orgs = sorted({principal.org, *resource.orgs})
        described = [*self._principals.view(principal).entities, *(_org(org) for org in orgs)]
        uid = _dump({"type": resource.uid[0], "id": resource.uid[1]})
        touched = f'{{"uid":{uid},"attrs":{resource.attributes},"parents":[]}}'
        return cedarpy.Entities.from_json_str(f"[{_joined(described)},{touched}]", self._schema)


def _org(name: str) -> dict[str, Any]:
    return {"uid": {"type": "Org", "id": name}, "attrs": {}, "parents": []}


def _joined(entities: Iterable[dict[str, Any]]) -> str:
    return ",".join(_dump(entity) for entity in entities)


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
