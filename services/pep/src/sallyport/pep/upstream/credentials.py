"""What an upstream is shown besides the request: who the gate is, and for whom it calls.

The caller's own token is no source: it never leaves (N17).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from sallyport.contract.catalog import Upstream
from sallyport.pep.model import Identity
from sallyport.pep.upstream.assertion import HEADER, OwnIdentity
from sallyport.pep.upstream.files import Held

# Headers that say something else already: a secret there would be a request of another kind.
_TAKEN: Final = re.compile(
    r"host|te|trailer|transfer-encoding|upgrade|connection|keep-alive|expect|cookie|origin|referer|forwarded|via|range"
    r"|last-event-id|trace(parent|state)|baggage|user-agent|(content|accept|proxy|mcp|sec|sallyport|x-forwarded|if)(-.*)?"
)


class CredentialMissing(Exception):
    """Nothing was sent. The text is for the record and for operators, never for a client."""


class CredentialSource(Protocol):
    """One way of showing something. Users' own credentials at an upstream will be another."""

    def headers(self, identity: Identity | None, digest: str) -> Mapping[str, str]:
        """For one request; `identity` is None where the gate asks for itself. Raises CredentialMissing."""


@dataclass(frozen=True, slots=True)
class Nothing:
    def headers(self, identity: Identity | None, digest: str) -> Mapping[str, str]:  # noqa: ARG002 — for nobody
        return {}


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The same for all callers: the gate's own account, from a file."""

    header: str
    files: Held

    def headers(self, identity: Identity | None, digest: str) -> Mapping[str, str]:  # noqa: ARG002 — for all alike
        credential = self.files.credential
        if credential is None:
            raise CredentialMissing(
                f"upstream {self.files.name} has no file `credential` in its folder; write {self.header}'s value"
            )
        if _TAKEN.fullmatch(self.header):
            raise CredentialMissing(
                f"upstream {self.files.name}: {self.header} is no header for a credential; name another one"
            )
        return {self.header: credential}


@dataclass(frozen=True, slots=True)
class Asserted:
    """Signed, to this one upstream: who calls, and what. The gate's own requests are for nobody, so they say nothing."""

    own: OwnIdentity | None
    audience: str

    def headers(self, identity: Identity | None, digest: str) -> Mapping[str, str]:
        if self.own is None:
            raise CredentialMissing(f"{self.audience} is to be told for whom a call is; set `assertion` in pep.yaml")
        return {HEADER: self.own.sign(identity, self.audience, digest)} if identity is not None else {}


@dataclass(frozen=True, slots=True)
class Together:
    sources: tuple[CredentialSource, ...]

    def headers(self, identity: Identity | None, digest: str) -> Mapping[str, str]:
        return {name: value for source in self.sources for name, value in source.headers(identity, digest).items()}


def of(upstream: Upstream, files: Held, own: OwnIdentity | None) -> CredentialSource:
    """As the catalog has it."""
    sources: list[CredentialSource] = []
    if upstream.credential is not None:
        sources.append(ServiceAccount(upstream.credential, files))
    if upstream.assertion:
        sources.append(Asserted(own, upstream.audience or upstream.url))
    return Together(tuple(sources)) if sources else Nothing()
