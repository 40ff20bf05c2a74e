"""Pages of what upstreams list: asked for the caller, kept as far as the catalog has it, of each entry only what MCP has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sallyport.contract.catalog import Catalog
from sallyport.pep.asked import Asked
from sallyport.pep.given import Place
from sallyport.pep.model import Json, ListResources, Reply, ResourceRef
from sallyport.pep.upstream import Upstreams
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.forward import Forward
from sallyport.runtime import canonical_json

_MAX_ENTRIES: Final = 1000  # of one upstream page; what lies beyond is not shown
_MAX_TEXT: Final = 4096
_TIMEOUT_MS: Final = 5000
_PAGE_BYTES: Final = 2 << 20
_TEXTS: Final = ("name", "title", "description", "mimeType")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})


@dataclass(frozen=True, slots=True)
class Page:
    entries: tuple[dict[str, Json], ...]
    key: str  # "uri" or "uriTemplate"
    ahead: Place | None  # None: nothing comes after it

    def ref(self, entry: Mapping[str, Json]) -> ResourceRef:
        return ResourceRef("McpResource", str(entry[self.key]))


class Pages:
    """Asks upstreams for what they list."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    @staticmethod
    def order(catalog: Catalog) -> tuple[str, ...]:
        """The upstreams of which the catalog has resources, always in the same order."""
        return tuple(sorted({entry.upstream for entry in catalog.resources}))

    async def page(self, place: Place, message: ListResources, asked: Asked) -> Page:
        """One upstream page. An upstream that can't be asked has nothing to show, and the others still do."""
        key, listed = ("uriTemplate", "resourceTemplates") if message.templates else ("uri", "resources")
        catalog = asked.view.catalog
        entry = catalog.upstreams.get(place.upstream)
        if entry is None or place.upstream not in self.order(catalog):
            return Page((), key, self._next(place.upstream, catalog))
        params = canonical_json.encode({"cursor": place.cursor} if place.cursor else {})
        forward = Forward(
            method=message.envelope.method,
            name="",
            params=params,
            envelope=message.envelope,
            identity=asked.who(asked.trail.traceparent),
            digest="",
            timeout_ms=_TIMEOUT_MS,
            result_bytes=_PAGE_BYTES,
        )
        try:
            answer = await self._upstreams.request(place.upstream, entry, forward, begun=lambda: None, emit=_unheard)
        except (UpstreamUnavailable, UpstreamBroke, TimeoutError):
            return Page((), key, self._next(place.upstream, catalog))
        result = answer.result if isinstance(answer, Reply) else {}
        found = result.get(listed, [])
        kept = tuple(_kept(found if isinstance(found, list) else [], key, place.upstream, catalog))
        ahead = result.get("nextCursor")
        more = isinstance(ahead, str) and 0 < len(ahead.encode()) <= _MAX_TEXT and ahead != place.cursor
        return Page(kept, key, Place(place.upstream, str(ahead)) if more else self._next(place.upstream, catalog))

    def _next(self, upstream: str, catalog: Catalog) -> Place | None:
        return next((Place(name, "") for name in self.order(catalog) if name > upstream), None)


def _kept(found: list[Json], key: str, upstream: str, catalog: Catalog) -> Iterator[dict[str, Json]]:
    """Entries of the catalog, each with the members that MCP has, and nothing that a screen wouldn't show."""
    for entry in found[:_MAX_ENTRIES]:
        uri = entry.get(key) if isinstance(entry, dict) else None
        known = catalog.resource(uri) if isinstance(uri, str) else None
        if key == "uri" and not {"{", "}"}.isdisjoint(str(uri)):
            continue  # it couldn't be read
        if not isinstance(entry, dict) or known is None or known.upstream != upstream:
            continue
        shown: dict[str, Json] = {key: uri}
        for name in _TEXTS:
            text = entry.get(name)
            if isinstance(text, str):
                shown[name] = "".join(
                    c for c in text[:_MAX_TEXT] if c in "\n\t" or unicodedata.category(c) not in _HIDDEN
                )
        if type(entry.get("size")) is int:  # true is one, too
            shown["size"] = entry["size"]
        yield shown


async def _unheard(method: str, params: Mapping[str, Json]) -> None:
    """Progress of a listing is nobody's."""
