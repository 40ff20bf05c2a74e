"""AuthZEN's certificates replaced while gateways ask over kept connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from sallyport.pdp.http import Limits, Listener, Request
from sallyport.pdp.http.exchange import Answer
from sallyport.pdp.telemetry import Metrics
from sallyport.runtime import atomic_file, certificates
from tests.contract.authzen.running import GATEWAY, Pdp, evaluation, gateway, serving, trusting
from tests.support.pki import Pair, authority, other_authority
from tests.support.raw_http import BOUND, RawClient, request

YES = request(json.dumps(evaluation()).encode(), [("Content-Type", "application/json")], target="/access/v1/evaluation")


@pytest.fixture
async def pdp(tmp_path: Path) -> AsyncIterator[Pdp]:
    async with serving(tmp_path) as pdp:
        yield pdp


def put(directory: Path, pair: Pair, key: bytes = b"") -> None:
    atomic_file.write(directory / "server.key", key or pair.key_pem)
    atomic_file.write(directory / "server.crt", pair.certificate_pem)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND):
        while not holds():  # noqa: ASYNC110 — the files are looked at once a second
            await asyncio.sleep(0.02)


async def presented(pdp: Pdp) -> bytes | None:
    async with RawClient(pdp.port, gateway()) as client:
        found: bytes | None = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return found


def metric(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"sallyport_{name}", labels)


async def test_n30_a_renewed_certificate_is_shown_to_newcomers_and_a_broken_one_never(pdp: Pdp, tmp_path: Path) -> None:
    followed, metrics = pdp.listener.certificates, Metrics(lambda: None)
    assert followed is not None
    metrics.follow(followed)
    first, renewed = await presented(pdp), authority().server(ends=7)
    async with RawClient(pdp.port, gateway()) as kept:
        assert (await kept.ask(YES)).status == 200
        put(tmp_path, renewed, authority().server().key_pem)
        await until(lambda: bool(followed.failure))
        assert metric(metrics.registry, "reload_failed", what="certificate") == 1
        assert await presented(pdp) == first
        put(tmp_path, renewed)
        await until(lambda: not followed.failure)
        await until(lambda: followed.value.ends == renewed.certificate.not_valid_after_utc.timestamp())
        assert metric(metrics.registry, "reload_failed", what="certificate") == 0
        ends = metric(metrics.registry, "certificate_not_after_timestamp_seconds", use="server")
        assert ends == renewed.certificate.not_valid_after_utc.timestamp()
        assert metric(metrics.registry, "certificate_not_after_timestamp_seconds", use="client_ca") is not None
        async with asyncio.timeout(BOUND):
            while await presented(pdp) != renewed.certificate_der:
                pass  # the listener hears of it on the loop, a moment after the value is there
        assert (await kept.ask(YES)).status == 200


async def test_n30_gateways_of_a_removed_ca_are_not_believed_on_any_connection(pdp: Pdp, tmp_path: Path) -> None:
    async with RawClient(pdp.port, gateway()) as kept, RawClient(pdp.port, gateway()) as silent:
        assert (await kept.ask(YES)).status == 200
        (tmp_path / "ca.crt").write_bytes(other_authority().pem)
        for client in (kept, silent):
            assert await client.closed() == b""
    with pytest.raises(OSError):  # noqa: PT011 — a refused handshake shows in many ways
        await ask_once(pdp.port, authority().client(GATEWAY))
    assert await ask_once(pdp.port, other_authority().client(GATEWAY)) == 200


async def ask_once(port: int, pair: Pair) -> int:
    async with RawClient(port, trusting(pair)) as client:
        return (await client.ask(YES)).status


async def test_n30_what_is_asked_when_its_ca_goes_is_answered_and_is_the_last(tmp_path: Path) -> None:
    certificate, key = authority().server().write(tmp_path, "server")
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority().pem + other_authority().pem)
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Answer:
        begun.set()
        await let_go.wait()
        return Answer(200, b"slow")

    followed = certificates.follow(certificate, key, ca, ("required",))
    listener = Listener("here", {"/": {"GET": slow}}, Limits(), followed)
    port = int((await listener.start("127.0.0.1:0")).rpartition(":")[2])
    try:
        async with RawClient(port, authority().client_context(other_authority().client())) as client:
            await client.send(request(method="GET", target="/", length=False))
            await asyncio.wait_for(begun.wait(), BOUND)
            ca.write_bytes(authority().pem)
            await until(lambda: len(followed.value.client_cas) == 1)
            with pytest.raises(OSError):  # noqa: PT011 — same; when it is refused, the listener has heard
                await ask_once(port, other_authority().client(GATEWAY))
            let_go.set()
            reply = await client.reply()
            assert (reply.status, reply.body, reply.headers["connection"]) == (200, b"slow", "close")
            assert await client.closed() == b""
    finally:
        let_go.set()
        await listener.stop(1.0)
