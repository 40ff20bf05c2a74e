"""A PDP on loopback as the PEP meets it: real gRPC, real policies, a real hop key file."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp.inforce import InForce
from sallyport.pdp.load import load
from sallyport.pdp.observer import Observer, Observers
from sallyport.pdp.server import Server
from sallyport.pdp.settings import Audit, Limits, PdpSettings
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.strangers import Strangers
from sallyport.runtime import canonical_json, mounted_dir
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.telemetry import Tracing

POLICIES: Final = Path(__file__).resolve().parents[3] / "policies"
CATALOG_DIGEST: Final = hashlib.sha256((POLICIES / "catalog.yaml").read_bytes()).hexdigest()
SECONDS: Final = 30.0
SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
# Each channel its own connection: gRPC would share one between equal channels.
OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 16 << 20))


def evaluation(action: str = "read_file", resource: str = "File::alice/notes.txt", **arguments: Any) -> pb.Evaluation:
    kind, _, name = resource.partition("::")
    given: dict[str, Any] = {"table": name, "limit": 100} if kind == "Table" else {"path": name}
    return pb.Evaluation(
        action=action, resource=pb.Resource(type=kind, id=name), input=canonical_json.encode(arguments or given)
    )


def question(*evaluations: pb.Evaluation, **changes: Any) -> pb.Question:
    """What the PEP asks for alice, a developer of acme, via coding-bot; by default about her own file."""
    subject = pb.Subject(issuer="laptop", user_id="alice", agent_id="coding-bot", org="acme", roles=["developer"])
    fields: dict[str, Any] = {
        "decision_id": secrets.token_hex(16),
        "purpose": pb.PURPOSE_CALL,
        "subject": subject,
        "session": pb.Session(ip="127.0.0.1"),
        "catalog_digest": CATALOG_DIGEST,
        "evaluations": evaluations or (evaluation(),),
    }
    return pb.Question(**{**fields, **changes})


def visibility(*actions: str) -> pb.Question:
    return question(*(pb.Evaluation(action=name) for name in actions), purpose=pb.PURPOSE_VISIBILITY)


@dataclass(frozen=True, slots=True)
class Client:
    """Who holds the hop key."""

    channel: grpc.aio.Channel
    key: HopKey

    @property
    def stub(self) -> rpc.AuthorizationServiceAsyncStub:
        return rpc.AuthorizationServiceStub(self.channel)

    async def send(self, payload: bytes, *, mac: bytes | None = None, seconds: float = SECONDS) -> pb.Answer:
        seal = self.key.seal(Label.EVALUATE_QUESTION, payload) if mac is None else mac
        response = await self.stub.Evaluate(pb.EvaluateRequest(question=payload, mac=seal), timeout=seconds)
        assert self.key.open(Label.EVALUATE_ANSWER, response.answer, response.mac)
        return pb.Answer.FromString(response.answer)

    async def ask(self, asked: pb.Question) -> pb.Answer:
        payload = asked.SerializeToString()
        answer = await self.send(payload)
        assert answer.question_sha256 == hashlib.sha256(payload).digest()
        assert answer.decision_id == asked.decision_id
        return answer

    async def ask_batch(self, asked: pb.Question, *, seconds: float = SECONDS) -> pb.Answer:
        payload = asked.SerializeToString()
        mac = self.key.seal(Label.BATCH_QUESTION, payload)
        response = await self.stub.EvaluateBatch(pb.EvaluateBatchRequest(question=payload, mac=mac), timeout=seconds)
        assert self.key.open(Label.BATCH_ANSWER, response.answer, response.mac)
        return pb.Answer.FromString(response.answer)

    async def revision(self) -> pb.RevisionAnswer:
        nonce = secrets.token_bytes(16)
        mac = self.key.seal(Label.REVISION_QUESTION, nonce)
        response = await self.stub.GetRevision(pb.GetRevisionRequest(nonce=nonce, mac=mac), timeout=SECONDS)
        assert self.key.open(Label.REVISION_ANSWER, response.answer, response.mac)
        answer = pb.RevisionAnswer.FromString(response.answer)
        assert answer.nonce == nonce
        return answer

    async def catalog(self, digest: str) -> bytes:
        nonce = secrets.token_bytes(16)
        asked = pb.CatalogQuestion(nonce=nonce, catalog_digest=digest).SerializeToString()
        mac = self.key.seal(Label.CATALOG_QUESTION, asked)
        response = await self.stub.GetCatalog(pb.GetCatalogRequest(question=asked, mac=mac), timeout=SECONDS)
        assert self.key.open(Label.CATALOG_ANSWER, response.answer, response.mac)
        answer = pb.CatalogAnswer.FromString(response.answer)
        assert answer.nonce == nonce
        return answer.catalog


@dataclass(frozen=True, slots=True)
class Pdp(Client):
    """A started server, and a client that holds its hop key."""

    server: Server
    settings: PdpSettings
    in_force: InForce


@cache
def shipped() -> Snapshot:
    """Loaded once for all tests."""
    return load(mounted_dir.read(POLICIES))


def in_force_of(policies: Path) -> InForce:
    """What serves once the PDP has read this directory; nothing if it is refused."""
    in_force = InForce()
    if policies == POLICIES:
        in_force.put(shipped())
        return in_force
    try:
        in_force.put(load(mounted_dir.read(policies)))
    except ConfigError as error:
        in_force.refuse(error.problems)
    return in_force


def settings(tmp_path: Path, policies: Path = POLICIES, **limits: int) -> PdpSettings:
    return PdpSettings(
        listen="127.0.0.1:0",
        health="127.0.0.1:0",
        policies=policies,
        hop_key=tmp_path / "run" / "hop.key",
        audit=Audit(
            directory=tmp_path / "audit", signing_key=tmp_path / "signing.key", masking_key=tmp_path / "masking.key"
        ),
        limits=Limits(**{"deadline_ms": 10_000, **limits}),
    )


@contextmanager
def until_it_ends() -> Iterator[Strangers]:
    """They are told of as long as the PDP's process lives; in this one a later line would stand in another test's log."""
    handles: list[asyncio.TimerHandle] = []

    def later(seconds: float, then: Callable[[], None]) -> None:
        handles.append(asyncio.get_running_loop().call_later(seconds, then))

    try:
        yield Strangers(later)
    finally:
        for handle in handles:
            handle.cancel()


@asynccontextmanager
async def connected(server: Server, chosen: PdpSettings, in_force: InForce) -> AsyncIterator[Pdp]:
    async with grpc.aio.insecure_channel(server.listen, options=OWN_CONNECTION) as channel:
        yield Pdp(channel, HopKey.from_file(chosen.hop_key), server, chosen, in_force)


@asynccontextmanager
async def running(tmp_path: Path, policies: Path = POLICIES, *observers: Observer, **limits: int) -> AsyncIterator[Pdp]:
    chosen = settings(tmp_path, policies, **limits)
    in_force = in_force_of(policies)
    with until_it_ends() as strangers:
        server = Server(chosen, in_force, Tracing("pdp", ""), Observers(observers), strangers=strangers)
        await server.start()
        try:
            async with connected(server, chosen, in_force) as pdp:
                yield pdp
        finally:
            await server.stop()


async def health(address: str, service: str = "") -> int:
    async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS, wait_for_ready=True)
        return int(answer.status)
