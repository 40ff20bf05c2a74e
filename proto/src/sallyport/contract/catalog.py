"""The catalog: the reviewed list of tools. What isn't in it is neither served, nor typed for policies, nor callable."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import (
    Discriminator,
    Field,
    PrivateAttr,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sallyport.contract.parts import Description, Limits, Name, Orgs, Part, Sha256, Title, elsewhere
from sallyport.contract.surfaces import Prompt, Resource, Server, Upstream, canonical

__all__ = [
    "MAX_EACH",
    "MAX_TOOLS",
    "Catalog",
    "Effect",
    "Hosted",
    "Limits",
    "Name",
    "Prompt",
    "Resource",
    "ResourceMapping",
    "Server",
    "Tool",
    "Upstream",
    "UpstreamRef",
    "digest",
]

MAX_TOOLS: Final = 1000
MAX_EACH: Final = 64  # elements that an array named by `each` may have
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)+")  # RFC 6901 §3, without the whole document

# A path segment of the gate: /mcp/NAME.
ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
EntityType = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$", max_length=128)
]


class Effect(StrEnum):
    """What a call may do to the world."""

    READ_ONLY = "read_only"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


class Hosted(Part):
    """Code in the PEP, by its registered name."""

    hosted: Name


class UpstreamRef(Part):
    """A tool of an MCP server behind the gate, which stands under `upstreams`."""

    upstream: Name
    tool: Annotated[str, Field(min_length=1, max_length=128)] | None = None  # its name there, where it is another


def _provider_kind(value: Any) -> str | None:
    if isinstance(value, Part):
        return "hosted" if isinstance(value, Hosted) else "upstream"
    keys = value if isinstance(value, dict) else ()
    return next((kind for kind in ("hosted", "upstream") if kind in keys), None)


Provider = Annotated[
    Annotated[Hosted, Tag("hosted")] | Annotated[UpstreamRef, Tag("upstream")],
    Discriminator(
        _provider_kind,
        custom_error_type="provider",
        custom_error_message="name one provider: {hosted: NAME} or {upstream: NAME}",
    ),
]


class ResourceMapping(Part):
    """Where in the checked arguments the id of what a call touches stands. Several pointers make one joined id."""

    type: EntityType
    id: str | tuple[str, ...] | None = None
    each: str | None = None  # an array of 1 to 64 ids, all of which must be permitted

    @field_validator("id", "each")
    @classmethod
    def _check_pointers(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        pointers = (value,) if isinstance(value, str) else value or ()
        if value is not None and not 1 <= len(pointers) <= 8:  # noqa: PLR2004 — more parts than any real key has
            raise ValueError("give 1 to 8 JSON Pointers")
        for pointer in pointers:
            if not _POINTER.fullmatch(pointer):
                raise ValueError('not a JSON Pointer (RFC 6901) into the arguments; write it as "/path"')
        return value

    @model_validator(mode="after")
    def _check_one(self) -> ResourceMapping:
        if (self.id is None) == (self.each is None):
            raise ValueError("give exactly one of `id` and `each`")
        return self


class Tool(Part):
    """One reviewed tool. A missing effect counts as destructive, a missing `open_world` as true."""

    name: Name
    title: Title = ""
    description: Description = ""
    effect: Effect = Effect.DESTRUCTIVE
    open_world: bool = True
    provider: Provider
    input: dict[str, Any]
    output: dict[str, Any] | None = None
    resources: tuple[ResourceMapping, ...] = Field(default=(), max_length=16)
    orgs: Orgs = "all"
    required_context: tuple[Literal["ip", "risk", "mfa_age", "call_count"], ...] = ()
    limits: Limits = Field(default=Limits(), validate_default=True)
    pin: Sha256 | None = None

    @property
    def resource_types(self) -> tuple[str, ...]:
        """The entity types a call is judged on, each once; the tool itself where it names no resources."""
        return tuple(dict.fromkeys(mapping.type for mapping in self.resources)) or ("Tool",)

    @field_validator("input", "output")
    @classmethod
    def _check_object(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None and schema.get("type") != "object":
            raise ValueError("must be a JSON Schema with `type: object`")
        return schema

    @field_validator("limits")
    @classmethod
    def _as_its_provider(cls, limits: Limits, info: ValidationInfo) -> Limits:
        return elsewhere(limits) if isinstance(info.data.get("provider"), UpstreamRef) else limits

    @field_validator("required_context")
    @classmethod
    def _check_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("names a fact twice")
        return names


class Catalog(Part):
    """catalog.yaml."""

    tools: tuple[Tool, ...] = Field(default=(), max_length=MAX_TOOLS)
    prompts: tuple[Prompt, ...] = Field(default=(), max_length=MAX_TOOLS)
    resources: tuple[Resource, ...] = Field(default=(), max_length=MAX_TOOLS)
    upstreams: dict[Name, Upstream] = Field(default_factory=dict)
    servers: dict[ServerName, Server] = Field(default_factory=dict)
    _whole: Catalog | None = PrivateAttr(default=None)  # that this one is a part of

    def tool(self, name: str) -> Tool | None:
        """The tool with exactly this name."""
        return self._tools.get(name)

    def prompt(self, name: str) -> Prompt | None:
        return self._prompts.get(name)

    def resource(self, uri: str) -> Resource | None:
        """The entry that a URI falls under: itself, else the longest template or prefix that matches.

        Of a part it is the whole's entry, or none: what is judged as one entry must not be served as another. A
        template's own text falls under itself, for it is listed and completed as it stands.
        """
        if self._whole is not None:
            found = self._whole.resource(uri)
            return found if found in self.resources else None
        exact = self._uris.get(uri)
        if exact is not None:
            return exact
        if not canonical(uri):
            return None
        matching = [entry for entry in self._patterns if entry.covers(uri)]
        return max(matching, key=lambda entry: len(entry.key), default=None)

    def only(self, tools: Iterable[Tool], prompts: Iterable[Prompt], resources: Iterable[Resource]) -> Catalog:
        """The same with fewer entries. Not by `model_copy`, which would copy what was found by the names of before."""
        part = Catalog.model_construct(
            tools=tuple(tools),
            prompts=tuple(prompts),
            resources=tuple(resources),
            upstreams=self.upstreams,
            servers=self.servers,
        )
        part._whole = self._whole or self  # noqa: SLF001 — its own kind
        return part

    @cached_property
    def _tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def _prompts(self) -> dict[str, Prompt]:
        return {prompt.name: prompt for prompt in self.prompts}

    @cached_property
    def _uris(self) -> dict[str, Resource]:
        return {text: entry for entry in self.resources if (text := entry.uri or entry.template) is not None}

    @cached_property
    def _patterns(self) -> tuple[Resource, ...]:
        return tuple(entry for entry in self.resources if entry.uri is None)

    @model_validator(mode="after")
    def _check_something(self) -> Catalog:
        if not (self.tools or self.prompts or self.resources):  # empty means refuse
            raise ValueError("list at least one tool")
        for names in ([tool.name for tool in self.tools], [prompt.name for prompt in self.prompts]):
            twins = _twins(names)
            if twins:
                raise ValueError(f"names that are, or look, the same: {', '.join(twins)}; rename all but one")
        keys = [entry.key for entry in self.resources]
        if len(set(keys)) != len(keys):
            raise ValueError("resources: the same uri, template or prefix stands there twice; keep one")
        return self

    @model_validator(mode="after")
    def _check_upstreams(self) -> Catalog:
        named = [
            *(
                (f"tool {tool.name!r}", tool.provider.upstream)
                for tool in self.tools
                if isinstance(tool.provider, UpstreamRef)
            ),
            *((f"prompt {prompt.name!r}", prompt.upstream) for prompt in self.prompts),
            *((f"resource {entry.key!r}", entry.upstream) for entry in self.resources),
        ]
        for what, upstream in named:
            if upstream not in self.upstreams:
                raise ValueError(f"{what} names the upstream {upstream!r}; add it to upstreams")
        return self

    @model_validator(mode="after")
    def _check_servers(self) -> Catalog:
        known = (set(self._tools), set(self._prompts), {entry.key for entry in self.resources})
        for name, server in self.servers.items():
            for listed, there in zip((server.tools, server.prompts, server.resources), known, strict=True):
                lost = [one for one in listed if one not in there]
                if lost:
                    raise ValueError(f"server {name!r} names {lost[0]!r}, which the catalog doesn't have")
        return self


def digest(data: bytes) -> str:
    """SHA-256 of catalog.yaml's bytes, hex: what question and answer name the catalog by."""
    return hashlib.sha256(data).hexdigest()


def _twins(names: Iterable[str]) -> list[str]:
    seen: dict[str, str] = {}
    found: list[str] = []
    for name in names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            found.append(f"{seen[folded]} and {name}")
        seen.setdefault(folded, name)
    return found
