"""mTLS as a precondition: which peers may try to name a caller."""

from __future__ import annotations

from sallyport.pep.authn.evidence import Rejected
from sallyport.pep.model import Peer
from sallyport.pep.settings import Orchestrator, Tls
from sallyport.runtime.peer_names import find


class Precondition:
    """mTLS makes no caller: it only decides which peers may try to name one."""

    def __init__(self, tls: Tls) -> None:
        self._required = tls.client_certificate == "required"
        self._orchestrators = tls.orchestrators

    def admit(self, peer: Peer, now: float) -> Orchestrator | None:
        """The listed orchestrator that this peer is, None for a peer that needs to be none; raises Rejected."""
        if peer.certificate is None or not peer.secure:
            if self._required:
                raise Rejected("no client certificate, and one is required")
            return None
        found = find(peer.certificate, self._orchestrators, now)
        if found is None and self._orchestrators:
            raise Rejected("the client certificate names no listed orchestrator")
        return found
