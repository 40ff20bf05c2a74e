"""`Reload`: the operator's method, under a key of its own. Who lacks the key learns nothing and changes nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import RELOAD_SECONDS
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp import nonced
from sallyport.pdp.guard import Context, abort, guarded
from sallyport.pdp.inforce import InForce, told
from sallyport.pdp.observer import Reloaded
from sallyport.pdp.reload import Reloads
from sallyport.pdp.strangers import Strangers

MARGIN_SECONDS: Final = 30.0  # for reading, building, and an attempt that runs already


class Nonces:
    """Each is taken once, for as long as a question with it may be believed."""

    def __init__(self) -> None:
        self._taken: dict[bytes, float] = {}

    def take(self, nonce: bytes) -> bool:
        now = time.monotonic()
        self._taken = {old: until for old, until in self._taken.items() if until > now}
        if nonce in self._taken:
            return False
        self._taken[nonce] = now + 2 * RELOAD_SECONDS + 1  # a clock may be so far ahead of ours, then behind
        return True


class Operator:
    """Answers once the directory as it stands serves, or is refused."""

    def __init__(
        self, key: HopKey, in_force: InForce, reloads: Reloads, strangers: Strangers, *, seconds: float
    ) -> None:
        """`seconds` is the most that one attempt's check may take."""
        self._key = key
        self._in_force = in_force
        self._reloads = reloads
        self._strangers = strangers
        self._seconds = 2 * seconds + MARGIN_SECONDS
        self._nonces = Nonces()
        self._began = int(time.time())

    @guarded
    async def Reload(self, request: pb.ReloadRequest, context: Context) -> pb.ReloadResponse:  # noqa: N802 — gRPC
        if len(UnknownFieldSet(request)) or not self._key.open(Label.RELOAD_QUESTION, request.question, request.mac):
            self._strangers.saw()
            await abort(context, grpc.StatusCode.UNAUTHENTICATED)
        question = nonced.read(request.question, pb.ReloadQuestion())
        if question is None or not self._is_fresh(question):
            await abort(context, grpc.StatusCode.UNAUTHENTICATED)
        try:
            async with asyncio.timeout(self._seconds):
                event = await self._reloads.now("operator")
        except TimeoutError:
            await abort(context, grpc.StatusCode.DEADLINE_EXCEEDED)
        answer = self._answer(question, event).SerializeToString()
        return pb.ReloadResponse(answer=answer, mac=self._key.seal(Label.RELOAD_ANSWER, answer))

    def _is_fresh(self, question: pb.ReloadQuestion) -> bool:
        # The nonces of an earlier process are forgotten, so its questions aren't believed.
        near = abs(time.time() - question.issued_at) <= RELOAD_SECONDS and question.issued_at >= self._began
        return near and self._nonces.take(question.nonce)

    def _answer(self, question: pb.ReloadQuestion, event: Reloaded) -> pb.ReloadAnswer:
        # Another set may serve by now: told is what this attempt left in force.
        snapshot = self._in_force.snapshot
        same = snapshot is not None and snapshot.revision == event.in_force
        return pb.ReloadAnswer(
            nonce=question.nonce,
            loaded=event.serves,
            revision=event.in_force,
            catalog_digest=snapshot.catalog_digest if snapshot and same else "",
            problems=told(event.problems),
        )
