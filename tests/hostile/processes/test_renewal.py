"""Real processes: certificates and token keys replaced while calls run, and one PEP that makes way for another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from sallyport.cli import issuer, keys, ports, settings
from sallyport.cli.laptop import Laptop
from sallyport.runtime import atomic_file
from tests.support import laptop
from tests.support.fake_server import fake_server
from tests.support.laptop import Up
from tests.support.pki import Pair, authority
from tests.support.raw_call import META, VERSION, permitted
from tests.support.tokens import b64, dump, private_key, public_jwk

PATIENCE = 60.0
POLL = 0.05
WORKERS = 6
DRAIN = 4.0


def patient(directory: Path, drain_seconds: float = 0) -> Path:
    """A Sallyport whose PDP may be slow: a busy machine must not look like a call that was cut."""
    made = laptop.patient(laptop.init(directory), 10_000)
    chosen = yaml.safe_load((made / "pep.yaml").read_text())
    chosen["limits"]["drain_seconds"] = drain_seconds
    (made / "pep.yaml").write_text(yaml.safe_dump(chosen))
    return made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Up]:
    with laptop.up(patient(tmp_path / "laptop"), "--no-restart") as running:
        yield running


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 — what another process does has no event here
            await asyncio.sleep(POLL)


# What an operator sees


@dataclass(frozen=True)
class Management:
    url: str
    trusted: ssl.SSLContext

    async def get(self, path: str) -> tuple[int, bytes]:
        connector = aiohttp.TCPConnector(ssl=self.trusted, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(self.url + path) as answer:
            return answer.status, await answer.read()

    async def warnings(self) -> dict[str, str]:
        status, body = await self.get("/ready")
        assert status == 200, body
        return {entry["name"]: entry["detail"] for entry in json.loads(body)}

    async def metric(self, name: str) -> float:
        _, body = await self.get("/metrics")
        (line,) = [line for line in body.decode().splitlines() if line.startswith(f"{name} ")]
        return float(line.split(" ")[1])

    async def warns(self, part: str, text: str) -> None:
        """Wait for the warning about `part`, or with an empty text for its end."""

        async def said() -> bool:
            found = (await self.warnings()).get(part, "")
            return text in found and bool(text) == bool(found)

        await until(said)
        assert await self.metric(f'sallyport_reload_failed{{what="{part}"}}') == float(bool(text))


def management(up: Up) -> Management:
    """Trusts the directory's CA and the tests' own."""
    context = authority().client_context()
    context.load_verify_locations(up.endpoint.ca_file)
    return Management(up.endpoint.management_url, context)


# Who calls


@dataclass
class Load:
    """Callers with pools of kept connections. One that fails fails the test: no call is tried again."""

    url: str
    tls: ssl.SSLContext
    token: Callable[[], str]
    answers: Counter[str] = field(default_factory=Counter)  # "close", or "keep"
    rounds: Counter[int] = field(default_factory=Counter)  # by caller

    async def call(self, session: aiohttp.ClientSession) -> None:
        params = {"_meta": META, "name": "read_file", "arguments": {"path": "alice/notes.txt"}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {
            "authorization": f"Bearer {self.token()}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": "tools/call",
            "mcp-name": "read_file",
        }
        async with session.post(self.url, json=message, headers=headers) as answer:
            parsed = json.loads(await answer.read())
            assert (answer.status, permitted(parsed)) == (200, True), parsed
            self.answers["close" if answer.headers.get("connection") == "close" else "keep"] += 1

    async def until_more(self, calls: int) -> None:
        wanted = self.answers.total() + calls

        async def made() -> bool:
            return self.answers.total() >= wanted

        await until(made)

    async def until_all_have_begun_anew(self) -> None:
        """What ran when this was called is answered."""
        before = self.rounds.copy()

        async def done() -> bool:
            return all(self.rounds[number] > before[number] for number in range(WORKERS))

        await until(done)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        done = asyncio.Event()

        async def caller(number: int) -> None:
            """Each has a rhythm of its own: busy, and nearly idle."""
            connector, limit = aiohttp.TCPConnector(ssl=self.tls), aiohttp.ClientTimeout(total=PATIENCE)
            async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
                while not done.is_set():
                    await self.call(session)
                    self.rounds[number] += 1
                    await asyncio.sleep(0.01 * 2**number)

        tasks = [asyncio.create_task(caller(number)) for number in range(WORKERS)]
        try:
            yield
        finally:
            done.set()
            await asyncio.gather(*tasks)


def load(up: Up, token: Callable[[], str] | None = None) -> Load:
    return Load(up.endpoint.mcp_url, management(up).trusted, token or (lambda: laptop.token(up.directory)))


# Certificates


def put(up: Up, pair: Pair, key: bytes = b"") -> None:
    place = Laptop(up.directory).pki / "server"
    atomic_file.write(place / "tls.key", key or pair.key_pem)
    atomic_file.write(place / "tls.crt", pair.certificate_pem, 0o644)


async def test_n30_a_certificate_is_renewed_while_calls_run_and_none_fails(own: Up) -> None:
    asked, calls = management(own), load(own)
    ends = 'sallyport_certificate_not_after_timestamp_seconds{use="server"}'
    async with calls.running():
        for days in (5, 7):
            renewed = authority().server(ends=days)
            put(own, renewed, authority().server().key_pem)
            await asked.warns("certificate", "is not the key of")
            await calls.until_more(20)
            put(own, renewed)
            await asked.warns("certificate", "")
            assert await asked.metric(ends) == pytest.approx(time.time() + days * 86_400, abs=120)
            await calls.until_more(20)
    only = Management(own.endpoint.management_url, authority().client_context())
    assert (await only.get("/live"))[0] == 200  # the management port has it, too
    assert calls.answers["close"] == 0
    log = [json.loads(line) for line in own.log("pep").splitlines()]
    told = [line["event"] for line in log if line.get("what") == "certificate"]
    assert told == 2 * ["replacement refused; the last good one serves", "replaced"]


# Token keys


def signer(up: Up, which: int) -> tuple[dict[str, Any], Callable[[], str]]:
    """A key of the directory's issuer: its entry in the JWKS, and tokens by it."""
    key = private_key("ES256", which)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    place = Laptop(up.directory)
    issuing, who = settings.issuing(place), issuer.Identity("alice", "coding-bot")
    kid = keys.key_id(key.public_key())
    return public_jwk(key, kid=kid, alg="ES256", use="sig"), lambda: issuer.sign(key, issuing, who)


async def believed(up: Up, token: str) -> bool:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=management(up).trusted)) as session:
        head = {"authorization": f"Bearer {token}", "mcp-protocol-version": VERSION, "mcp-method": "ping"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": META}}
        async with session.post(up.endpoint.mcp_url, json=body, headers=head) as answer:
            return answer.status != 401


async def until_believed(up: Up, token: Callable[[], str], *, whether: bool) -> None:
    async def as_expected() -> bool:
        return await believed(up, token()) is whether

    await until(as_expected)


async def test_n30_token_keys_are_rotated_while_calls_run_and_none_fails(own: Up) -> None:
    jwks, asked = Laptop(own.directory).issuer_jwks, management(own)
    first, by_first = signer(own, 1)
    second, by_second = signer(own, 2)
    by = by_first

    def publish(*entries: dict[str, Any]) -> None:
        atomic_file.write(jwks, dump({"keys": list(entries)}), 0o644)

    publish(first)
    await until_believed(own, by_first, whether=True)
    assert not await believed(own, by_second())
    assert not await believed(own, laptop.token(own.directory))  # whose key isn't there any more
    calls = load(own, lambda: by())  # noqa: PLW0108 — whichever `by` is by then
    async with calls.running():
        publish(first, second)
        await until_believed(own, by_second, whether=True)
        by = by_second
        await calls.until_all_have_begun_anew()
        publish(second)
        await until_believed(own, by_first, whether=False)
        for broken in (b"", dump({"keys": [second, {**first, "d": b64(b"x" * 32)}]})):
            atomic_file.write(jwks, broken, 0o644)
            await asked.warns("token_keys", str(jwks))
            await calls.until_more(20)
            assert not await believed(own, by_first())
            publish(second)
            await asked.warns("token_keys", "")
        await calls.until_more(20)
    assert calls.answers["close"] == 0


# Making way


@dataclass
class Service:
    """What a Kubernetes Service is to a client: new connections go to who is ready, and it takes a moment to know."""

    first: int
    second: int
    ready: Callable[[], Awaitable[bool]]
    lag: float = 0.5

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = await asyncio.open_connection("127.0.0.1", self.first)
        await asyncio.gather(self._pump(reader, away), self._pump(there, writer))

    async def watch(self) -> None:
        async def away() -> bool:
            return not await self.ready()

        await until(away)
        await asyncio.sleep(self.lag)
        self.first = self.second

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


@asynccontextmanager
async def another(up: Up, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """A second PEP with the same PDP, and an audit of its own; its port."""
    taken: set[int] = set()
    port, manage = ports.free(taken), ports.free(taken)
    config = up.directory / "pep2.yaml"
    chosen = yaml.safe_load((up.directory / "pep.yaml").read_text())
    chosen["audit"]["directory"] = "audit2"
    config.write_text(yaml.safe_dump(chosen))
    listen = ("--listen", f"127.0.0.1:{port}", "--management", f"127.0.0.1:{manage}")
    command = [sys.executable, "-m", "sallyport.pep", "--config", str(config), *listen]
    process = subprocess.Popen(  # noqa: ASYNC220 — as an operator would start it
        [*command, "--pdp", up.endpoint.pdp_address], cwd=up.directory, stderr=subprocess.DEVNULL
    )
    try:
        there = Management(f"https://127.0.0.1:{manage}", tls)

        async def is_ready() -> bool:
            try:
                return (await there.get("/ready"))[0] == 200
            except aiohttp.ClientError:
                return False

        await until(is_ready)
        yield port
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0


async def is_gone(pid: int) -> bool:
    """A zombie is gone, too: its parent is `up`, which may be slow to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"  # noqa: ASYNC240 — no disk
    except FileNotFoundError:
        return True


async def test_no_call_fails_when_a_pep_stops_and_another_takes_over(tmp_path: Path) -> None:
    with laptop.up(patient(tmp_path / "laptop", DRAIN), "--no-restart") as running:
        asked = management(running)
        pid = running.endpoint.pep

        async def ready() -> bool:
            return (await asked.get("/ready"))[0] == 200

        async with another(running, asked.trusted) as other:
            service = Service(int(running.endpoint.mcp_url.rpartition(":")[2].split("/")[0]), other, ready)
            async with fake_server(service.carry) as port:
                calls = Load(f"https://127.0.0.1:{port}/mcp", asked.trusted, lambda: laptop.token(running.directory))
                async with calls.running():
                    watching = asyncio.create_task(service.watch())
                    await calls.until_more(100)
                    assert calls.answers["close"] == 0
                    began = time.monotonic()
                    os.kill(pid, signal.SIGTERM)
                    await watching
                    await until(lambda: is_gone(pid))
                    assert DRAIN <= time.monotonic() - began < DRAIN + 30
                    await calls.until_more(100)
                assert calls.answers["close"] >= WORKERS  # each pool was told, and none was surprised
        assert laptop.records(running.directory)[-1]["kind"] == "close"


async def test_a_second_signal_cuts_the_drain_short(tmp_path: Path) -> None:
    with laptop.up(patient(tmp_path / "laptop", 120), "--no-restart") as running:
        asked, pid = management(running), running.endpoint.pep
        os.kill(pid, signal.SIGTERM)

        async def is_draining() -> bool:
            return (await asked.get("/ready"))[0] == 503

        await until(is_draining)
        status, body = await asked.get("/ready")
        assert (status, json.loads(body)[0]) == (503, {"name": "process", "ok": False, "detail": "stopping"})
        assert not await is_gone(pid)
        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        await until(lambda: is_gone(pid))
        assert time.monotonic() - began < 30
