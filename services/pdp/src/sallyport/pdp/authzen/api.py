"""The endpoints. A denial is 200 with `decision: false`; any other status is no decision at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from sallyport.pdp.authzen import answer
from sallyport.pdp.authzen import request as reading
from sallyport.pdp.authzen.mapping import Questions, Unasked
from sallyport.pdp.authzen.request import Batch, Evaluation, Malformed
from sallyport.pdp.authzen.settings import Authzen, Client
from sallyport.pdp.decider import decide
from sallyport.pdp.guard import without_values
from sallyport.pdp.http import Answer, Refused, Request, Routes
from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Verdict
from sallyport.pdp.observer import Decision, Observers
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import peer_names
from sallyport.runtime.telemetry import Tracing, valid_traceparent

EVALUATION: Final = "/access/v1/evaluation"
EVALUATIONS: Final = "/access/v1/evaluations"
DISCOVERY: Final = "/.well-known/authzen-configuration"
_JSON: Final = "application/json"
_TURN: Final = 0.003  # seconds; then the loop gets its turn, so that no batch holds up the PEP's questions
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Asker:
    """One request: who sent it, and what all its evaluations share."""

    client: Client
    questions: Questions
    snapshot: Snapshot | None  # one for the whole request
    body_sha256: bytes
    traceparent: str
    now: datetime
    deadline: float  # on the monotonic clock


class Api:
    def __init__(
        self,
        settings: Authzen,
        snapshot: Callable[[], Snapshot | None],
        observers: Observers,
        tracing: Tracing,
        *,
        seconds: float,
    ) -> None:
        """`seconds` is the most that judging one request may take."""
        self._settings, self._snapshot, self._observers = settings, snapshot, observers
        self._tracing, self._seconds = tracing, seconds
        self._turn = asyncio.Lock()  # many batches together take no more of a turn of the loop than one

    @property
    def routes(self) -> Routes:
        return {
            EVALUATION: {"POST": self._evaluation},
            EVALUATIONS: {"POST": self._evaluations},
            DISCOVERY: {"GET": self._discovery},
        }

    async def _evaluation(self, request: Request) -> Answer:
        return await self._answer(request, reading.single)

    async def _evaluations(self, request: Request) -> Answer:
        return await self._answer(request, lambda body: reading.batch(body, self._settings.evaluations))

    async def _discovery(self, request: Request) -> Answer:
        """No search endpoint: what isn't named here isn't offered (§9.1.1). A parameter without values is left out."""
        self._client(request)
        url = self._settings.url
        document = {
            "policy_decision_point": url,
            "access_evaluation_endpoint": f"{url}{EVALUATION}",
            "access_evaluations_endpoint": f"{url}{EVALUATIONS}",
            "obligations_supported": ["custom"],
        }
        return Answer(200, json.dumps(document).encode(), _JSON)

    async def _answer(self, request: Request, read: Callable[[bytes], Batch]) -> Answer:
        client = self._client(request)
        if (request.header("Content-Type") or "").partition(";")[0].strip().lower() != _JSON:
            raise Refused(400, f"the content type is not {_JSON}")
        body = await request.body()
        async with self._a_turn():
            batch = _read(read, body)
        traceparent = valid_traceparent(request.header("traceparent") or "")
        digest = hashlib.sha256(body).digest()
        deadline = time.monotonic() + self._seconds
        asker = _Asker(client, Questions(client), self._snapshot(), digest, traceparent, datetime.now(UTC), deadline)
        with self._tracing.span("pdp.authzen", traceparent):
            results = await self._judge(asker, batch)
        document = results[0] if batch.single else {"evaluations": results}
        return Answer(200, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), _JSON)

    def knows(self, certificate: bytes) -> bool:
        """Is whoever has this certificate, verified, one who may ask?"""
        return self._find(certificate) is not None

    def _find(self, certificate: bytes) -> Client | None:
        return peer_names.find(certificate, self._settings.clients, time.time())

    def _client(self, request: Request) -> Client:
        """Before the body is looked at: a stranger with a certificate of our CA is still a stranger."""
        found = self._find(request.certificate or b"")
        if found is None:
            _log.warning("authzen client refused")
            raise Refused(403, "the client certificate names nobody who may ask here")
        return found

    async def _judge(self, asker: _Asker, batch: Batch) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        items = iter(batch.items)
        while True:
            async with self._a_turn() as until:
                for item in items:
                    results.append(self._one(asker, item))
                    if batch.ends_with(results[-1]["decision"]):
                        return results
                    if time.monotonic() >= until:
                        break
                else:
                    return results

    @asynccontextmanager
    async def _a_turn(self) -> AsyncIterator[float]:
        """Until when one request may hold the loop; the next one's turn is after everybody else's."""
        async with self._turn:
            yield time.monotonic() + _TURN
            await asyncio.sleep(0)

    def _one(self, asker: _Asker, item: Evaluation | str) -> dict[str, Any]:
        """Never raises: an evaluation that breaks is a denial, and the rest of the batch goes on."""
        decision_id = secrets.token_hex(16)
        revision = asker.snapshot.revision if asker.snapshot else ""
        begun = time.monotonic()
        principal, query, text = None, None, ""
        try:
            if isinstance(item, str):
                raise Unasked(ErrorCode.INVALID_QUESTION, item)  # noqa: TRY301 — one way out for every denial
            _check_time(asker)  # before anything of it is read: reading costs, too
            principal, query = asker.questions.question(item, decision_id)
            verdict = _verdict(asker, principal, query)
        except Unasked as unasked:
            verdict, text = _denied(unasked.code), unasked.text
        except Exception as error:  # noqa: BLE001 — any exception is a denial
            _log.error("evaluation denied", decision_id=decision_id, **without_values(error))
            verdict = _denied(ErrorCode.INTERNAL)
        verdict = answer.enforceable(verdict, asker.client.obligations)
        decision = Decision(
            decision_id=decision_id,
            source="authzen",
            principal=principal,
            purpose=Purpose.CALL,
            queries=() if query is None else (query,),
            verdicts=(verdict,),
            revision=revision,
            question_sha256=asker.body_sha256,
            seconds=time.monotonic() - begun,
            traceparent=asker.traceparent,
            client=asker.client.name,
        )
        if not self._told(decision):
            verdict, text = _denied(ErrorCode.INTERNAL), ""
        return answer.response(verdict, decision_id, revision, text)

    def _told(self, decision: Decision) -> bool:
        """What can't be recorded isn't permitted."""
        try:
            self._observers.decided(decision)
        except Exception as error:  # noqa: BLE001 — same
            _log.error("evaluation not recorded", decision_id=decision.decision_id, **without_values(error))
            return False
        return True


def _read(read: Callable[[bytes], Batch], body: bytes) -> Batch:
    try:
        return read(body)
    except Malformed as error:
        raise Refused(400, str(error)) from None


def _check_time(asker: _Asker) -> None:
    if time.monotonic() >= asker.deadline:
        raise Unasked(ErrorCode.INTERNAL, "judging took too long")


def _verdict(asker: _Asker, principal: Principal, query: Query) -> Verdict:
    snapshot = asker.snapshot
    digest = snapshot.catalog_digest if snapshot else ""
    (verdict,) = decide(snapshot, principal, (query,), Purpose.CALL, catalog_digest=digest, now=asker.now)
    return verdict


def _denied(code: ErrorCode) -> Verdict:
    return Verdict(Effect.DENY, errors=(code,))
