"""One judged request on its way to an upstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sallyport.pep.model import Envelope, Identity


@dataclass(frozen=True, slots=True)
class Forward:
    """What goes out, and for whom. Nothing of it but `params` and the capabilities is the client's."""

    method: str
    name: str  # what Mcp-Name repeats: the tool's or prompt's name there, or the resource's URI; empty if none
    params: bytes  # a canonical JSON object (RFC 8785) without _meta: what was judged, sent as it is (N11)
    envelope: Envelope | None  # of the caller's request; None: the gate asks for itself
    identity: Identity | None
    digest: str  # of what was judged, for the assertion
    timeout_ms: int
    timeout_by: str = field(default="", kw_only=True)  # the setting that it is by, for the record
    result_bytes: int  # cap of the whole answer
    definitions: bool = False  # the gate's own question for what an approval holds on to: see `incoming.listed`
    received: Callable[[int], None] | None = None  # is told how many bytes came for it, whatever they were
    param_headers: tuple[tuple[str, str], ...] = ()  # Mcp-Param-* of the tool's x-mcp-header, already encoded
