"""A caller and a checked call, as rooms 1 and 4 would have made them."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

from sallyport.pep.model import (
    Caller,
    CheckedCall,
    Identity,
    Json,
    Resolved,
    ResourceRef,
    Signature,
    SignedBy,
    Unresolved,
)
from sallyport.runtime import canonical_json

ALICE = Caller(
    issuer="laptop",
    user="alice",
    agent="coding-bot",
    org="acme",
    roles=("developer",),
    scopes=(),
    token_id="token-1",
    expires_at=time.time() + 24 * 3600,
    authenticator="bearer",
    proof=SignedBy("laptop", Signature("key-1", "ES256", "k" * 64)),
    ip="127.0.0.1",
)
ALICE_ID = Identity("laptop", "alice", "coding-bot", "acme", "d" * 32)


def checked(name: str = "read_file", arguments: dict[str, Json] | None = None) -> CheckedCall:
    judged: dict[str, Json] = {"path": "alice/notes.txt"} if arguments is None else arguments
    canonical = canonical_json.encode(judged)
    digest = hashlib.sha256(canonical).hexdigest()
    return CheckedCall(name, judged, canonical, digest, (ResourceRef("File", "alice/notes.txt"),), "c" * 64)


def expired(caller: Caller) -> Caller:
    return replace(caller, expires_at=time.time() - 1)


def fulfils_none(_obligation: str) -> bool:
    """A gate that can do nothing that a permit demands."""
    return False


class NoResolvers:
    """Tools without a lookup of their own."""

    def has_resolver(self, name: str) -> bool:
        return False

    async def resolve(self, identity: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        raise LookupError(call.name)

    async def release(self, resolved: tuple[Resolved, ...]) -> None:
        return None
