"""A policy directory made into a snapshot, or refused with everything that is wrong with it at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Literal, TypeVar

import cedarpy

from sallyport.contract import catalog as catalogs
from sallyport.contract.catalog import Catalog, Prompt, Resource, Tool
from sallyport.pdp import agents, base_schema, gates, json_schema, lint, policies, resources, roles, rules, schema
from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.conditions import Conditions
from sallyport.pdp.entities import Entities
from sallyport.pdp.listed import Listed
from sallyport.pdp.policy import Policy, parse
from sallyport.pdp.principals import Principals
from sallyport.pdp.reads import Reads
from sallyport.pdp.resources import Resources
from sallyport.pdp.room import Room
from sallyport.pdp.rule import Rule
from sallyport.pdp.schema import SERVER_ID
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.types import Record
from sallyport.runtime import settings, strict_yaml
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

CATALOG = "catalog.yaml"
NEEDED = (base_schema.FILE, CATALOG, roles.FILE, agents.FILE, resources.FILE)
_POLICY = ".cedar"
_IGNORED = (".test.yaml", ".md", ".json")
_OF_GIT = frozenset({".gitattributes", ".gitignore", ".gitkeep"})
_T = TypeVar("_T")


def load(contents: Contents, *, vetted: bool = False) -> Snapshot:
    """The whole directory, parsed, typed and checked. Raises ConfigError with all problems, sorted by place.

    `vetted`: these very bytes were loaded before, in another process. They aren't checked again, no policy's tree is
    kept, and no step holds the interpreter for long, so that a thread may do it beside the one that answers.
    """
    loader = _Loader(contents, vetted=vetted)
    snapshot = loader.load()
    if snapshot is None or loader.problems:
        raise ConfigError(sorted(loader.problems, key=lambda found: (found.file, found.line, found.column)))
    return snapshot


class _Loader:
    """One attempt: every step that can go on after another failed goes on, so that its problems are told too."""

    def __init__(self, contents: Contents, *, vetted: bool) -> None:
        self._contents = contents
        self._vetted = vetted
        self.problems: list[Problem] = list(_file_problems(contents.files))

    def load(self) -> Snapshot | None:
        catalog = self._try(CATALOG, lambda data: settings.load_model(Catalog, data, CATALOG, exact=True))
        base = self._try(base_schema.FILE, lambda data: base_schema.read(_text(data, base_schema.FILE)))
        read: Iterable[Policy] = self._policies()
        if not self._vetted:  # all of them, whatever else is wrong
            read = tuple(read)
        if base is None or catalog is None:
            self._forms()
            return None
        found = self._try(resources.FILE, lambda data: resources.load(data, base))
        orgs = found.orgs if found is not None else None
        known_agents = self._try(agents.FILE, lambda data: agents.load(data, orgs))
        names = [tool.name for tool in catalog.tools]
        known_roles = self._try(roles.FILE, lambda data: roles.load(data, base, names))
        inputs = self._inputs(catalog, base, found)
        if found is None or known_agents is None or known_roles is None or inputs is None:
            self._types(base, catalog, inputs, read)
            return None
        declared = schema.actions(base, inputs, catalog)
        known = lint.Known(known_roles, known_agents, found.orgs, catalog, declared)
        return self._build(base, found, known, read)

    def _forms(self) -> None:
        """Without types and tools the other files can be checked in form alone."""
        self._try(resources.FILE, lambda data: settings.load_model(resources.ResourcesFile, data, resources.FILE))
        self._try(agents.FILE, lambda data: agents.load(data, None))
        self._try(roles.FILE, lambda data: settings.load_model(roles.RolesFile, data, roles.FILE))

    def _types(
        self, base: BaseSchema, catalog: Catalog, inputs: Mapping[str, Record] | None, read: Iterable[Policy]
    ) -> None:
        """What is wrong with policies whatever the roles, agents and resources are: those can't be read."""
        if inputs is None:
            return
        try:
            typed = cedarpy.Schema.from_str(schema.text(base, schema.actions(base, inputs, catalog)))
        except ValueError:
            return  # told once the rest can be read
        self.problems += policies.type_problems(tuple(read), typed)

    def _build(self, base: BaseSchema, found: Resources, known: lint.Known, read: Iterable[Policy]) -> Snapshot | None:
        schema_text = schema.text(base, known.actions)
        try:
            typed = cedarpy.Schema.from_str(schema_text, release_gil=True)
        except ValueError as error:
            self.problems.append(Problem(CATALOG, 0, 0, f"Cedar can't type these tools: {error}"))
            return None
        compiled = gates.compile_roles(known.roles, known.actions)
        everything: Iterable[Policy] = chain(read, parse(compiled, gates.FILE, self.problems))
        kept: tuple[Policy, ...] = ()
        if not self._vetted:
            everything = kept = tuple(everything)
            self.problems += policies.check(kept, known, base, typed)
        if self.problems:
            return None
        conditions, reads = Conditions(), Reads()
        held = [_rule(policy, conditions, reads) for policy in everything]  # one tree at a time
        actions = rules.build(known.actions, found.orgs, reads)
        narrow = schema.text(base, known.actions, {name: action.context for name, action in actions.items()})
        narrowed = cedarpy.Schema.from_str(narrow, release_gil=True)
        principals = Principals(known.roles, known.agents, found.orgs)
        return Snapshot(
            revision=self._contents.revision,
            catalog=known.catalog,
            catalog_digest=catalogs.digest(self._contents.files[CATALOG]),
            catalog_bytes=self._contents.files[CATALOG],
            schema=typed,
            schema_text=schema_text,
            compiled=compiled,
            policies=kept,
            room=Room(held, narrowed),
            rules=MappingProxyType(actions),
            conditions=conditions,
            principals=principals,
            entities=Entities(principals, found, Listed(known.catalog, found.orgs), narrowed),
            named=frozenset(reads.named),
        )

    def _policies(self) -> Iterator[Policy]:
        files = {name: data for name, data in self._contents.files.items() if name.endswith(_POLICY)}
        if not files:  # an empty policy set must not look like one that has nothing against it
            self.problems.append(Problem("*.cedar", 0, 0, "there is no policy file at all; write one, or run init"))
        yield from policies.read(files, self.problems)

    def _inputs(self, catalog: Catalog, base: BaseSchema, found: Resources | None) -> Mapping[str, Record] | None:
        document = strict_yaml.parse(self._contents.files[CATALOG], CATALOG, exact=True)
        inputs: dict[str, Record] = {}
        before = len(self.problems)
        self.problems += [
            Problem(CATALOG, *document.position(path), message)
            for path, message in _surface_complaints(catalog, base, found)
        ]
        for at, tool in enumerate(catalog.tools):
            complaints = list(_tool_complaints(tool, base, found))
            try:
                inputs[tool.name] = json_schema.record_type(tool.input)
            except json_schema.TooLargeError as error:
                complaints.append(("input", f"the input schema is too large: {error}"))
            except json_schema.MalformedError as error:
                complaints.append(("input", f"the input schema is no JSON Schema: {error}"))
            self.problems += [
                Problem(CATALOG, *document.position(["tools", at, key]), f"tool {tool.name}: {message}", tool.name)
                for key, message in complaints
            ]
        return inputs if len(self.problems) == before else None

    def _try(self, name: str, read: Callable[[bytes], _T]) -> _T | None:
        if name not in self._contents.files:
            return None  # told already
        try:
            return read(self._contents.files[name])
        except ConfigError as error:
            self.problems += error.problems
            return None


def _rule(policy: Policy, conditions: Conditions, reads: Reads) -> Rule:
    reads.enter(policy)
    return Rule.of(policy, conditions.conjuncts(policy))


def _surface_complaints(
    catalog: Catalog, base: BaseSchema, found: Resources | None
) -> Iterator[tuple[list[str | int], str]]:
    """What is wrong with what a catalog lists beside its tools."""
    surfaces: tuple[tuple[str, str, tuple[Prompt | Resource, ...]], ...] = (
        ("prompts", "Prompt", catalog.prompts),
        ("resources", "McpResource", catalog.resources),
    )
    for key, kind, entries in surfaces:
        if entries and kind not in base.model:
            yield [key], f"{key} are judged as {kind}, which base.cedarschema lacks; add `{base_schema.LATER[kind]}`"
        for at, entry in enumerate(entries):
            for org in _strangers(entry.orgs, found):
                yield [key, at, "orgs"], f"no org {org!r} in resources.yaml"
    if SERVER_ID in catalog.servers:
        yield ["servers", SERVER_ID], f"{SERVER_ID!r} is what policies call the whole of it; choose another name"


def _strangers(orgs: tuple[str, ...] | Literal["all"], found: Resources | None) -> list[str]:
    """Tenants that nobody knows, where that can be told."""
    return [] if orgs == "all" or found is None else [org for org in orgs if org not in found.orgs]


def _tool_complaints(tool: Tool, base: BaseSchema, found: Resources | None) -> Iterator[tuple[str, str]]:
    for kind in tool.resource_types if tool.resources else ():
        if kind not in base.resources:
            yield "resources", f"no resource type {kind!r} in base.cedarschema; there are: {', '.join(base.resources)}"
    for org in _strangers(tool.orgs, found):
        yield "orgs", f"no org {org!r} in resources.yaml"


def _file_problems(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """A file that is missing, and one that would silently be passed over: `policy.ceder` forbids nothing."""
    for name in NEEDED:
        if name not in files:
            yield Problem(name, 0, 0, "is missing; every policy directory needs it")
    for name in files:
        if name in NEEDED or name in _OF_GIT or name.endswith((_POLICY, *_IGNORED)):
            continue
        near = difflib.get_close_matches(name, [*NEEDED, name.rsplit(".", 1)[0] + _POLICY], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"policies end in {_POLICY}, tests in .test.yaml"
        yield Problem(name, 0, 0, f"isn't a file that the PDP reads; {hint}")


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError.about(name, f"not UTF-8 at byte {error.start}; save the file as UTF-8") from None
