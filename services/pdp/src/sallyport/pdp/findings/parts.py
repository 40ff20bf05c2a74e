"""A policy set that loads, with the parts of it that a snapshot doesn't keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sallyport.pdp import agents, base_schema, resources, roles
from sallyport.pdp.agents import Agent
from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.load import CATALOG, load
from sallyport.pdp.resources import Resources
from sallyport.pdp.roles import Role
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import strict_yaml
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.strict_yaml import Document


@dataclass(frozen=True, slots=True)
class Parts:
    snapshot: Snapshot
    base: BaseSchema
    roles: Mapping[str, Role]
    agents: Mapping[str, Agent]
    resources: Resources
    documents: Mapping[str, Document]  # the YAML files by name, for places

    def place(self, file: str, *path: str | int) -> tuple[str, int, int]:
        """File, line and column of a key."""
        return (file, *self.documents[file].key_position(path))


def read(contents: Contents) -> Parts:
    """Raises ConfigError with every problem."""
    snapshot = load(contents)
    files = contents.files
    base = base_schema.read(files[base_schema.FILE].decode("utf-8"))
    found = resources.load(files[resources.FILE], base)
    return Parts(
        snapshot,
        base,
        roles.load(files[roles.FILE], base, [tool.name for tool in snapshot.catalog.tools]),
        agents.load(files[agents.FILE], found.orgs),
        found,
        {
            name: strict_yaml.parse(files[name], name, exact=name == CATALOG)
            for name in (CATALOG, roles.FILE, agents.FILE, resources.FILE)
        },
    )
