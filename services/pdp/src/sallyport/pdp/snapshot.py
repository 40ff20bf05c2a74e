"""What is in force: built whole, never changed, swapped by one reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cedarpy

from sallyport.contract.catalog import Catalog
from sallyport.pdp.conditions import Conditions
from sallyport.pdp.entities import Entities
from sallyport.pdp.model import Principal, Verdict
from sallyport.pdp.policy import Policy
from sallyport.pdp.principals import Principals
from sallyport.pdp.room import Room
from sallyport.pdp.rules import ActionRules


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
    seen: dict[tuple[Principal, str], Verdict] = field(default_factory=dict)  # visibility, as far as it was asked


class Store:
    """The one reference. A request reads it once and keeps what it read."""

    __slots__ = ("_current",)

    def __init__(self, current: Snapshot | None = None) -> None:
        self._current = current

    @property
    def current(self) -> Snapshot | None:
        """None until a valid policy set has been loaded."""
        return self._current

    def swap(self, snapshot: Snapshot) -> None:
        self._current = snapshot
