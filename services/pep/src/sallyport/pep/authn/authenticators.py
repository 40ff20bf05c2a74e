"""Exactly one way names the caller: two at once, or one that is present but invalid, is refused; nothing falls through."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sallyport.pep.authn import fields, forwarded, well_known
from sallyport.pep.authn.bearer import Bearer, OnDroppedRoles
from sallyport.pep.authn.certificate import Precondition
from sallyport.pep.authn.evidence import Rejected
from sallyport.pep.authn.fields import Fields
from sallyport.pep.authn.forwarded import Forwarded
from sallyport.pep.authn.jwks import KeySet
from sallyport.pep.model import Caller, Json, Proof, Request, SignedBy, VouchedFor
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.settings import ForwardIdentity, PepSettings
from sallyport.runtime.followed import Followed


@dataclass(frozen=True, slots=True)
class TokenRefused(Refusal):
    """Unauthenticated although a token was there: the challenge says invalid_token then (RFC 6750 §3.1)."""


class Authenticators:
    """No request does I/O, since others watch the key files; every request costs bounded work before a signature is checked."""

    def __init__(self, settings: PepSettings, clock: Callable[[], float], on_dropped_roles: OnDroppedRoles) -> None:
        self._settings = settings
        self._clock = clock
        self._precondition = Precondition(settings.tls)
        self._bearer = Bearer(settings, on_dropped_roles)
        self._forwarded = Forwarded(on_dropped_roles)

    @property
    def keys(self) -> tuple[Followed[KeySet], ...]:
        """What of it is in files, and may be replaced there: the token issuers' keys."""
        return self._bearer.keys

    def identify(self, request: Request) -> Caller | Refusal:
        """Who asks. A refusal's detail says why, for the record; it holds nothing of what was presented."""
        present = any(name.lower() == b"authorization" for name, _ in request.headers)
        try:
            return self._identify(request, self._clock())
        except Rejected as why:
            kind = TokenRefused if present else Refusal
            return kind(Reason.UNAUTHENTICATED, str(why))

    def still(self, proof: Proof) -> bool:
        """Whether what a caller came by would be believed now. By value and from memory: streams ask before each frame."""
        match proof:
            case SignedBy():
                return self._bearer.still(proof)
            case VouchedFor():  # the settings name it for as long as we run, and a client CA that goes ends connections
                return True

    def challenge(self, refused: Refusal, server: str = "") -> str:
        """The WWW-Authenticate value that goes with a refusal."""
        resource = well_known.resource(self._settings, server)
        if refused.reason is Reason.INSUFFICIENT_SCOPE:
            return well_known.step_up(resource, str(refused.data["scope"]))
        return well_known.challenge(resource, error="invalid_token" if isinstance(refused, TokenRefused) else "")

    def metadata(self, server: str = "") -> dict[str, Json]:
        """RFC 9728 protected resource metadata, of the whole gate or of one named set."""
        return well_known.metadata(self._settings, server)

    def _identify(self, request: Request, now: float) -> Caller:
        orchestrator = self._precondition.admit(request.peer, now)
        given = Fields(request.headers)
        named = orchestrator.forward_identity if orchestrator else None
        if named is None and given.has(*fields.NAMING, fields.RISK):
            raise Rejected("identity headers from a peer that is not named for them")
        caller = self._one_way(request, given, named, now)
        return forwarded.with_facts(caller, given, named) if named and _speaks(caller, given) else caller

    def _one_way(self, request: Request, given: Fields, named: ForwardIdentity | None, now: float) -> Caller:
        authorization = given.one(fields.AUTHORIZATION)
        forwards = given.has(*fields.NAMING)
        if authorization is not None and forwards:
            raise Rejected("two ways to name the caller at once")
        if authorization is not None:
            return self._bearer.identify(authorization, request.peer, now, request.server)
        if named is not None and forwards:
            return self._forwarded.identify(given, named, request.peer, now)
        raise Rejected("nothing names the caller")


def build(
    settings: PepSettings,
    clock: Callable[[], float] = time.time,
    *,
    on_dropped_roles: OnDroppedRoles = lambda _issuer, _count: None,
) -> Authenticators:
    """Load and check every key. `clock` is the wall's, in seconds. Raises ConfigError where a JWKS can't be used."""
    return Authenticators(settings, clock, on_dropped_roles)


def _speaks(caller: Caller, given: Fields) -> bool:
    """Whether anything here rests on the orchestrator's word."""
    return caller.authenticator == "forwarded" or given.has(fields.RISK, fields.FORWARDED_FOR)
