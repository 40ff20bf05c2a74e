"""What a gate has behind it, and so which entries of a catalog it can serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from sallyport.contract.catalog import Catalog, Hosted, Tool
from sallyport.runtime import addresses

_PORTS: Final = {"https": 443, "http": 80}
_THEN: Final = "and restart the gate: it reads that file at its start"


@dataclass(frozen=True, slots=True)
class Reach:
    """An entry of the catalog that needs more isn't served."""

    hosted: frozenset[str]  # names of the registered hosted tools
    unset: Mapping[str, str]  # hosted tools that aren't there -> what in pep.yaml would bring them
    egress: frozenset[str] | None  # destinations; None where no gate is known, as for a policy directory alone
    lacks: frozenset[str] = frozenset()  # of `upstreams` and `assertion` in pep.yaml, what isn't set


def problems(tool: Tool, catalog: Catalog, reach: Reach) -> Iterator[str]:
    """Why this gate can't serve a tool."""
    if not isinstance(tool.provider, Hosted):
        yield from unreachable(tool.provider.upstream, catalog, reach)
    elif tool.provider.hosted in reach.unset:
        name = tool.provider.hosted
        yield f"the hosted tool {name!r} isn't there without {reach.unset[name]!r} in pep.yaml; set it"
    elif tool.provider.hosted not in reach.hosted:
        known = ", ".join(sorted(reach.hosted)) or "none"
        yield f"there is no hosted tool {tool.provider.hosted!r}; there are: {known}"


def unreachable(upstream: str, catalog: Catalog, reach: Reach) -> Iterator[str]:
    """A catalog must not open a door: where the gate may connect to, and by what secrets, stands in its own settings."""
    entry = catalog.upstreams[upstream]
    try:
        leads_to = addresses.destination_of(entry.url, _PORTS[urlsplit(entry.url).scheme])
    except ValueError as error:
        yield f"the url of upstream {upstream!r}: {error}"
        return
    if reach.egress is not None and leads_to not in reach.egress:
        yield f"egress in pep.yaml lacks {leads_to!r}, where upstream {upstream!r} is; add it there, {_THEN}"
    if "upstreams" in reach.lacks and (entry.credential or entry.client_certificate):
        yield f"upstream {upstream!r} needs files, and pep.yaml has no `upstreams:` directory; name it there, {_THEN}"
    if "assertion" in reach.lacks and entry.assertion:
        yield f"upstream {upstream!r} wants to be told who calls, and pep.yaml has no `assertion:` key; name it there, {_THEN}"
