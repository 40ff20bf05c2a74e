"""Asking an upstream what it offers, by the gate's own leg and rules: no redirect, no proxy, the checked address only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sallyport.cli.catalog import unlistable
from sallyport.cli.catalog.sifting import Sifted, sifted
from sallyport.cli.complaint import Complaint
from sallyport.cli.plain import plain
from sallyport.contract.surfaces import Upstream
from sallyport.pep.egress import Egress, EgressRefused
from sallyport.pep.egress.allowed import destination_of
from sallyport.pep.settings import EgressEntry, PepSettings
from sallyport.pep.upstream import UpstreamBroke, Upstreams, UpstreamSettings, UpstreamUnavailable
from sallyport.pep.upstream.files import Files
from sallyport.pep.upstream.listing import Kind, Listing, ListingRefused, fetcher
from sallyport.runtime import settings

ALL: frozenset[Kind] = frozenset({"tools", "prompts", "resources", "templates"})


@dataclass(frozen=True, slots=True)
class Means:
    """What asking takes from the gate's settings, where there are any."""

    egress: tuple[EgressEntry, ...] = ()
    files: Path | None = None

    @classmethod
    def of(cls, config: Path | None, files: Path | None) -> Means:
        """Raises ConfigError."""
        if config is None:
            return cls(files=files)
        loaded = settings.load_model(PepSettings, config.read_bytes(), str(config), base=config.parent)
        return cls(loaded.egress, files or loaded.upstreams)


def destination(url: str) -> str:
    """Where a URL leads. Raises Complaint."""
    try:
        return destination_of(url)
    except EgressRefused as refused:
        raise Complaint(f"{plain(url)}: {refused}", "write the upstream's URL as https://host:port/path") from None


def ask(name: str, upstream: Upstream, means: Means) -> Sifted:
    """Everything that it lists. The operator named it, so its host and port may be connected to, and no other."""
    leads_to = destination(upstream.url)
    entry = _entry(leads_to, means.egress)
    try:
        return sifted(asyncio.run(_ask(name, upstream, entry, means.files)))
    except (UpstreamUnavailable, UpstreamBroke, ListingRefused, EgressRefused, TimeoutError) as error:
        raise unlistable.complaint(name, upstream, str(error) or type(error).__name__, means.files) from None


def _entry(leads_to: str, egress: Iterable[EgressEntry]) -> EgressEntry:
    listed = [entry for entry in egress if entry.destination == leads_to]
    return listed[0] if listed else EgressEntry(destination=leads_to)


async def _ask(name: str, upstream: Upstream, entry: EgressEntry, files: Path | None) -> Listing:
    upstreams = Upstreams(UpstreamSettings(metadata.version("sallyport-cli"), Files(files)), Egress([entry]), None)
    try:
        # The gate asks for itself, so it has nobody to assert.
        return await fetcher(upstreams)(name, upstream.model_copy(update={"assertion": False}), ALL)
    finally:
        await upstreams.close()
