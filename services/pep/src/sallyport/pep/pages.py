"""Pages of what upstreams list: asked for the caller, kept as far as the catalog has it, of each entry only what MCP has."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from sallyport.contract.catalog import Catalog
from sallyport.contract.surfaces import MAX_URI
from sallyport.pep.asked import Asked
from sallyport.pep.given import Place
from sallyport.pep.model import Failed, Json, ListResources, Reply, ResourceRef
from sallyport.pep.upstream import Upstreams
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.forward import Forward
from sallyport.runtime import canonical_json

_TIMEOUT_MS: Final = 5000
_PAGE_BYTES: Final = 512 << 10
_MAX_TEXT: Final = 4096
_MAX_CURSOR: Final = 4096  # bytes as JSON; with an entry's name, four of them fit into one handle
_MAX_NAME: Final = 512  # characters
_TURN: Final = 32  # entries; then somebody else's turn comes
_NO_METHOD: Final = -32601
_TEXTS: Final = ("name", "title", "description", "mimeType")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the order of their names, so that a page which the upstream changes meanwhile still has a middle."""

    entries: tuple[dict[str, Json], ...]
    key: str  # "uri" or "uriTemplate"
    ahead: Place | None  # None: nothing comes after it in this upstream

    def ref(self, entry: Mapping[str, Json]) -> ResourceRef:
        return ResourceRef("McpResource", str(entry[self.key]))

    def name(self, entry: Mapping[str, Json]) -> str:
        return _short(str(entry[self.key]))


class Pages:
    """Asks upstreams for what they list. `unlisted` counts what an upstream may have listed and nobody is shown."""

    def __init__(self, upstreams: Upstreams, unlisted: Callable[[str], None], timeout_ms: int = _TIMEOUT_MS) -> None:
        self._upstreams = upstreams
        self._unlisted = unlisted
        self._timeout_ms = timeout_ms

    @staticmethod
    def order(catalog: Catalog) -> tuple[str, ...]:
        """The upstreams of which the catalog has resources, always in the same order."""
        return tuple(sorted({entry.upstream for entry in catalog.resources}))

    async def page(self, place: Place, message: ListResources, asked: Asked) -> Page:
        """What is left of one upstream page. An upstream that doesn't answer in time has nothing to show."""
        key, listed = ("uriTemplate", "resourceTemplates") if message.templates else ("uri", "resources")
        catalog = asked.view.catalog
        result = await self._result(place, message, asked) if place.upstream in self.order(catalog) else {}
        found = result.get(listed, [])
        if not isinstance(found, list):
            self._leave_out(place.upstream, "its list is none")
            found = []
        kept = await _kept(found, key, place.upstream, catalog)
        rest = tuple(kept[name] for name in sorted(kept) if name > place.after)
        return Page(rest, key, self._ahead(place, result.get("nextCursor")))

    async def _result(self, place: Place, message: ListResources, asked: Asked) -> Mapping[str, Json]:
        forward = Forward(
            method=message.envelope.method,
            name="",
            params=canonical_json.encode({"cursor": place.cursor} if place.cursor else {}),
            envelope=message.envelope,
            identity=asked.who(asked.trail.traceparent),
            digest="",
            timeout_ms=self._timeout_ms,
            result_bytes=_PAGE_BYTES,
        )
        entry = asked.view.catalog.upstreams[place.upstream]
        try:
            answer = await self._upstreams.request(place.upstream, entry, forward, begun=lambda: None, emit=_unheard)
        except (UpstreamUnavailable, UpstreamBroke, TimeoutError) as error:
            self._leave_out(place.upstream, str(error) or "no answer in time")
            return {}
        if isinstance(answer, Reply):
            return answer.result
        self._refused(place.upstream, answer)
        return {}

    def _refused(self, upstream: str, failed: Failed) -> None:
        if failed.code != _NO_METHOD:  # that one has no such list
            self._leave_out(upstream, f"it answered with error {failed.code}")

    def _ahead(self, place: Place, told: Json) -> Place | None:
        if told is None or told == "":
            return None
        if not isinstance(told, str) or len(told) > _MAX_CURSOR or len(canonical_json.encode(told)) > _MAX_CURSOR:
            self._leave_out(place.upstream, "its cursor is none, or too long")
            return None
        if told == place.cursor:
            self._leave_out(place.upstream, "its cursor leads to the same page")
            return None
        return Place(place.upstream, told)

    def _leave_out(self, upstream: str, why: str) -> None:
        """Nothing vanishes without a word."""
        self._unlisted(upstream)
        _log.warning("resources not listed", upstream=upstream, why=why)


async def _kept(found: list[Json], key: str, upstream: str, catalog: Catalog) -> dict[str, dict[str, Json]]:
    """Entries of the catalog by their names, each with the members that MCP has."""
    kept: dict[str, dict[str, Json]] = {}
    for number, entry in enumerate(found):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        uri = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(uri, str) or len(uri) > MAX_URI or _short(uri) in kept:
            continue
        known = catalog.resource(uri)
        if known is None or known.upstream != upstream or (key == "uri" and not {"{", "}"}.isdisjoint(uri)):
            continue  # with a brace it couldn't be read
        kept[_short(uri)] = _plain(entry, key)
    return kept


def _short(uri: str) -> str:
    """By what an entry is told apart in a cursor, which has room for so much."""
    return uri if len(uri) <= _MAX_NAME else uri[: _MAX_NAME - 64] + hashlib.sha256(uri.encode()).hexdigest()


def _plain(entry: dict[str, Json], key: str) -> dict[str, Json]:
    shown: dict[str, Json] = {key: entry[key]}
    for name in _TEXTS:
        text = entry.get(name)
        if isinstance(text, str):
            shown[name] = _visible(text[:_MAX_TEXT])
    if type(entry.get("size")) is int:  # true is one, too
        shown["size"] = entry["size"]
    return shown


def _visible(text: str) -> str:
    """Nothing that a screen wouldn't show; each letter is looked at once, however often it stands there."""
    if text.isprintable():
        return text
    odd = (c for c in set(text) if not c.isprintable() and c not in "\n\t")
    return text.translate({ord(c): None for c in odd if unicodedata.category(c) in _HIDDEN})


async def _unheard(method: str, params: Mapping[str, Json]) -> None:
    """Progress of a listing is nobody's."""
