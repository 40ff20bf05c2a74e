"""agents.yaml: every agent that may act for somebody. One that isn't here is denied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sallyport.runtime import settings, strict_yaml
from sallyport.runtime.problems import ConfigError, Problem

FILE = "agents.yaml"
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class AgentEntry(settings.Settings):
    trust_level: int = Field(ge=0, le=100)
    groups: tuple[Name, ...] = ()
    orgs: Annotated[tuple[Name, ...], Field(min_length=1)] | Literal["all"]


class AgentsFile(settings.Settings):
    agents: dict[Name, AgentEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Agent:
    trust_level: int
    groups: tuple[str, ...]
    orgs: frozenset[str]  # the tenants it may work in


def load(data: bytes, orgs: frozenset[str] | None) -> Mapping[str, Agent]:
    """Every agent by its id; without `orgs` (resources.yaml is broken) only the form is checked. Raises ConfigError."""
    entries = settings.load_model(AgentsFile, data, FILE).agents
    document = strict_yaml.parse(data, FILE)
    problems = [
        Problem(FILE, *document.position(["agents", name, "orgs", at]), f"no org {org!r} in resources.yaml", name)
        for name, entry in entries.items()
        for at, org in enumerate(() if entry.orgs == "all" else entry.orgs)
        if orgs is not None and org not in orgs
    ]
    if problems:
        raise ConfigError(problems)
    return {
        name: Agent(
            entry.trust_level, entry.groups, orgs or frozenset() if entry.orgs == "all" else frozenset(entry.orgs)
        )
        for name, entry in entries.items()
    }
