"""The contract's three questions. A denial is an answer; any status but OK is no decision at all."""

from __future__ import annotations

import asyncio
import functools
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeAlias, TypeVar, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract.limits import NONCE_BYTES, check_answer
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp import question as contract
from sallyport.pdp.decider import decide
from sallyport.pdp.inforce import InForce
from sallyport.pdp.model import ErrorCode, Verdict
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.telemetry import Tracing

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_S = TypeVar("_S")
_Q = TypeVar("_Q")
_A = TypeVar("_A")

# Between two runs the loop gets its turn: a batch of 1,024 must not hold up the others' deadlines.
_RUN: Final = 32
_log: Final = structlog.get_logger()


def _guarded(
    method: Callable[[_S, _Q, Context], Awaitable[_A]],
) -> Callable[[_S, _Q, Context], Awaitable[_A]]:
    """An exception that gets out is a status without detail: gRPC would put its text into the status."""

    @functools.wraps(method)
    async def guarded(self: _S, request: _Q, context: Context) -> _A:
        try:
            return await method(self, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 — any exception is no decision, and so a denial
            _log.error("question not answered", **_without_values(error))
            await _abort(context, grpc.StatusCode.INTERNAL)

    return guarded


class AuthorizationService(rpc.AuthorizationServiceServicer):
    """Every method checks the seal first; who has no hop key learns nothing, not even what was wrong."""

    def __init__(self, in_force: InForce, key: HopKey, tracing: Tracing, *, seconds: float) -> None:
        """`seconds` is the most that one question may take, whatever deadline the asker sets."""
        self._in_force = in_force
        self._key = key
        self._tracing = tracing
        self._seconds = seconds

    @_guarded
    async def Evaluate(self, request: pb.EvaluateRequest, context: Context) -> pb.EvaluateResponse:  # noqa: N802 — gRPC
        deadline = self._deadline(context)
        await self._open(context, request, Label.EVALUATE_QUESTION, request.question, request.mac)
        answer = await self._answer(context, request.question, deadline, batch=False)
        return pb.EvaluateResponse(answer=answer, mac=self._key.seal(Label.EVALUATE_ANSWER, answer))

    @_guarded
    async def EvaluateBatch(self, request: pb.EvaluateBatchRequest, context: Context) -> pb.EvaluateBatchResponse:  # noqa: N802 — gRPC
        deadline = self._deadline(context)
        await self._open(context, request, Label.BATCH_QUESTION, request.question, request.mac)
        answer = await self._answer(context, request.question, deadline, batch=True)
        return pb.EvaluateBatchResponse(answer=answer, mac=self._key.seal(Label.BATCH_ANSWER, answer))

    @_guarded
    async def GetRevision(self, request: pb.GetRevisionRequest, context: Context) -> pb.GetRevisionResponse:  # noqa: N802 — gRPC
        await self._open(context, request, Label.REVISION_QUESTION, request.nonce, request.mac)
        if len(request.nonce) != NONCE_BYTES:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT)
        answer = self._in_force.revision_answer(request.nonce).SerializeToString()
        return pb.GetRevisionResponse(answer=answer, mac=self._key.seal(Label.REVISION_ANSWER, answer))

    def _deadline(self, context: Context) -> float:
        """On the monotonic clock: the asker's deadline or our own, whichever comes first."""
        remaining = cast("float | None", context.time_remaining())  # None without a deadline; the stubs don't say so
        return time.monotonic() + (self._seconds if remaining is None else min(self._seconds, remaining))

    async def _open(self, context: Context, request: Message, label: Label, payload: bytes, mac: bytes) -> None:
        if len(UnknownFieldSet(request)) or not self._key.open(label, payload, mac):
            await _abort(context, grpc.StatusCode.UNAUTHENTICATED)

    async def _answer(self, context: Context, payload: bytes, deadline: float, *, batch: bool) -> bytes:
        # One snapshot for the whole question: verdicts, revision and catalog belong together.
        snapshot = self._in_force.snapshot
        envelope = contract.read(payload, batch=batch)
        if envelope is None:
            _log.warning("question without a decision id refused")
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT)
        with self._tracing.span("pdp.evaluate", envelope.traceparent):
            verdicts = await self._verdicts(snapshot, envelope, deadline)
        answer = contract.answer(envelope, payload, verdicts, snapshot)
        wrong = check_answer(answer)
        if wrong is not None:
            _log.error("answer over a limit", decision_id=envelope.decision_id, why=wrong)
            await _abort(context, grpc.StatusCode.INTERNAL)
        if time.monotonic() >= deadline:
            # Whoever asked has given up, so a permit would be one that nobody waits for.
            await _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED)
        return answer.SerializeToString()

    async def _verdicts(
        self, snapshot: Snapshot | None, envelope: contract.Envelope, deadline: float
    ) -> tuple[Verdict, ...]:
        if isinstance(envelope.asked, str):
            _log.warning("question refused", decision_id=envelope.decision_id, why=envelope.asked)
            return contract.denied(envelope, ErrorCode.INVALID_QUESTION)
        try:
            return await _judge(snapshot, envelope.asked, deadline)
        except Exception as error:  # noqa: BLE001 — any exception is a denial
            _log.error("question denied", decision_id=envelope.decision_id, **_without_values(error))
            return contract.denied(envelope, ErrorCode.INTERNAL)


async def _judge(snapshot: Snapshot | None, asked: contract.Asked, deadline: float) -> tuple[Verdict, ...]:
    now = datetime.now(UTC)
    verdicts: list[Verdict] = []
    for start in range(0, len(asked.queries), _RUN):
        if start:
            await asyncio.sleep(0)
        if time.monotonic() >= deadline:
            raise TimeoutError
        run = asked.queries[start : start + _RUN]
        verdicts += decide(snapshot, asked.principal, run, asked.purpose, catalog_digest=asked.catalog_digest, now=now)
    if len(verdicts) != len(asked.queries):
        raise RuntimeError("another number of verdicts than of questions")
    return tuple(verdicts)


async def _abort(context: Context, code: grpc.StatusCode) -> NoReturn:
    """No detail: what was wrong is for our log."""
    await context.abort(code)
    raise RuntimeError("abort returned")


def _without_values(error: Exception) -> dict[str, str]:
    """The kind and the place of an error; its text may hold an argument's value."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "where": f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""}
