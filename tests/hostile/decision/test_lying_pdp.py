"""A PDP that lies, lags, breaks or is somebody else: never a permit, never later than the deadline."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, HopKeyFile
from sallyport.pep.decision import Decider, Denied, Mismatch, PdpClient, Permit
from sallyport.pep.refusal import Reason
from tests.support.calls import ALICE, ALICE_ID, NoResolvers, checked
from tests.support.lying_pdp import Lie, LyingPdp, listening, tell_the_truth

DEADLINE = 0.5  # seconds
CATALOG = "c" * 64
FLOOD = bytes(100 << 20)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "hop.key"
    HopKey.generate().write(path)
    return path


@pytest.fixture
async def opponent(key_file: Path) -> AsyncIterator[tuple[LyingPdp, Decider]]:
    pdp = LyingPdp(HopKey.from_file(key_file))
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(key_file))
        yield pdp, Decider(client, NoResolvers(), frozenset())
        await client.close()


async def ask(decider: Decider) -> Permit | Denied | Mismatch:
    return await decider.call(ALICE, ALICE_ID, checked(), CATALOG, time.monotonic() + DEADLINE)


def changed(change: Callable[[pb.Answer], object]) -> Lie:
    async def lie(_question: pb.Question, answer: pb.Answer) -> bytes:
        change(answer)
        return answer.SerializeToString()

    return lie


async def garbage(_question: pb.Question, _answer: pb.Answer) -> bytes:
    return b"\xff\xfe\x00garbage"


async def nothing(_question: pb.Question, _answer: pb.Answer) -> bytes:
    return b""


async def silence(_question: pb.Question, _answer: pb.Answer) -> None:
    return None


async def flood(_question: pb.Question, _answer: pb.Answer) -> bytes:
    return FLOOD


LIES: dict[str, Lie] = {
    "garbage": garbage,
    "an empty answer": nothing,
    "silence": silence,
    "100 MB": flood,
    "another decision": changed(lambda answer: setattr(answer, "decision_id", "e" * 32)),
    "another question": changed(lambda answer: setattr(answer, "question_sha256", bytes(32))),
    "no echo": changed(lambda answer: answer.ClearField("question_sha256")),
    "no result": changed(lambda answer: answer.ClearField("results")),
    "two results": changed(lambda answer: answer.results.add(effect=pb.EFFECT_PERMIT)),
    "no revision": changed(lambda answer: setattr(answer, "revision", "")),
    "effect zero": changed(lambda answer: answer.results[0].ClearField("effect")),
    "an unknown effect": changed(lambda answer: setattr(answer.results[0], "effect", 77)),
    "conditional": changed(lambda answer: setattr(answer.results[0], "effect", pb.EFFECT_CONDITIONAL)),
    "a permit with an error": changed(lambda answer: answer.results[0].errors.append(pb.ERROR_CODE_POLICY_ERROR)),
    "a permit with an unknown error": changed(lambda answer: answer.results[0].errors.append(99)),  # type: ignore[arg-type]
    "an unknown obligation": changed(lambda answer: answer.results[0].obligations.append("approve:boss")),
}


async def test_an_honest_permit_is_taken(opponent: tuple[LyingPdp, Decider]) -> None:
    permit = await ask(opponent[1])
    assert isinstance(permit, Permit)
    assert (permit.tool_name, permit.reasons) == ("read_file", ("opponent",))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_n15_a_lie_under_the_right_key_is_no_permit(lie: Lie, opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    pdp.lie = lie
    started = time.monotonic()
    assert isinstance(await ask(decider), Denied)
    # The opponent shares this loop, so sealing 100 MB delays the client it attacks: that time is its own.
    assert time.monotonic() - started < DEADLINE * 1.2 + (1.0 if lie is flood else 0.1)
    pdp.lie = tell_the_truth
    assert isinstance(await ask(decider), Permit), "one lie must not outlast itself"


async def test_a_late_permit_is_no_permit(opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    released = asyncio.Event()

    async def late(_question: pb.Question, answer: pb.Answer) -> bytes:
        await released.wait()
        return answer.SerializeToString()

    pdp.lie = late
    denied = await ask(decider)
    released.set()
    assert isinstance(denied, Denied)
    assert denied.refusal.reason is Reason.NO_DECISION


async def test_an_answer_to_an_earlier_question_is_no_permit(opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    kept: list[bytes] = []

    async def keep(_question: pb.Question, answer: pb.Answer) -> bytes:
        kept.append(answer.SerializeToString())
        return kept[0]

    pdp.lie = keep
    assert isinstance(await ask(decider), Permit)
    other = checked(arguments={"path": "bob/notes.txt"})
    replayed = await decider.call(ALICE, ALICE_ID, other, CATALOG, time.monotonic() + DEADLINE)
    assert isinstance(replayed, Denied)


async def test_an_impostor_without_the_key_is_no_pdp(key_file: Path) -> None:
    impostor = LyingPdp(HopKey.generate(), CATALOG)
    async with listening(impostor) as address:
        client = PdpClient(address, HopKeyFile(key_file))
        denied = await ask(Decider(client, NoResolvers(), frozenset()))
        await client.close()
    assert isinstance(denied, Denied)
    assert denied.refusal.reason is Reason.NO_DECISION


async def test_n5_without_a_hop_key_nothing_is_asked(tmp_path: Path) -> None:
    pdp = LyingPdp(HopKey.generate())
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(tmp_path / "missing"))
        denied = await ask(Decider(client, NoResolvers(), frozenset()))
        await client.close()
    assert isinstance(denied, Denied)
    assert not pdp.asked


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def black_hole(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(64)
    writer.transport.abort()


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPERMIT")
    await black_hole(reader, writer)


@pytest.mark.parametrize("peer", [black_hole, reset, nonsense], ids=lambda peer: peer.__name__)
async def test_a_broken_line_is_a_refusal_within_the_deadline(peer: Peer, key_file: Path) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer(reader, writer)
        writer.transport.abort()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = PdpClient(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", HopKeyFile(key_file))
    started = time.monotonic()
    denied = await ask(Decider(client, NoResolvers(), frozenset()))
    assert time.monotonic() - started < DEADLINE * 1.2 + 0.1
    await client.close()
    await ended.wait()
    server.close()
    await server.wait_closed()
    assert isinstance(denied, Denied)
    assert denied.refusal.reason is Reason.NO_DECISION


async def test_calls_work_within_a_second_of_the_pdps_return(key_file: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    client = PdpClient(address, HopKeyFile(key_file))
    decider = Decider(client, NoResolvers(), frozenset())
    for _ in range(30):  # long enough away for gRPC's own back-off to have grown
        assert isinstance(await ask(decider), Denied)
    HopKey.generate().write(key_file)  # a PDP that starts anew writes a new key
    async with listening(LyingPdp(HopKey.from_file(key_file)), address):
        returned = time.monotonic()
        while not isinstance(await ask(decider), Permit):
            assert time.monotonic() - returned < 1.0
    await client.close()


def descriptors_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_failing_calls_leave_no_descriptor_and_no_task_behind(opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    assert isinstance(await ask(decider), Permit)
    pdp.lie = garbage
    descriptors, tasks = descriptors_open(), len(asyncio.all_tasks())
    for _ in range(50):
        assert isinstance(await ask(decider), Denied)
    assert descriptors_open() <= descriptors + 1
    assert len(asyncio.all_tasks()) <= tasks + 2
