"""The catalogs that are held: catalog.yaml by its digest, ready to check and to list.

Two at most, the one in force and the one before it, or after: a swap refuses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from sallyport.contract.catalog import Catalog, Effect, Server, Tool, digest
from sallyport.pep.model import Json
from sallyport.pep.reach import Reach, unreachable
from sallyport.pep.reach import problems as reaching
from sallyport.runtime import mounted_dir, strict_yaml
from sallyport.runtime.problems import ConfigError, Problem
from sallyport.runtime.settings import load_model

FILE: Final = "catalog.yaml"


class Validator(Protocol):
    """A compiled JSON Schema; made by the schema room."""

    def problem(self, value: Json) -> str:
        """What is wrong, for the caller alone: no value, at most the name of an unknown key; "" if it fits."""


class SchemaRefused(ValueError):
    """A schema that can't be held to. The text says what to change."""


Compile: TypeAlias = Callable[[Mapping[str, Any]], Validator]


@dataclass(frozen=True, slots=True)
class LoadedCatalog:
    """One catalog, as far as it can be served: whatever is wrong with it was found before."""

    digest: str
    catalog: Catalog  # without what is refused: that is neither listed nor callable
    validators: Mapping[str, Validator]  # by tool name, of its input
    listing: tuple[dict[str, Json], ...]  # as MCP's tools/list shows them, in the catalog's order
    refused: tuple[Problem, ...] = ()
    outputs: Mapping[str, Validator] = field(default_factory=dict)  # of the tools that have an output schema
    sets: Mapping[str, LoadedCatalog] = field(default_factory=dict)  # the named sets, each a catalog of its own

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tool.name for tool in self.catalog.tools)

    def within(self, server: str) -> LoadedCatalog | None:
        """What is served at /mcp/SERVER; all of it at /mcp, and None where there is no such set."""
        return self if not server else self.sets.get(server)

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
    catalog = load_model(Catalog, data, FILE, exact=True)
    document = strict_yaml.parse(data, FILE, exact=True)
    found: list[Problem] = []
    inputs: dict[str, Validator] = {}
    outputs: dict[str, Validator] = {}
    for index, tool in enumerate(catalog.tools):
        compiled = _Compiled.of(tool, catalog, compile_schema, reach)
        for key, message in compiled.problems:
            found.append(Problem(FILE, *document.position(("tools", index, key)), message, tool.name))
        if compiled.input is not None and not compiled.problems:
            inputs[tool.name] = compiled.input
            outputs |= {tool.name: compiled.output} if compiled.output is not None else {}
    shut = {name: list(unreachable(name, catalog, reach)) for name in catalog.upstreams}
    used = {prompt.upstream for prompt in catalog.prompts} | {entry.upstream for entry in catalog.resources}
    for name in sorted(used & {name for name, why in shut.items() if why}):
        found += [Problem(FILE, *document.position(("upstreams", name)), why, name) for why in shut[name]]
    served = catalog.only(
        (tool for tool in catalog.tools if tool.name in inputs),
        (prompt for prompt in catalog.prompts if not shut[prompt.upstream]),
        (entry for entry in catalog.resources if not shut[entry.upstream]),
    )
    if not (served.tools or served.prompts or served.resources):
        raise ConfigError(found)
    whole = LoadedCatalog(digest(data), served, inputs, tuple(map(_listed, served.tools)), tuple(found), outputs)
    return replace(whole, sets={name: _within(whole, server) for name, server in served.servers.items()})


def _within(whole: LoadedCatalog, server: Server) -> LoadedCatalog:
    all_of_it = whole.catalog
    catalog = all_of_it.only(
        (tool for tool in all_of_it.tools if tool.name in server.tools),
        (prompt for prompt in all_of_it.prompts if prompt.name in server.prompts),
        (entry for entry in all_of_it.resources if entry.key in server.resources),
    )
    listing = tuple(tool for tool in whole.listing if tool["name"] in server.tools)
    return replace(whole, catalog=catalog, listing=listing)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A tool's validators, or what is wrong with it, by the key that it stands under."""

    problems: tuple[tuple[str, str], ...]
    input: Validator | None
    output: Validator | None

    @classmethod
    def of(cls, tool: Tool, catalog: Catalog, compile_schema: Compile, reach: Reach) -> _Compiled:
        problems = [("provider", f"{tool.name}: {wrong}") for wrong in reaching(tool, catalog, reach)]
        found: dict[str, Validator] = {}
        for key, schema in (("input", tool.input), ("output", tool.output)):
            try:
                found |= {} if schema is None else {key: compile_schema(schema)}
            except SchemaRefused as error:
                problems.append((key, f"{tool.name}.{key}: {error}"))
        return cls(tuple(problems), found.get("input"), found.get("output"))


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
