"""Rooms 6 and 9: what is recorded of a request, and when it must be durable.

An intent, and a refusal of an authenticated caller, is durable before these return. Refusals before authentication come
from a budget of their own, so that a flood can't fill the disk. Arguments stand in the record as keyed hashes only.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, Final

import structlog

from sallyport.audit.errors import AuditUnavailable, RecordRefused
from sallyport.audit.flood import Budget
from sallyport.audit.ledger import Receipt
from sallyport.audit.masker import Masker
from sallyport.audit.record import clean
from sallyport.audit.signer import Signer
from sallyport.audit.writer import Writer
from sallyport.pep import VERSION
from sallyport.pep.model import CheckedCall, ResourceRef
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.settings import Audit
from sallyport.pep.trail import Trail
from sallyport.runtime import canonical_json
from sallyport.runtime.ending import opened

__all__ = ["AuditUnavailable", "Outcome", "Recorder", "open_stream"]

_MAX_PROBLEMS: Final = 32
_MAX_PROBLEM: Final = 512  # characters
Fields = dict[str, Any]
_log: Final = structlog.get_logger()


class Outcome(StrEnum):
    """How an intent ended."""

    DONE = "done"
    FAILED = "failed"
    WITHHELD = "withheld"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Recorder:
    """The room's door: the pipeline's values in, the audit stream's records out."""

    def __init__(self, writer: Writer, masker: Masker, budget: Budget) -> None:
        self._writer = writer
        self._masker = masker
        self._budget = budget

    async def intent(self, trail: Trail, call: CheckedCall, resources: Sequence[ResourceRef]) -> None:
        """Durable when this returns; raises AuditUnavailable."""
        fields = _who(trail) | _decided(trail, "permit")
        fields["resources"] = [f"{ref.type}::{ref.id}" for ref in resources]
        fields["catalog_digest"] = call.catalog_digest
        fields["request_hmac"] = self._masker.request(b"\0".join((call.action.encode(), call.canonical)))
        if call.retry:  # runs with the call, and is no argument that a policy sees
            fields["retry_hmac"] = self._masker.request(canonical_json.encode(dict(call.retry)))
        fields["arguments"] = self._masker.arguments(call.arguments)
        await self._writer.record("intent", fields)

    async def begun(self, trail: Trail, catalog_digest: str) -> None:
        """The intent of a listing for which others are asked; durable when this returns. An outcome has to follow."""
        fields = _who(trail) | _decided(trail, "permit") | {"catalog_digest": catalog_digest}
        written = self._writer.record("intent", fields)
        trail.recorded = True
        await written

    async def listing(self, trail: Trail, catalog_digest: str, shown: int, what: str = "tools") -> None:
        """A listing has no effect but its answer: intent and outcome in one go; the intent durable when this returns."""
        fields = _who(trail) | _decided(trail, "permit") | {"catalog_digest": catalog_digest}
        written = self._writer.record("intent", fields)
        # Handed over before anything can be thrown in between: no intent may stay without its outcome.
        trail.recorded = True
        self.outcome(trail, Outcome.DONE, f"{shown} {what} shown")
        await written

    def outcome(self, trail: Trail, outcome: Outcome, detail: str) -> None:
        """Handed over, not awaited: durable within the next group commit. What can't be written is an alarm."""
        fields: Fields = {"decision_id": trail.decision_id, "outcome": outcome.value}
        if detail:
            fields["detail"] = detail
        self._writer.append("outcome", fields).add_done_callback(_alarm)

    async def refusal(self, trail: Trail, refused: Refusal) -> None:
        """Durable when this returns if the caller is known; raises AuditUnavailable."""
        if trail.caller is None:
            trail.recorded = True
            self.turned_away(refused.reason, refused.detail, trail.peer.address, trail.decision_id)
            return
        fields = _who(trail) | _decided(trail, "deny")
        fields["reason"], fields["detail"] = refused.reason.value, refused.detail
        touched = trail.call.resources if trail.call is not None else trail.named
        if touched:
            fields["resources"] = [f"{ref.type}::{ref.id}" for ref in touched]
        written = self._writer.record("refusal", fields)
        trail.recorded = True  # queued: a client that hangs up now changes nothing about it
        await written

    def turned_away(self, reason: Reason, detail: str, address: str, decision_id: str = "") -> None:
        """A refusal of a stranger: from a budget of its own, one by one at first, then summed up."""
        fields = {"detail": detail} | ({"decision_id": decision_id} if decision_id else {})
        self._budget.refuse(reason.value, address, fields)

    def refused_tools(self, catalog_digest: str, problems: Sequence[str]) -> None:
        """Tools of the catalog in force that can't be served. Not awaited: it concerns no call, and loses none."""
        told = [clean(problem, _MAX_PROBLEM) for problem in problems[:_MAX_PROBLEMS]]
        fields = {"catalog_digest": catalog_digest, "not_served": told, "problem_count": len(problems)}
        try:
            self._writer.append("policy", fields).add_done_callback(_alarm)
        except (AuditUnavailable, RecordRefused) as error:
            _log.error("a refused tool couldn't be recorded", error=type(error).__name__)

    def quarantined(self, names: Mapping[str, str]) -> None:
        """What is neither listed nor callable from now on, since its definition isn't the approved one. Not awaited."""
        told = [clean(f"{name}: {why}", _MAX_PROBLEM) for name, why in sorted(names.items())[:_MAX_PROBLEMS]]
        try:
            fields: Fields = {"quarantined": told, "quarantined_count": len(names)}
            self._writer.append("policy", fields).add_done_callback(_alarm)
        except (AuditUnavailable, RecordRefused) as error:
            _log.error("a quarantine couldn't be recorded", error=type(error).__name__)

    def lost(self, reason: Reason) -> None:
        """Count a refusal that couldn't even be handed over: the next `gap` tells."""
        self._writer.count_lost(f"refusal:{reason.value}")

    def failure(self) -> str:
        """Why the stream can't be written, or empty."""
        return self._writer.failure


@asynccontextmanager
async def open_stream(settings: Audit) -> AsyncIterator[Recorder]:
    """A new stream for this process, accounting for the ones before it; closed and signed on leaving."""
    signer, masker = Signer.from_file(settings.signing_key), Masker.from_file(settings.masking_key)
    open_ = functools.partial(Writer.open, settings.directory, "pep", signer, version=VERSION)
    writer = await opened(open_, Writer.close)
    try:
        yield Recorder(writer, masker, Budget(writer))
    finally:
        await asyncio.to_thread(writer.close)


def _who(trail: Trail) -> Fields:
    fields: Fields = {"decision_id": trail.decision_id, "client": trail.peer.address, "method": trail.method}
    if trail.tool:
        fields["tool"] = trail.tool
    if trail.traceparent:
        fields["traceparent"] = trail.traceparent
    caller = trail.caller
    if caller is not None:
        fields |= {
            "issuer": caller.issuer,
            "user": caller.user,
            "agent": caller.agent,
            "org": caller.org,
            "compound_id": caller.compound_id,
            "token_id": caller.token_id,
            "authenticator": caller.authenticator,
        }
    return fields


def _decided(trail: Trail, effect: str) -> Fields:
    return {
        "effect": effect,
        "reasons": list(trail.policy_reasons),
        "errors": list(trail.policy_errors),
        "revision": trail.revision,
    }


def _alarm(written: Future[Receipt]) -> None:
    if written.exception() is not None:
        _log.error("an outcome couldn't be recorded", error=type(written.exception()).__name__)
