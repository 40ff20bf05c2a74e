"""subscriptions/listen: one long answer. The gate itself tells of lists; updates of resources come from upstreams.

Each frame is sent only while token and policies still permit it (N28), and tagged with the id of the request that asked
for it, so that nobody's frames are taken for another's (N1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sallyport.pep import VERSION, answers
from sallyport.pep.again import Again
from sallyport.pep.asked import Asked
from sallyport.pep.audit import AuditUnavailable, Outcome
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.changes import Changes
from sallyport.pep.decision import Denied, Mismatch
from sallyport.pep.lists import Lists
from sallyport.pep.model import Answer, Emit, Listen, ResourceRef
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import results
from sallyport.pep.seats import Seats
from sallyport.pep.standing import Believed, Revoked, Unanswered
from sallyport.pep.subscription import SUBSCRIPTION_ID, Stream
from sallyport.pep.trail import leaves
from sallyport.pep.upstream import Upstreams


@dataclass(frozen=True, slots=True)
class Listening:
    lists: Lists
    again: Again
    seats: Seats
    changes: Changes
    upstreams: Upstreams
    stopping: asyncio.Event
    revision: Callable[[], str]  # of the policy set in force; empty: unknown
    known: Callable[[], LoadedCatalog | None]  # the catalog in force
    believed: Believed

    async def listen(self, message: Listen, asked: Asked, emit: Emit) -> Answer | Refusal | Denied | Mismatch:
        """Ends when the client goes, the token or its key does, a policy says no, or the gate stops."""
        full = self.seats.none_left(asked.caller)
        if full:
            return Refusal(Reason.OVERLOADED, f"no stream left: {full}", public=full)
        with self.seats.one(asked.caller):
            refused = await self.lists.permitted(message, asked)
            if refused is not None:
                return refused
            refs = [ResourceRef("McpResource", uri) for uri in message.uris]
            may = await self.lists.may("resources/subscribe", refs, asked)
            if not isinstance(may, frozenset):
                return may
            uris = tuple(ref.id for ref in refs if ref in may and asked.view.catalog.resource(ref.id) is not None)
            ended = await self._recorded(Stream(self, message, asked, emit, uris), asked)
        return ended or answers.result(message, results.ended(message.envelope.id, SUBSCRIPTION_ID, VERSION))

    async def _recorded(self, stream: Stream, asked: Asked) -> Refusal | None:
        """The intent before the first frame, the outcome once the last has left: None at the gate's own stop."""
        trail, recorder = asked.trail, self.lists.recorder
        told = Outcome.CANCELLED, "the client went"
        try:
            await recorder.begun(trail, asked.digest)
            await stream.run()
            told = Outcome.DONE, "the gate stops"
        except AuditUnavailable as error:
            told = Outcome.FAILED, ""
            return Refusal(Reason.AUDIT_UNAVAILABLE, str(error))
        except Revoked as error:
            told = Outcome.CANCELLED, f"revoked: {error}"
            return Refusal(Reason.REVOKED, str(error))
        except Unanswered as error:
            told = Outcome.FAILED, str(error)
            return Refusal(Reason.NO_DECISION, str(error))
        except BaseException as error:
            if not leaves(error):
                first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
                told = Outcome.FAILED, f"broke: {type(first).__name__}"
            raise
        finally:
            if trail.recorded and told[1]:
                recorder.outcome(trail, told[0], f"{stream.followed} resources followed; {told[1]}")
        return None
