"""Where a gate may connect to stands in its own settings: a catalog opens no door. On a laptop both are the operator's."""

from __future__ import annotations

from collections.abc import Iterator

from sallyport.cli.catalog.asking import Means, destination
from sallyport.cli.catalog.editing import NotEditable, Text
from sallyport.cli.catalog.place import Place
from sallyport.runtime import atomic_file


def allow(place: Place, url: str) -> Iterator[str]:
    """Add the upstream's host and port to a pep.yaml that is beside, and tell what was done, or is to be done."""
    leads_to = destination(url)
    line = f'egress in pep.yaml must list "{leads_to}"; add it there'
    if place.pep_config is None:
        yield line
        return
    if any(entry.destination == leads_to for entry in Means.of(place.pep_config, None).egress):
        return
    data = place.pep_config.read_bytes()
    try:
        text = Text.of(data.decode(), str(place.pep_config)).append("egress", [leads_to]).text
    except NotEditable:
        yield line
        return
    atomic_file.write(place.pep_config.resolve(), text.encode(), mode=place.pep_config.stat().st_mode & 0o777)
    yield f'added "{leads_to}" to egress in {place.pep_config}; a gate that runs takes that at its next start'
