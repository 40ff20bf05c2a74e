"""Upstreams of a new directory: entries in its catalog, and the way to them in its settings. Nothing is asked of them yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from sallyport.cli.complaint import Complaint
from sallyport.cli.plain import plain
from sallyport.contract.surfaces import Upstream
from sallyport.runtime import atomic_file

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


def named(words: Sequence[str]) -> Mapping[str, str]:
    """Name -> URL. Without a name it is called by its host, or by its port where that is an address."""
    found: dict[str, str] = {}
    for word in words:
        name, url = _parted(word)
        _check(url)
        if name in found:
            raise Complaint(f"two upstreams are called {plain(name)}", "name them: --upstream NAME=URL")
        found[name] = url
    return found


def join(directory: Path, servers: Mapping[str, str]) -> Iterator[str]:
    """Write them into catalog.yaml and pep.yaml; tell each step. Raises Complaint, ConfigError."""
    if not servers:
        return
    from sallyport.cli.catalog import egress  # noqa: PLC0415 — takes the PEP along
    from sallyport.cli.catalog.place import Place  # noqa: PLC0415

    place = Place.at(directory)
    for name, url in servers.items():
        yield _enter(place.catalog, name, url)
        yield from egress.allow(place, url)


def _enter(catalog: Path, name: str, url: str) -> str:
    """Into a catalog that may be of a policy set of the operator's own; what was done."""
    from sallyport.cli.catalog.editing import NotEditable, Text  # noqa: PLC0415 — takes the PEP along

    text = Text.of(catalog.read_text(encoding="utf-8"), str(catalog))
    held = (text.value.get("upstreams") or {}).get(name)
    if held is not None:
        return _known(name, url, held["url"])
    try:
        changed = text.put("upstreams", name, {"url": url}).text
    except NotEditable:
        raise Complaint(
            f"the set's {catalog.name} is written in a way that can't be added to without touching what stands there",
            "write its `upstreams:` as `  NAME: {url: ...}`, one entry after the other",
        ) from None
    atomic_file.write(catalog, changed.encode(), mode=0o644)
    return f"added the upstream {plain(name)} at {plain(url)} to {catalog.name}; nothing of it is served yet"


def _known(name: str, url: str, held: str) -> str:
    if url != held:
        raise Complaint(
            f"the set's catalog.yaml has an upstream {plain(name)} already, at {plain(held)}",
            f"name yours otherwise: --upstream NAME={plain(url)}",
        )
    return f"the set's catalog.yaml has the upstream {plain(name)} already"


def _parted(word: str) -> tuple[str, str]:
    """NAME=URL, or a URL alone; what stands before = is meant as a name unless a URL has begun there."""
    name, equals, url = word.partition("=")
    if not equals or "://" in name:
        return _called(word), word
    if not _NAME.fullmatch(name):
        raise Complaint(
            f"`{plain(name)}` is no name of an upstream",
            "take at most 64 of a-z, A-Z, 0-9, _ - and, but not as the first, a dot: --upstream NAME=URL",
        )
    return name, url


def _called(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    label = host.split(".")[0]
    if re.fullmatch(r"[a-z][a-z0-9-]{0,63}", label) and label != "localhost":
        return label
    return f"upstream-{port or parts.scheme}" if host else "upstream"


def _check(url: str) -> None:
    try:
        Upstream(url=url)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise Complaint(f"{plain(url)}: {wrong}", "write the upstream's URL as https://host:port/path") from None
    from sallyport.cli.catalog.asking import destination  # noqa: PLC0415 — takes the PEP along

    destination(url)  # before anything is made
