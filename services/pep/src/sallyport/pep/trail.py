"""What is known of one request so far: grows room by room, and is all that a refusal needs to be told and recorded."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from sallyport.pep.model import Caller, CallTool, CheckedCall, Era, Message, Peer, ResourceRef


@dataclass(slots=True)
class Trail:
    """One request's way. Mutable, and owned by the pipeline alone."""

    peer: Peer
    server: str = ""  # the named set that was asked; empty: the whole gate
    traceparent: str = ""
    decision_id: str = field(default_factory=lambda: secrets.token_hex(16))
    caller: Caller | None = None
    request_id: str | int | None = None
    era: Era | None = None
    method: str = ""
    tool: str = ""
    message: Message | None = None
    call: CheckedCall | None = None
    named: tuple[ResourceRef, ...] = ()  # what a request that never became a call asked for
    policy_reasons: tuple[str, ...] = ()
    policy_errors: tuple[str, ...] = ()
    revision: str = ""
    recorded: bool = False  # a refusal or an outcome has been handed to the record: nothing else may be told of it
    effect: str = ""  # "none", "done" or "unknown" once an intent has its outcome

    def know(self, message: Message) -> None:
        """Take over what a well-formed message says of itself."""
        envelope = message.envelope
        self.message, self.method = message, envelope.method
        self.request_id, self.era = envelope.id, envelope.era
        self.tool = message.name if isinstance(message, CallTool) else ""
        self.traceparent = envelope.traceparent or self.traceparent

    def note(self, reasons: Iterable[str], *, errors: Iterable[str] = (), revision: str = "") -> None:
        """Take over what the PDP said."""
        self.policy_reasons, self.policy_errors, self.revision = tuple(reasons), tuple(errors), revision


def leaves(error: BaseException) -> bool:
    """Whether it goes on after it was recorded: the process ends, or this very task was told to stop.

    A CancelledError that a room raised by itself is broken machinery like any other.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | SystemExit)
