"""The line to the PDP: gRPC over loopback, sealed both ways, with a deadline that nothing outlives.

Whatever isn't a sealed answer to this very question in time is `NoDecision`, and so a refusal.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract import catalog as catalogs
from sallyport.contract.limits import (
    MAX_BATCH_MESSAGE_BYTES,
    MAX_BATCH_QUESTION_BYTES,
    MAX_QUESTION_BYTES,
    NONCE_BYTES,
    check_answer,
    check_catalog,
    check_question,
    check_revision,
)
from sallyport.contract.seal import HopKeyError, HopKeyFile, Label

# Without these the back-off after a PDP restart grows to minutes; a proxy variable must not move the line.
_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MAX_BATCH_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_BATCH_MESSAGE_BYTES),
)


# More only queue in the PDP, whose places others need too; waiting here counts against the same deadline.
_AT_ONCE: Final = 64

_M = TypeVar("_M", pb.Answer, pb.RevisionAnswer, pb.CatalogAnswer)


class _Sealed(Protocol):
    answer: bytes
    mac: bytes


_Send: TypeAlias = Callable[[bytes, bytes, float], Awaitable[_Sealed]]


class NoDecision(Exception):
    """No usable answer. The text is for the record, never for the client."""


class PdpClient:
    """One channel to one PDP; every method raises NoDecision and nothing else."""

    def __init__(self, address: str, hop_key: HopKeyFile) -> None:
        self._hop_key = hop_key
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._stub = rpc.AuthorizationServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def ask(self, question: pb.Question, *, batch: bool, timeout: float) -> pb.Answer:  # noqa: ASYNC109 — gRPC's own deadline
        """Put one question; the answer has as many results as the question has evaluations."""
        refused = check_question(question, batch=batch)
        if refused is not None:
            raise NoDecision(f"the question isn't one: {refused}")
        payload = question.SerializeToString(deterministic=True)
        if len(payload) > (MAX_BATCH_QUESTION_BYTES if batch else MAX_QUESTION_BYTES):
            raise NoDecision("the question isn't one: too large")
        if batch:
            raw = await self._sealed(self._send_batch, Label.BATCH_QUESTION, Label.BATCH_ANSWER, payload, timeout)
        else:
            raw = await self._sealed(self._send, Label.EVALUATE_QUESTION, Label.EVALUATE_ANSWER, payload, timeout)
        answer = _parse(pb.Answer(), raw)
        _believable(check_answer(answer))
        _check_echo(question, payload, answer)
        return answer

    async def revision(self, *, timeout: float) -> pb.RevisionAnswer:  # noqa: ASYNC109 — gRPC's own deadline
        """Which policy set serves, and which catalog belongs to it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        labels = Label.REVISION_QUESTION, Label.REVISION_ANSWER
        answer = _parse(pb.RevisionAnswer(), await self._sealed(self._send_revision, *labels, nonce, timeout))
        _check_nonce(answer.nonce, nonce)
        _believable(check_revision(answer))
        return answer

    async def catalog(self, wanted: str, *, timeout: float) -> bytes:  # noqa: ASYNC109 — gRPC's own deadline
        """The bytes of the catalog with this digest, which must be the one that the PDP judges by."""
        question = pb.CatalogQuestion(nonce=secrets.token_bytes(NONCE_BYTES), catalog_digest=wanted)
        labels = Label.CATALOG_QUESTION, Label.CATALOG_ANSWER
        payload = question.SerializeToString(deterministic=True)
        answer = _parse(pb.CatalogAnswer(), await self._sealed(self._send_catalog, *labels, payload, timeout))
        _check_nonce(answer.nonce, question.nonce)
        _believable(check_catalog(answer))
        if not answer.catalog:
            raise NoDecision("PDP: another catalog is in force")
        if catalogs.digest(answer.catalog) != wanted:
            raise NoDecision("PDP: these aren't the bytes of the catalog that it names")
        return answer.catalog

    async def _send(self, payload: bytes, mac: bytes, seconds: float) -> _Sealed:
        return await self._stub.Evaluate(pb.EvaluateRequest(question=payload, mac=mac), timeout=seconds)

    async def _send_batch(self, payload: bytes, mac: bytes, seconds: float) -> _Sealed:
        return await self._stub.EvaluateBatch(pb.EvaluateBatchRequest(question=payload, mac=mac), timeout=seconds)

    async def _send_revision(self, payload: bytes, mac: bytes, seconds: float) -> _Sealed:
        return await self._stub.GetRevision(pb.GetRevisionRequest(nonce=payload, mac=mac), timeout=seconds)

    async def _send_catalog(self, payload: bytes, mac: bytes, seconds: float) -> _Sealed:
        return await self._stub.GetCatalog(pb.GetCatalogRequest(question=payload, mac=mac), timeout=seconds)

    async def _sealed(self, send: _Send, asked: Label, answered: Label, payload: bytes, seconds: float) -> bytes:
        if seconds <= 0:
            raise NoDecision("the deadline has passed")
        try:
            key = self._hop_key.current()
            async with asyncio.timeout(seconds), self._places:
                response = await send(payload, key.seal(asked, payload), seconds)
        except grpc.aio.AioRpcError as error:
            raise NoDecision(f"PDP: {error.code().name}") from None
        except TimeoutError:
            raise NoDecision("PDP: no answer before the deadline") from None
        except HopKeyError as error:
            raise NoDecision(str(error)) from None
        if not key.open(answered, response.answer, response.mac):
            raise NoDecision("PDP: the seal is broken")
        return response.answer


def _parse(message: _M, raw: bytes) -> _M:
    try:
        message.ParseFromString(raw)
    except DecodeError:
        raise NoDecision("PDP: unreadable answer") from None
    # Protobuf takes the last of two values and keeps what it doesn't know: such bytes have a second reading.
    if message.SerializeToString(deterministic=True) != raw:
        raise NoDecision("PDP: not the canonical encoding")
    return message


def _believable(wrong: str | None) -> None:
    if wrong is not None:
        raise NoDecision(f"PDP: {wrong}")


def _check_nonce(answered: bytes, asked: bytes) -> None:
    if not hmac.compare_digest(answered, asked):
        raise NoDecision("PDP: the answer is to another question")


def _check_echo(question: pb.Question, payload: bytes, answer: pb.Answer) -> None:
    if not hmac.compare_digest(answer.question_sha256, hashlib.sha256(payload).digest()):
        raise NoDecision("PDP: the answer is to another question")
    if answer.decision_id != question.decision_id:
        raise NoDecision("PDP: the answer names another decision")
    if len(answer.results) != len(question.evaluations):
        raise NoDecision("PDP: the answer has another number of results")
