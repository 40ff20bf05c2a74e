"""What the catalog itself lists, as policies see it: tools, prompts, resources of upstreams, and the servers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from sallyport.contract.catalog import Catalog
from sallyport.pdp.schema import SERVER_ID

TYPES: Final = frozenset({"Tool", "Server", "Prompt", "McpResource"})
MANY: Final = frozenset({"Prompt", "McpResource"})  # of which one action touches any
_CACHED: Final = 4096  # URIs; to find one's template takes a look at each
_dump: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Entry:
    """One of them; nobody but the catalog says what it is."""

    orgs: tuple[str, ...]  # the tenants it is for
    attributes: dict[str, Any] = field(hash=False, compare=False)  # Cedar's JSON
    text: str  # the same, to be told apart by


class Listed:
    """Of one catalog; `tenants` are all orgs there are."""

    __slots__ = ("_by_uri", "_entries", "_resources")

    def __init__(self, catalog: Catalog, tenants: Iterable[str]) -> None:
        every = tuple(sorted(tenants))

        def entry(orgs: tuple[str, ...] | Literal["all"], **more: str) -> Entry:
            return _entry(every if orgs == "all" else tuple(sorted(set(orgs))), more)

        self._entries: Mapping[str, Mapping[str, Entry]] = {
            "Tool": {tool.name: entry(tool.orgs) for tool in catalog.tools},
            "Server": dict.fromkeys((SERVER_ID, *catalog.servers), entry("all")),
            "Prompt": {prompt.name: entry(prompt.orgs, upstream=prompt.upstream) for prompt in catalog.prompts},
        }
        self._resources = {one.key: entry(one.orgs, upstream=one.upstream) for one in catalog.resources}
        self._by_uri = lru_cache(maxsize=_CACHED)(catalog.resource)

    def find(self, kind: str, identity: str) -> Entry | None:
        """None where the catalog has nothing of that type and name."""
        return self._resource(identity) if kind == "McpResource" else self._entries[kind].get(identity)

    def _resource(self, uri: str) -> Entry | None:
        """By the URI asked for, as the PEP finds it."""
        found = self._by_uri(uri)
        return None if found is None else self._resources[found.key]


def nobodys(org: str) -> Entry:
    """As if it were listed, for this tenant."""
    return _entry((org,), {"upstream": ""})


def _entry(orgs: tuple[str, ...], more: Mapping[str, str]) -> Entry:
    attributes = {"orgs": [{"__entity": {"type": "Org", "id": org}} for org in orgs], **more}
    return Entry(orgs, attributes, _dump(attributes))
