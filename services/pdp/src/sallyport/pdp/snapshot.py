"""What is in force: built whole, never changed, swapped by one reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cedarpy

from sallyport.contract.catalog import Catalog
from sallyport.pdp.conditions import Conditions
from sallyport.pdp.entities import Entities
from sallyport.pdp.model import Verdict
from sallyport.pdp.policy import Policy
from sallyport.pdp.principals import Principals
from sallyport.pdp.room import Room
from sallyport.pdp.rules import ActionRules
from sallyport.pdp.slices import Key


@dataclass(frozen=True, slots=True)
class Snapshot:
    revision: str  # SHA-256 of the policy directory
    catalog: Catalog
    catalog_digest: str
    catalog_bytes: bytes
    schema: cedarpy.Schema
    schema_text: str
    compiled: str  # roles.yaml as Cedar, for operators to read
    policies: tuple[Policy, ...]  # the compiled ones too; empty in a vetted one, which nobody looks at
    room: Room
    rules: Mapping[str, ActionRules]
    conditions: Conditions
    principals: Principals
    entities: Entities
    named: frozenset[Key]  # the prompts and resources of upstreams that a policy names
    seen: dict[tuple[bytes, str], Verdict] = field(default_factory=dict)  # visibility: a principal's digest, an action
