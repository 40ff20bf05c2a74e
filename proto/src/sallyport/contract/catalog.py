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
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

MAX_TOOLS: Final = 1000
MAX_EACH: Final = 64  # elements that an array named by `each` may have
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)+")  # RFC 6901 §3, without the whole document
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
EntityType = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$", max_length=128)
]
Org = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Effect(StrEnum):
    """What a call may do to the world."""

    READ_ONLY = "read_only"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Hosted(_Part):
    """Code in the PEP, by its registered name."""

    hosted: Name


class UpstreamRef(_Part):
    """An MCP server behind the gate, by its name under `upstreams`."""

    upstream: Name


def _provider_kind(value: Any) -> str | None:
    if isinstance(value, _Part):
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


class ResourceMapping(_Part):
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


class Limits(_Part):
    """What one call may cost."""

    timeout_ms: int = Field(default=5000, ge=1, le=60_000)
    result_bytes: int = Field(default=256 << 10, ge=1, le=4 << 20)


class Tool(_Part):
    """One reviewed tool. A missing effect counts as destructive, a missing `open_world` as true."""

    name: Name
    title: str = Field(default="", max_length=256)
    description: str = Field(default="", max_length=8192)
    effect: Effect = Effect.DESTRUCTIVE
    open_world: bool = True
    provider: Provider
    input: dict[str, Any]
    output: dict[str, Any] | None = None
    resources: tuple[ResourceMapping, ...] = Field(default=(), max_length=16)
    orgs: tuple[Org, ...] | Literal["all"] = "all"
    required_context: tuple[Literal["ip", "risk", "mfa_age", "call_count"], ...] = ()
    limits: Limits = Limits()
    pin: Sha256 | None = None

    @property
    def resource_types(self) -> tuple[str, ...]:
        """The entity types a call is judged on, each once; the tool itself where it names no resources."""
        return tuple(dict.fromkeys(mapping.type for mapping in self.resources)) or ("Tool",)

    @field_validator("title", "description")
    @classmethod
    def _check_visible(cls, text: str) -> str:
        # Tool poisoning: the model reads characters that the reviewer's screen doesn't show.
        if any(unicodedata.category(character) in _HIDDEN and character not in "\n\t" for character in text):
            raise ValueError("holds a control or invisible character; remove it")
        return text

    @field_validator("input", "output")
    @classmethod
    def _check_object(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None and schema.get("type") != "object":
            raise ValueError("must be a JSON Schema with `type: object`")
        return schema

    @field_validator("orgs", mode="wrap")
    @classmethod
    def _check_orgs(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            orgs = check(tuple(value) if isinstance(value, list) else value)
        except ValidationError:  # one message, not one for each side of the union
            orgs = ()
        if not orgs:  # empty means refuse, not everybody
            raise ValueError("must be `all` or a list of at least one org")
        return orgs

    @field_validator("required_context")
    @classmethod
    def _check_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("names a fact twice")
        return names


class Upstream(_Part):
    """An MCP server behind the gate."""

    url: Annotated[str, StringConstraints(pattern=r"^https://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2048)]


class Catalog(_Part):
    """catalog.yaml."""

    tools: tuple[Tool, ...] = Field(max_length=MAX_TOOLS)
    upstreams: dict[Name, Upstream] = {}

    def tool(self, name: str) -> Tool | None:
        """The tool with exactly this name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.tools}

    @field_validator("tools")
    @classmethod
    def _check_names(cls, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        if not tools:  # empty means refuse
            raise ValueError("list at least one tool")
        twins = _twins(tool.name for tool in tools)
        if twins:
            raise ValueError(f"names that are, or look, the same: {', '.join(twins)}; rename all but one")
        return tools

    @model_validator(mode="after")
    def _check_upstreams(self) -> Catalog:
        for tool in self.tools:
            if isinstance(tool.provider, UpstreamRef) and tool.provider.upstream not in self.upstreams:
                raise ValueError(
                    f"tool {tool.name!r} names the upstream {tool.provider.upstream!r}; add it to upstreams"
                )
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
