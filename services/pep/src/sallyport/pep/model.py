"""The frozen values that pass between the rooms; nothing else is shared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

from sallyport.runtime import canonical_json

Json: TypeAlias = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
SCOPE_TOKEN: Final = re.compile(r"[!#-\[\]-~]{1,128}")  # RFC 6749 §3.3: no quote, no backslash, no blank


class Era(StrEnum):
    """The two protocol revisions that are spoken; both without sessions."""

    MODERN = "2026-07-28"
    LEGACY = "2025-11-25"


@dataclass(frozen=True, slots=True)
class Peer:
    """What the socket itself proves: an address and, over mTLS, a verified certificate."""

    address: str  # textual IP address, never taken from a header
    certificate: bytes | None = None  # DER of the verified client certificate
    secure: bool = True  # TLS


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to /mcp as room 0 hands it on: complete, within every limit, not yet believed."""

    peer: Peer
    method: str
    headers: tuple[tuple[bytes, bytes], ...]  # names lower-case, in order of arrival
    body: bytes
    server: str = ""  # the named set of /mcp/NAME; empty: all of the catalog
    streams: bool = True  # the client reads text/event-stream


@dataclass(frozen=True, slots=True)
class Signature:
    """One that verified, by the key that it was made with."""

    kid: str | None  # as the token had it
    algorithm: str
    key: str  # SHA-256 of the public key


@dataclass(frozen=True, slots=True)
class SignedBy:
    """What made a caller believable: a token's signature. Whether that is still so, only authn can say."""

    issuer: str  # the configured name
    signature: Signature


@dataclass(frozen=True, slots=True)
class VouchedFor:
    """The same: the word of an orchestrator, which the settings alone make believable."""

    issuer: str


Proof: TypeAlias = SignedBy | VouchedFor


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from verified facts only: a user via an agent, in an org."""

    issuer: str  # the issuer's configured name
    user: str  # the token's sub
    agent: str
    org: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    token_id: str  # jti, or a digest of the token where it has none
    expires_at: float  # seconds since the epoch; nothing runs after it
    authenticator: str  # "bearer" or "forwarded"
    proof: Proof
    ip: str | None = None
    risk: int | None = None  # 0 to 100
    mfa_at: float | None = None  # seconds since the epoch

    @property
    def compound_id(self) -> str:
        return f"{self.user} via {self.agent}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every message has: its id (None for a notification), era, and trace context."""

    id: str | int | None
    era: Era
    version: str  # the protocol version to answer in
    method: str
    traceparent: str = ""  # W3C, 55 characters, or empty
    capabilities: Mapping[str, Json] = field(default_factory=dict)  # the client's own; a legacy one's are unknown: none
    log_level: str = ""  # empty: no notifications/message on this request's stream
    progress_token: str | int | None = None  # none: no notifications/progress


@dataclass(frozen=True, slots=True)
class Initialize:
    envelope: Envelope
    requested_version: str


@dataclass(frozen=True, slots=True)
class Discover:
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Ping:
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Notification:
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Cancel:
    """notifications/cancelled: the answer to an earlier request is no longer wanted."""

    envelope: Envelope
    request_id: str | int


@dataclass(frozen=True, slots=True)
class ListTools:
    envelope: Envelope
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Modern: what a client brings where a first answer was `input_required` (multi round-trip requests)."""

    responses: Mapping[str, Json]  # inputResponses, by the keys of inputRequests
    state: str  # requestState as we gave it out: sealed; empty if there was none


@dataclass(frozen=True, slots=True)
class CallTool:
    envelope: Envelope
    name: str
    arguments: Mapping[str, Json]
    retry: Retry | None = None
    mirrored: Mapping[str, str] = field(default_factory=dict)  # Mcp-Param-* by what stands behind it, in lower case


@dataclass(frozen=True, slots=True)
class ListPrompts:
    envelope: Envelope
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class GetPrompt:
    envelope: Envelope
    name: str
    arguments: Mapping[str, Json]
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class ListResources:
    envelope: Envelope
    cursor: str | None = None
    templates: bool = False  # resources/templates/list


@dataclass(frozen=True, slots=True)
class ReadResource:
    envelope: Envelope
    uri: str
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Legacy: resources/subscribe."""

    envelope: Envelope
    uri: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Legacy: resources/unsubscribe."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Complete:
    """completion/complete, for an argument of a prompt or a variable of a resource template: one of the two is given."""

    envelope: Envelope
    prompt: str
    template: str
    argument: Mapping[str, Json]  # name and value
    context: Mapping[str, Json]  # arguments given so far


@dataclass(frozen=True, slots=True)
class SetLevel:
    """Legacy: logging/setLevel. Nothing outlives a request here, so nothing is set by it."""

    envelope: Envelope
    level: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Modern: subscriptions/listen, one long answer."""

    envelope: Envelope
    tools: bool
    prompts: bool
    resources: bool
    uris: tuple[str, ...]  # resources whose updates are wanted


@dataclass(frozen=True, slots=True)
class AboutTask:
    """tasks/get, tasks/update and tasks/cancel (extension)."""

    envelope: Envelope
    task: str  # as we gave it out: sealed
    responses: Mapping[str, Json] = field(default_factory=dict)  # of tasks/update


Message: TypeAlias = (
    Initialize
    | Discover
    | Ping
    | Notification
    | Cancel
    | ListTools
    | CallTool
    | ListPrompts
    | GetPrompt
    | ListResources
    | ReadResource
    | Subscribe
    | Unsubscribe
    | Complete
    | SetLevel
    | Listen
    | AboutTask
)


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """What a call touches, as the catalog's pointers find it in the validated arguments."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A request whose arguments fit: what is judged, and to the byte what runs."""

    name: str  # a tool's, a prompt's, or a resource's URI
    arguments: Mapping[str, Json]  # defaults filled in, integral numbers made integers
    canonical: bytes  # the same, RFC 8785
    digest: str  # SHA-256 of canonical, and of `retry` if there is any; hex
    resources: tuple[ResourceRef, ...]
    catalog_digest: str
    method: str = "tools/call"
    retry: Mapping[str, Json] = field(default_factory=dict)  # inputResponses, and the upstream's own requestState

    @property
    def action(self) -> str:
        """What the PDP knows it by."""
        return self.name if self.method == "tools/call" else self.method


def digest_of(canonical: bytes, retry: Mapping[str, Json]) -> str:
    """What a permit is bound to: the arguments, and what a retried request brings besides."""
    more = b"\0" + canonical_json.encode(dict(retry)) if retry else b""
    return hashlib.sha256(canonical + more).hexdigest()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A resource as a resolver found it, with the handle that the tool must use and nothing else."""

    ref: ResourceRef
    attributes: Mapping[str, Json] = field(default_factory=dict)  # for the PDP; never from the caller
    handle: Any = None  # an open descriptor, a row key and version, …


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A resolver found nothing it may hand over: a denial, and the client doesn't learn why."""

    detail: str


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a tool runs: what a resolver, a tool and everything downstream of it get to know."""

    issuer: str
    user: str
    agent: str
    org: str
    decision_id: str
    traceparent: str = ""

    @property
    def compound_id(self) -> str:
        return f"{self.user} via {self.agent}"


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool gave back, before release: MCP content blocks, and structured content if the tool has any."""

    content: tuple[dict[str, Json], ...]
    structured: dict[str, Json] | None = None
    is_error: bool = False
    meta: Mapping[str, Json] = field(default_factory=dict)  # an upstream's own _meta


@dataclass(frozen=True, slots=True)
class Reply:
    """An upstream's result of any other method, or one that is no tool's output yet: a task, a wish for input."""

    result: Mapping[str, Json]  # without resultType and caching hints: those are ours to say
    type: str = "complete"  # resultType: complete, input_required, task


@dataclass(frozen=True, slots=True)
class Failed:
    """An upstream's own JSON-RPC error: it says so itself, so the effect is known to have failed."""

    code: int
    message: str
    data: Json = None


TIMEOUT: Final = "limits.timeout_ms"  # of a catalog's entry


class TookTooLong(TimeoutError):
    """A limit ended what had begun. `public` goes on from "the tool …"; the text, for the record, names the setting too."""

    def __init__(self, public: str, setting: str) -> None:
        super().__init__(f"{public} ({setting})" if setting else public)
        self.public = public

    @classmethod
    def in_all(cls, timeout_ms: int, setting: str) -> TookTooLong:
        return cls(f"took longer than its limit of {timeout_ms} ms", setting)


Output: TypeAlias = ToolOutput | Reply | Failed


class Emit(Protocol):
    """Sends one notification on the stream of the request that is being answered, as soon as the client takes it."""

    async def __call__(self, method: str, params: Mapping[str, Json]) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP. On a stream that has begun only the body goes, as its last message."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
