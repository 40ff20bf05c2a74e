"""The catalogs that are held: catalog.yaml by its digest, ready to check and to list.

Two at most, the one in force and the one before it, or after: a swap refuses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from sallyport.contract.catalog import Catalog, Effect, Hosted, Tool, digest
from sallyport.pep.model import Json
from sallyport.runtime import addresses, mounted_dir, strict_yaml
from sallyport.runtime.problems import ConfigError, Problem
from sallyport.runtime.settings import load_model

FILE: Final = "catalog.yaml"
_HTTPS_PORT: Final = 443


class Validator(Protocol):
    """A compiled JSON Schema; made by the schema room."""

    def problem(self, value: Json) -> str:
        """What is wrong, for the caller alone: no value, at most the name of an unknown key; "" if it fits."""


class SchemaRefused(ValueError):
    """A schema that can't be held to. The text says what to change."""


Compile: TypeAlias = Callable[[Mapping[str, Any]], Validator]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a gate has behind it: an entry of the catalog that needs more isn't served."""

    hosted: frozenset[str]  # names of the registered hosted tools
    unset: Mapping[str, str]  # hosted tools that aren't there -> what in pep.yaml would bring them
    egress: frozenset[str] | None  # destinations; None where no gate is known, as for a policy directory alone


@dataclass(frozen=True, slots=True)
class LoadedCatalog:
    """One catalog, as far as it can be served: whatever is wrong with it was found before."""

    digest: str
    catalog: Catalog  # without the tools that are refused: those are neither listed nor callable
    validators: Mapping[str, Validator]  # by tool name, of its input
    listing: tuple[dict[str, Json], ...]  # as MCP's tools/list shows them, in the catalog's order
    refused: tuple[Problem, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tool.name for tool in self.catalog.tools)

    def find(self, name: str) -> Tool | None:
        return self.catalog.tool(name)

    def tool(self, name: str) -> Tool:
        """The entry of a name that is known to be there, or KeyError."""
        found = self.catalog.tool(name)
        if found is None:
            raise KeyError("the catalog has no such tool")
        return found


class CatalogStore:
    """Holds what is parsed. `find` and `parse` change nothing here, so that they may run in a thread."""

    def __init__(self, policies: Path, *, compile_schema: Compile, reach: Reach) -> None:
        self._policies = policies
        self._compile = compile_schema
        self._reach = reach
        self._held: dict[str, LoadedCatalog] = {}

    def held(self, wanted: str) -> LoadedCatalog | None:
        """The catalog with this digest, if it is parsed."""
        return self._held.get(wanted)

    def hold(self, loaded: LoadedCatalog, *, beside: str) -> None:
        """Keep it beside the one in force, which isn't dropped before another is."""
        in_force = self._held.get(beside, loaded)
        self._held = {in_force.digest: in_force, loaded.digest: loaded}

    def find(self, wanted: str) -> LoadedCatalog | None:
        """As the policy directory has it, or None if it has another or none. ConfigError: it can't be served."""
        try:
            data = mounted_dir.read(self._policies).files.get(FILE)
        except ConfigError:  # a directory that can't be read holds nothing; the PDP may still have the bytes
            return None
        return self.parse(data) if data is not None and digest(data) == wanted else None

    def parse(self, data: bytes) -> LoadedCatalog:
        """Raises ConfigError if nothing of it can be served."""
        return read(data, compile_schema=self._compile, reach=self._reach)

    def tool(self, wanted: str, name: str) -> Tool | None:
        """The entry of a call that was checked against a catalog held; reads nothing."""
        held = self._held.get(wanted)
        return held.find(name) if held else None

    def entries(self, name: str) -> Iterator[Tool]:
        """The entries of that name in all catalogs held."""
        return (tool for held in self._held.values() if (tool := held.find(name)) is not None)


def load(data: bytes, *, compile_schema: Compile, reach: Reach) -> LoadedCatalog:
    """Parse and compile catalog.yaml, or raise ConfigError with every problem, its line and column."""
    loaded = read(data, compile_schema=compile_schema, reach=reach)
    if loaded.refused:
        raise ConfigError(loaded.refused)
    return loaded


def read(data: bytes, *, compile_schema: Compile, reach: Reach) -> LoadedCatalog:
    """The same for a gate that serves: one tool that it can't serve must not take the others down with it.

    The PDP judges by this catalog already, and there is no going back to the one before.
    """
    catalog = load_model(Catalog, data, FILE)
    document = strict_yaml.parse(data, FILE)
    problems: list[Problem] = []
    validators: dict[str, Validator] = {}
    for index, tool in enumerate(catalog.tools):
        found, validator = _compiled(tool, catalog, compile_schema, reach)
        problems += [
            Problem(FILE, *document.position(("tools", index, key)), message, tool.name) for key, message in found
        ]
        if validator is not None and not found:
            validators[tool.name] = validator
    tools = tuple(tool for tool in catalog.tools if tool.name in validators)
    if not tools:
        raise ConfigError(problems)
    served = catalog.model_copy(update={"tools": tools})
    return LoadedCatalog(digest(data), served, validators, tuple(map(_listed, tools)), tuple(problems))


def _compiled(
    tool: Tool, catalog: Catalog, compile_schema: Compile, reach: Reach
) -> tuple[list[tuple[str, str]], Validator | None]:
    """What is wrong with a tool, by the key that it stands under, and the validator of its input."""
    problems = [("provider", f"{tool.name}: {wrong}") for wrong in _provider_problems(tool, catalog, reach)]
    validator: Validator | None = None
    for key, schema in (("input", tool.input), ("output", tool.output)):
        try:
            compiled = None if schema is None else compile_schema(schema)
        except SchemaRefused as error:
            problems.append((key, f"{tool.name}.{key}: {error}"))
            continue
        validator = compiled if key == "input" else validator
    return problems, validator


def _provider_problems(tool: Tool, catalog: Catalog, reach: Reach) -> Iterator[str]:
    if not isinstance(tool.provider, Hosted):
        yield "upstreams can't be served yet; name a hosted tool"
        if reach.egress is not None:
            yield from _unreachable(tool.provider.upstream, catalog, reach.egress)
    elif tool.provider.hosted in reach.unset:
        name = tool.provider.hosted
        yield f"the hosted tool {name!r} isn't there without {reach.unset[name]!r} in pep.yaml; set it"
    elif tool.provider.hosted not in reach.hosted:
        known = ", ".join(sorted(reach.hosted)) or "none"
        yield f"there is no hosted tool {tool.provider.hosted!r}; there are: {known}"


def _unreachable(upstream: str, catalog: Catalog, egress: frozenset[str]) -> Iterator[str]:
    """A catalog must not open a door: where the gate may connect to stands in its own settings."""
    try:
        leads_to = addresses.destination_of(catalog.upstreams[upstream].url, _HTTPS_PORT)
    except ValueError as error:
        yield f"the url of upstream {upstream!r}: {error}"
        return
    if leads_to not in egress:
        yield f"egress in pep.yaml lacks {leads_to!r}, where upstream {upstream!r} is; add it there"


def _listed(tool: Tool) -> dict[str, Json]:
    annotations: dict[str, Json] = {
        "readOnlyHint": tool.effect is Effect.READ_ONLY,
        "destructiveHint": tool.effect is Effect.DESTRUCTIVE,
        "openWorldHint": tool.open_world,
    }
    listed: dict[str, Json] = {"name": tool.name, "description": tool.description, "inputSchema": dict(tool.input)}
    if tool.title:
        listed["title"] = annotations["title"] = tool.title
    if tool.output is not None:
        listed["outputSchema"] = dict(tool.output)
    listed["annotations"] = annotations
    return listed
