"""What a catalog has that is pinned, and at which upstreams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sallyport.contract.catalog import Catalog, UpstreamRef
from sallyport.contract.surfaces import Upstream
from sallyport.pep.upstream.listing import Kind

_PROMPT: Final = "prompt:"  # outside the alphabet of names: a prompt never stands for a tool


@dataclass(frozen=True, slots=True)
class Place:
    """What makes two entries of `upstreams` the same server, asked in the same way: a new limit changes no tool."""

    name: str
    url: str
    era: str
    credential: str | None
    client_certificate: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A tool or a prompt, under `key` as it is exposed and under `there` as its upstream has it."""

    key: str
    kind: Kind
    there: str
    upstream: str
    pin: str | None


def prompt_key(name: str) -> str:
    """Under what `quarantined` names a prompt; a tool stands under its own name."""
    return _PROMPT + name


def entries(catalog: Catalog) -> Iterator[Entry]:
    """All that upstreams provide and that has a definition."""
    for tool in catalog.tools:
        if isinstance(tool.provider, UpstreamRef):
            provider = tool.provider
            yield Entry(tool.name, "tools", provider.tool or tool.name, provider.upstream, tool.pin)
    for prompt in catalog.prompts:
        yield Entry(prompt_key(prompt.name), "prompts", prompt.there, prompt.upstream, prompt.pin)


def places(catalog: Catalog) -> dict[Place, Upstream]:
    """The upstreams that have anything to pin."""
    found: dict[Place, Upstream] = {}
    for name in dict.fromkeys(entry.upstream for entry in entries(catalog)):
        one = catalog.upstreams[name]
        found[Place(name, one.url, one.era, one.credential, one.client_certificate)] = one
    return found


def kinds_of(catalog: Catalog, upstream: str) -> frozenset[Kind]:
    """The lists that its upstream is asked for."""
    return frozenset(entry.kind for entry in entries(catalog) if entry.upstream == upstream)
