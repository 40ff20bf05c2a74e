"""The gate under the suite: a running Sallyport with the upstream behind it, and the hop before it that speaks for somebody."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.conformance import suite
from tests.conformance.suite import Results
from tests.support import guarded, laptop
from tests.support.header_hop import Way, header_hop
from tests.support.laptop import Up


@dataclass
class Guarded:
    """For whom the hop asks may change from one run to the next; each run is made once."""

    running: Up | None = None
    user: str = guarded.USER
    lacks: tuple[str, ...] = ()
    port: int = 0
    known: dict[tuple[str, str, tuple[str, ...]], Results] = field(default_factory=dict)

    async def run(self, revision: str, *, user: str = guarded.USER, lacks: tuple[str, ...] = ()) -> Results:
        self.user, self.lacks = user, lacks
        which = (revision, user, lacks)
        if which not in self.known:
            self.known[which] = await suite.run(f"http://localhost:{self.port}/mcp", revision)
        return self.known[which]

    def way(self) -> Way:
        assert self.running is not None
        here = self.running.endpoint
        trust = ssl.create_default_context(cafile=here.ca_file)
        return Way(urlsplit(here.mcp_url).port or 0, self._token, trust)

    def _token(self) -> str:
        assert self.running is not None
        return laptop.token(self.running.directory, self.user, org="acme", roles=(guarded.role(*self.lacks),))


@asynccontextmanager
async def gate(directory: Path, upstream: str, roles: Iterable[tuple[str, ...]]) -> AsyncIterator[Guarded]:
    made = Guarded()
    async with header_hop(made.way) as made.port:
        # The suite sends the Origin of where it dials (DNS rebinding), so that one is allowed, and no other.
        laptop.patient(guarded.make(directory, upstream, origins=[f"http://localhost:{made.port}"], roles=roles))
        with laptop.up(directory, "--no-restart") as made.running:
            made.running.ready()
            yield made
