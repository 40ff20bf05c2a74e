"""The header fields that say who asks: each at most once, in its own spelling, addressed to us (N8)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sallyport.pep.authn.evidence import Rejected

USER, AGENT, ORG, ROLES, RISK = "x-user-id", "x-agent-id", "x-org-id", "x-roles", "x-risk-score"
AUTHORIZATION, FORWARDED_FOR = "authorization", "x-forwarded-for"
NAMING: Final = (USER, AGENT, ORG, ROLES)  # each of them claims to name the caller
_OURS: Final = frozenset({*NAMING, RISK, AUTHORIZATION})
_VALUE: Final = re.compile(rb"[!-~]([ -~]*[!-~])?")  # RFC 9110 §5.5 without obs-text: what isn't ASCII has two readings


class Fields:
    """One request's fields by name, lower case."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[bytes]] = {}
        for raw, value in headers:
            name = raw.decode("latin-1").lower()
            # CGI-style servers read X_User_ID as X-User-ID; to us it is nothing, so it must not be there.
            if "_" in name and name.replace("_", "-") in _OURS:
                raise Rejected("an identity header with an underscore")
            self._values.setdefault(name, []).append(value)
        self._refuse_hop_by_hop()

    def has(self, *names: str) -> bool:
        return any(name in self._values for name in names)

    def one(self, name: str) -> str | None:
        """The field's only value; None where it is absent."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) != 1 or not _VALUE.fullmatch(values[0]):
            raise Rejected(f"{name} is repeated, empty or not printable ASCII")
        return values[0].decode("ascii")

    def need(self, name: str) -> str:
        value = self.one(name)
        if value is None:
            raise Rejected(f"{name} is missing")
        return value

    def _refuse_hop_by_hop(self) -> None:
        """`Connection: X-User-ID` asks a proxy to drop the field: then two hops see two callers (RFC 9110 §7.6.1)."""
        for value in self._values.get("connection", ()):
            if not _OURS.isdisjoint(option.strip() for option in value.decode("latin-1").lower().split(",")):
                raise Rejected("an identity header is listed in Connection")
