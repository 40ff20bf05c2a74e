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

_NAMED = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]{0,63})=(.+)")


def named(words: Sequence[str]) -> Mapping[str, str]:
    """Name -> URL. Without a name it is called by its host, or by its port where that is an address."""
    found: dict[str, str] = {}
    for word in words:
        match = _NAMED.fullmatch(word)
        name, url = (match[1], match[2]) if match else (_called(word), word)
        _check(url)
        if name in found:
            raise Complaint(f"two upstreams are called {plain(name)}", "name them: --upstream NAME=URL")
        found[name] = url
    return found


def join(directory: Path, servers: Mapping[str, str]) -> Iterator[str]:
    """Write them into catalog.yaml and pep.yaml; tell each step."""
    if not servers:
        return
    from sallyport.cli.catalog import egress  # noqa: PLC0415 — takes the PEP along
    from sallyport.cli.catalog.editing import Text  # noqa: PLC0415
    from sallyport.cli.catalog.place import Place  # noqa: PLC0415

    place = Place.at(directory)
    for name, url in servers.items():
        text = Text.of(place.catalog.read_text(encoding="utf-8"), str(place.catalog))
        changed = text.put("upstreams", name, {"url": url}).text
        atomic_file.write(place.catalog, changed.encode(), mode=0o644)
        yield f"added the upstream {plain(name)} at {plain(url)} to {place.catalog.name}; nothing of it is served yet"
        yield from egress.allow(place, url)


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
