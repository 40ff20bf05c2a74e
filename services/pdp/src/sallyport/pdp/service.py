"""The PEP's four questions. A denial is an answer; any status but OK is no decision at all."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, cast

import grpc
import structlog
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import NONCE_BYTES, check_answer
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp import decider, nonced
from sallyport.pdp import question as contract
from sallyport.pdp.guard import Context, abort, guarded, without_values
from sallyport.pdp.inforce import InForce
from sallyport.pdp.model import ErrorCode, Verdict
from sallyport.pdp.observer import Decision, Observers
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.strangers import Strangers
from sallyport.runtime.telemetry import Tracing

_RUN_SECONDS: Final = 0.005  # then others get their turn: a batch of 1,024 must not hold up their deadlines
_log: Final = structlog.get_logger()


class AuthorizationService:
    """Every method checks the seal first; who has no hop key learns nothing, not even what was wrong."""

    def __init__(
        self,
        in_force: InForce,
        key: HopKey,
        tracing: Tracing,
        observers: Observers,
        strangers: Strangers,
        *,
        seconds: float,
        failure: Callable[[], str] = str,
    ) -> None:
        """`seconds` is the most that one question may take, whatever deadline the asker sets.

        `failure` tells why nothing can be recorded, or is empty.
        """
        self._in_force = in_force
        self._key = key
        self._tracing = tracing
        self._observers = observers
        self._strangers = strangers
        self._failure = failure
        self._seconds = seconds

    @guarded
    async def Evaluate(self, request: pb.EvaluateRequest, context: Context) -> pb.EvaluateResponse:  # noqa: N802 — gRPC
        deadline = self._deadline(context)
        await self._open(context, request, Label.EVALUATE_QUESTION, request.question, request.mac)
        answer = await self._answer(context, request.question, deadline, batch=False)
        return pb.EvaluateResponse(answer=answer, mac=self._key.seal(Label.EVALUATE_ANSWER, answer))

    @guarded
    async def EvaluateBatch(self, request: pb.EvaluateBatchRequest, context: Context) -> pb.EvaluateBatchResponse:  # noqa: N802 — gRPC
        deadline = self._deadline(context)
        await self._open(context, request, Label.BATCH_QUESTION, request.question, request.mac)
        answer = await self._answer(context, request.question, deadline, batch=True)
        return pb.EvaluateBatchResponse(answer=answer, mac=self._key.seal(Label.BATCH_ANSWER, answer))

    @guarded
    async def GetRevision(self, request: pb.GetRevisionRequest, context: Context) -> pb.GetRevisionResponse:  # noqa: N802 — gRPC
        await self._open(context, request, Label.REVISION_QUESTION, request.nonce, request.mac)
        if len(request.nonce) != NONCE_BYTES:
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT)
        answer = self._in_force.revision_answer(request.nonce, self._failure()).SerializeToString()
        return pb.GetRevisionResponse(answer=answer, mac=self._key.seal(Label.REVISION_ANSWER, answer))

    @guarded
    async def GetCatalog(self, request: pb.GetCatalogRequest, context: Context) -> pb.GetCatalogResponse:  # noqa: N802 — gRPC
        await self._open(context, request, Label.CATALOG_QUESTION, request.question, request.mac)
        question = nonced.read(request.question, pb.CatalogQuestion())
        if question is None:
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT)
        answer = self._in_force.catalog_answer(question).SerializeToString()
        return pb.GetCatalogResponse(answer=answer, mac=self._key.seal(Label.CATALOG_ANSWER, answer))

    def _deadline(self, context: Context) -> float:
        """On the monotonic clock: the asker's deadline or our own, whichever comes first."""
        remaining = cast("float | None", context.time_remaining())  # None without a deadline; the stubs don't say so
        return time.monotonic() + (self._seconds if remaining is None else min(self._seconds, remaining))

    async def _open(self, context: Context, request: Message, label: Label, payload: bytes, mac: bytes) -> None:
        if len(UnknownFieldSet(request)) or not self._key.open(label, payload, mac):
            self._strangers.saw()
            await abort(context, grpc.StatusCode.UNAUTHENTICATED)

    async def _answer(self, context: Context, payload: bytes, deadline: float, *, batch: bool) -> bytes:
        # One snapshot for the whole question: verdicts, revision and catalog belong together.
        snapshot = self._in_force.snapshot
        envelope = contract.read(payload, batch=batch)
        if envelope is None:
            _log.warning("question without a decision id refused")
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT)
        began = time.monotonic()
        with self._tracing.span("pdp.evaluate", envelope.traceparent):
            verdicts = await self._verdicts(snapshot, envelope, deadline)
        seconds = time.monotonic() - began
        answer = contract.answer(envelope, payload, verdicts, snapshot)
        wrong = check_answer(answer)
        if wrong is not None:
            _log.error("answer over a limit", decision_id=envelope.decision_id, why=wrong)
            await abort(context, grpc.StatusCode.INTERNAL)
        if time.monotonic() >= deadline:
            # Whoever asked has given up, so a permit would be one that nobody waits for.
            await abort(context, grpc.StatusCode.DEADLINE_EXCEEDED)
        if not self._told(_decision(envelope, payload, verdicts, snapshot, seconds)):
            answer = contract.answer(envelope, payload, contract.denied(envelope, ErrorCode.INTERNAL), snapshot)
        return answer.SerializeToString()

    def _told(self, decision: Decision) -> bool:
        """What an observer can't take, such as the audit of a full disk, isn't permitted."""
        try:
            self._observers.decided(decision)
        except Exception as error:  # noqa: BLE001 — any exception is a denial
            _log.error("decision not recorded, denied", decision_id=decision.decision_id, **without_values(error))
            return False
        return True

    async def _verdicts(
        self, snapshot: Snapshot | None, envelope: contract.Envelope, deadline: float
    ) -> tuple[Verdict, ...]:
        if isinstance(envelope.asked, str):
            _log.warning("question refused", decision_id=envelope.decision_id, why=envelope.asked)
            return contract.denied(envelope, ErrorCode.INVALID_QUESTION)
        try:
            return await _judge(snapshot, envelope.asked, deadline)
        except Exception as error:  # noqa: BLE001 — any exception is a denial
            _log.error("question denied", decision_id=envelope.decision_id, **without_values(error))
            return contract.denied(envelope, ErrorCode.INTERNAL)


async def _judge(snapshot: Snapshot | None, asked: contract.Asked, deadline: float) -> tuple[Verdict, ...]:
    """The loop gets its turn by time, not by number: one resource may cost a thousand times another one."""
    judged: list[Verdict] = []
    since = time.monotonic()
    for verdict in decider.verdicts(
        snapshot,
        asked.principal,
        asked.queries,
        asked.purpose,
        catalog_digest=asked.catalog_digest,
        now=datetime.now(UTC),
    ):
        judged.append(verdict)
        now = time.monotonic()
        if now >= deadline:
            raise TimeoutError
        if now - since > _RUN_SECONDS:
            await asyncio.sleep(0)
            since = time.monotonic()
    if len(judged) != len(asked.queries):
        raise RuntimeError("another number of verdicts than of questions")
    return tuple(judged)


def _decision(
    envelope: contract.Envelope,
    payload: bytes,
    verdicts: tuple[Verdict, ...],
    snapshot: Snapshot | None,
    seconds: float,
) -> Decision:
    asked = envelope.asked if isinstance(envelope.asked, contract.Asked) else None
    return Decision(
        decision_id=envelope.decision_id,
        source="grpc",
        principal=asked.principal if asked else None,
        purpose=asked.purpose if asked else None,
        queries=asked.queries if asked else (),
        verdicts=verdicts,
        revision=snapshot.revision if snapshot else "",
        question_sha256=hashlib.sha256(payload).digest(),
        seconds=seconds,
        traceparent=envelope.traceparent,
    )
