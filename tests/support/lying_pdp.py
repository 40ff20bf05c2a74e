"""An opponent on the PDP's port: it may hold the hop key and still lie, or not hold it and try."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract.seal import HopKey, Label

REVISION = "a" * 64
Told = Callable[[pb.CatalogQuestion, pb.CatalogAnswer], Awaitable[bytes | None]]
Lie = Callable[[pb.Question, pb.Answer], Awaitable[bytes | None]]


def honest_permit(question: pb.Question, payload: bytes, catalog_digest: str) -> pb.Answer:
    """What a PDP that permits everything would say."""
    return pb.Answer(
        decision_id=question.decision_id,
        revision=REVISION,
        question_sha256=hashlib.sha256(payload).digest(),
        catalog_digest=catalog_digest,
        results=[pb.Result(effect=pb.EFFECT_PERMIT, reasons=["opponent"]) for _ in question.evaluations],
    )


async def tell_the_truth(_question: pb.Question, answer: pb.Answer) -> bytes | None:
    return answer.SerializeToString()


async def tell_the_catalog(_question: pb.CatalogQuestion, answer: pb.CatalogAnswer) -> bytes | None:
    return answer.SerializeToString()


class LyingPdp(rpc.AuthorizationServiceServicer):
    """Answers each question with whatever `lie` makes of the honest permit; None hangs until cancelled."""

    def __init__(self, key: HopKey, catalog_digest: str = "c" * 64) -> None:
        self.key = key
        self.catalog_digest = catalog_digest
        self.lie: Lie = tell_the_truth
        self.asked: list[pb.Question] = []
        self.mac: bytes | None = None  # instead of the right seal
        self.nonce: bytes | None = None  # instead of the one asked with
        self.ready, self.revision = True, REVISION
        self.problems: tuple[str, ...] = ()
        self.catalogs: dict[str, bytes] = {}  # by digest
        self.tell: Told = tell_the_catalog
        self.fetched: list[str] = []

    async def Evaluate(self, request: pb.EvaluateRequest, context: Any) -> pb.EvaluateResponse:
        answer = await self._answer(request.question)
        return pb.EvaluateResponse(answer=answer, mac=self._seal(Label.EVALUATE_ANSWER, answer))

    async def EvaluateBatch(self, request: pb.EvaluateBatchRequest, context: Any) -> pb.EvaluateBatchResponse:
        answer = await self._answer(request.question)
        return pb.EvaluateBatchResponse(answer=answer, mac=self._seal(Label.BATCH_ANSWER, answer))

    async def GetRevision(self, request: pb.GetRevisionRequest, context: Any) -> pb.GetRevisionResponse:
        told = pb.RevisionAnswer(
            nonce=self.nonce or request.nonce,
            ready=self.ready,
            revision=self.revision,
            catalog_digest=self.catalog_digest,
            problems=self.problems,
        ).SerializeToString()
        return pb.GetRevisionResponse(answer=told, mac=self.key.seal(Label.REVISION_ANSWER, told))

    async def GetCatalog(self, request: pb.GetCatalogRequest, context: Any) -> pb.GetCatalogResponse:
        question = pb.CatalogQuestion.FromString(request.question)
        self.fetched.append(question.catalog_digest)
        held = self.catalogs.get(question.catalog_digest, b"")
        told = await self.tell(question, pb.CatalogAnswer(nonce=self.nonce or question.nonce, catalog=held))
        if told is None:
            await asyncio.Event().wait()
        return pb.GetCatalogResponse(answer=told or b"", mac=self._seal(Label.CATALOG_ANSWER, told or b""))

    async def Reload(self, request: pb.ReloadRequest, context: Any) -> pb.ReloadResponse:
        """It reloads for nobody."""
        return pb.ReloadResponse()

    def _seal(self, label: Label, answer: bytes) -> bytes:
        return self.key.seal(label, answer) if self.mac is None else self.mac

    async def _answer(self, payload: bytes) -> bytes:
        question = pb.Question.FromString(payload)
        self.asked.append(question)
        told = await self.lie(question, honest_permit(question, payload, self.catalog_digest))
        if told is None:
            await asyncio.Event().wait()
        return told or b""


@asynccontextmanager
async def listening(pdp: LyingPdp, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serve it; yields host:port."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)))
    rpc.add_AuthorizationServiceServicer_to_server(pdp, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
