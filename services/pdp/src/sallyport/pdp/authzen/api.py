"""The endpoints. A denial is 200 with `decision: false`; any other status is no decision at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from sallyport.pdp.authzen import answer
from sallyport.pdp.authzen import request as reading
from sallyport.pdp.authzen.mapping import Unasked, question
from sallyport.pdp.authzen.request import Batch, Evaluation, Malformed, Semantic
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
# Between two runs the loop gets its turn, so that a batch doesn't hold up the PEP's questions.
_RUN: Final = 8
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Asker:
    """One request: who sent it, and what all its evaluations share."""

    client: Client
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
        try:
            batch = read(body)
        except Malformed as error:
            raise Refused(400, str(error)) from None
        traceparent = valid_traceparent(request.header("traceparent") or "")
        digest = hashlib.sha256(body).digest()
        deadline = time.monotonic() + self._seconds
        asker = _Asker(client, self._snapshot(), digest, traceparent, datetime.now(UTC), deadline)
        with self._tracing.span("pdp.authzen", traceparent):
            results = await self._judge(asker, batch)
        document = results[0] if batch.single else {"evaluations": results}
        return Answer(200, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), _JSON)

    def _client(self, request: Request) -> Client:
        """Before the body is looked at: a stranger with a certificate of our CA is still a stranger."""
        found = peer_names.find(request.certificate or b"", self._settings.clients, time.time())
        if found is None:
            _log.warning("authzen client refused")
            raise Refused(403, "the client certificate names nobody who may ask here")
        return found

    async def _judge(self, asker: _Asker, batch: Batch) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        for number, item in enumerate(batch.items):
            if number and number % _RUN == 0:
                await asyncio.sleep(0)
            result = self._one(asker, item)
            results.append(result)
            if batch.semantic is Semantic.DENY_ON_FIRST_DENY and not result["decision"]:
                break
            if batch.semantic is Semantic.PERMIT_ON_FIRST_PERMIT and result["decision"]:
                break
        return results

    def _one(self, asker: _Asker, item: Evaluation | str) -> dict[str, Any]:
        """Never raises: an evaluation that breaks is a denial, and the rest of the batch goes on."""
        decision_id = secrets.token_hex(16)
        revision = asker.snapshot.revision if asker.snapshot else ""
        begun = time.monotonic()
        principal, query, text = None, None, ""
        try:
            if isinstance(item, str):
                raise Unasked(ErrorCode.INVALID_QUESTION, item)  # noqa: TRY301 — one way out for every denial
            principal, query = question(asker.client, item, decision_id)
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


def _verdict(asker: _Asker, principal: Principal, query: Query) -> Verdict:
    if time.monotonic() >= asker.deadline:
        raise Unasked(ErrorCode.INTERNAL, "judging took too long")
    snapshot = asker.snapshot
    digest = snapshot.catalog_digest if snapshot else ""
    (verdict,) = decide(snapshot, principal, (query,), Purpose.CALL, catalog_digest=digest, now=asker.now)
    return verdict


def _denied(code: ErrorCode) -> Verdict:
    return Verdict(Effect.DENY, errors=(code,))
