"""A PDP that lies, lags, breaks or is somebody else: never a permit, never later than the deadline."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, HopKeyFile
from sallyport.pep.decision import Decider, Denied, Mismatch, NoDecision, PdpClient, Permit, Seen
from sallyport.pep.model import CheckedCall, Identity, Resolved, ResourceRef, Unresolved
from sallyport.pep.refusal import Reason
from tests.support.calls import ALICE, ALICE_ID, NoResolvers, checked, fulfils_none
from tests.support.fake_server import fake_server
from tests.support.lying_pdp import Lie, LyingPdp, listening, tell_the_truth
from tests.support.stopwatch import Stopwatch, own_garbage

DEADLINE = 0.5  # seconds
PATIENCE = 30.0  # seconds, where an answer comes
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
        yield pdp, Decider(client, NoResolvers(), fulfils_none)
        await client.close()


class Opening(NoResolvers):
    """A resolver that counts what it opened and what was let go."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def has_resolver(self, name: str) -> bool:
        return True

    async def resolve(self, identity: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        self.opened += 1
        return (Resolved(call.resources[0]),)

    async def release(self, resolved: tuple[Resolved, ...]) -> None:
        self.closed += 1


async def ask(decider: Decider, seconds: float = DEADLINE) -> Permit | Denied | Mismatch:
    return await decider.call(ALICE, ALICE_ID, checked(), CATALOG, time.monotonic() + seconds)


async def permitted(decider: Decider) -> bool:
    """By an honest PDP, however busy the machine is."""
    return isinstance(await ask(decider, PATIENCE), Permit)


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


async def doubled(_question: pb.Question, answer: pb.Answer) -> bytes:
    """Two revisions in one answer: a reader takes the last, another may take the first."""
    return pb.Answer(revision="b" * 64).SerializeToString() + answer.SerializeToString()


async def padded(_question: pb.Question, answer: pb.Answer) -> bytes:
    return answer.SerializeToString() + b"\xfa\x3f\x04spam"  # field 1023, which no contract of ours has


LIES: dict[str, Lie] = {
    "a doubled field": doubled,
    "an unknown field": padded,
    "a revision that is none": changed(lambda answer: setattr(answer, "revision", "x")),
    "an overlong reason": changed(lambda answer: answer.results[0].reasons.append("r" * 257)),
    "too many reasons": changed(lambda answer: answer.results[0].reasons.extend(map(str, range(300)))),
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
    permit = await ask(opponent[1], PATIENCE)
    assert isinstance(permit, Permit)
    assert (permit.tool_name, permit.reasons) == ("read_file", ("opponent",))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_n15_a_lie_under_the_right_key_is_no_permit(lie: Lie, opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    pdp.lie = lie
    with own_garbage():
        since = Stopwatch()
        assert isinstance(await ask(decider), Denied)
        # The opponent shares this loop, so sealing 100 MB delays the client it attacks: that time is its own.
        assert since.seconds < DEADLINE * 1.2 + (3.0 if lie is flood else 0.2)
    pdp.lie = tell_the_truth
    assert await permitted(decider), "one lie must not outlast itself"


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
    assert await permitted(decider)
    other = checked(arguments={"path": "bob/notes.txt"})
    replayed = await decider.call(ALICE, ALICE_ID, other, CATALOG, time.monotonic() + DEADLINE)
    assert isinstance(replayed, Denied)


async def test_an_impostor_without_the_key_is_no_pdp(key_file: Path) -> None:
    impostor = LyingPdp(HopKey.generate(), CATALOG)
    async with listening(impostor) as address:
        client = PdpClient(address, HopKeyFile(key_file))
        denied = await ask(Decider(client, NoResolvers(), fulfils_none))
        await client.close()
    assert isinstance(denied, Denied)
    assert denied.refusal.reason is Reason.NO_DECISION


async def test_an_answer_without_a_seal_is_no_answer(opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    for mac in (b"", b"\0" * 32, b"\0"):
        pdp.mac = mac
        denied = await ask(decider, PATIENCE)
        assert isinstance(denied, Denied)
        assert "seal" in denied.refusal.detail
    pdp.mac = None
    assert await permitted(decider)


async def test_a_revision_told_to_another_question_is_not_believed(
    opponent: tuple[LyingPdp, Decider], key_file: Path
) -> None:
    pdp, decider = opponent
    pdp.nonce = bytes(16)
    with pytest.raises(NoDecision, match="another question"):
        await decider._client.revision(timeout=PATIENCE)


async def test_one_denied_resource_of_several_denies_the_call(opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    refs = (ResourceRef("File", "alice/a"), ResourceRef("File", "bob/b"))
    several = replace(checked(), resources=refs)

    async def second_denied(_question: pb.Question, answer: pb.Answer) -> bytes:
        answer.results[1].effect = pb.EFFECT_DENY
        return answer.SerializeToString()

    pdp.lie = second_denied
    until = time.monotonic() + PATIENCE
    assert isinstance(await decider.call(ALICE, ALICE_ID, several, CATALOG, until), Denied)
    pdp.lie = tell_the_truth
    until = time.monotonic() + PATIENCE
    assert isinstance(await decider.call(ALICE, ALICE_ID, several, CATALOG, until), Permit)


async def test_n9_a_visible_answer_with_an_error_shows_nothing(opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent

    async def conditional(_question: pb.Question, answer: pb.Answer) -> bytes:
        answer.results[0].effect = pb.EFFECT_CONDITIONAL
        answer.results[0].errors.append(pb.ERROR_CODE_UNKNOWN_AGENT)
        return answer.SerializeToString()

    pdp.lie = conditional
    seen = await decider.visible(ALICE, ALICE_ID, ("read_file",), CATALOG, time.monotonic() + PATIENCE)
    assert isinstance(seen, Seen)
    assert not seen.names


async def test_what_a_resolver_opened_is_closed_when_the_call_is_denied(key_file: Path) -> None:
    pdp = LyingPdp(HopKey.from_file(key_file))
    opening = Opening()
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(key_file))
        decider = Decider(client, opening, fulfils_none)
        pdp.lie = changed(lambda answer: setattr(answer.results[0], "effect", pb.EFFECT_DENY))
        assert isinstance(await ask(decider, PATIENCE), Denied)
        pdp.lie = garbage
        assert isinstance(await ask(decider, PATIENCE), Denied)
        assert (opening.opened, opening.closed) == (2, 2)
        pdp.lie = tell_the_truth
        assert await permitted(decider)
        assert (opening.opened, opening.closed) == (3, 2)
        await client.close()


async def test_many_calls_at_once_all_get_their_answer(opponent: tuple[LyingPdp, Decider]) -> None:
    _, decider = opponent
    until = time.monotonic() + PATIENCE
    asked = (decider.call(ALICE, ALICE_ID, checked(), CATALOG, until) for _ in range(400))
    answers = await asyncio.gather(*asked)
    assert all(isinstance(answer, Permit) for answer in answers)


async def test_n5_without_a_hop_key_nothing_is_asked(tmp_path: Path) -> None:
    pdp = LyingPdp(HopKey.generate())
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(tmp_path / "missing"))
        denied = await ask(Decider(client, NoResolvers(), fulfils_none))
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
    served: list[Peer] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(peer)  # gRPC may connect more than once, and hang up in between
        await peer(reader, writer)

    async with fake_server(serve) as port:
        client = PdpClient(f"127.0.0.1:{port}", HopKeyFile(key_file))
        with own_garbage():
            since = Stopwatch()
            denied = await ask(Decider(client, NoResolvers(), fulfils_none))
            assert since.seconds < DEADLINE * 1.2 + 0.1
        await client.close()
    assert served
    assert isinstance(denied, Denied)
    assert denied.refusal.reason is Reason.NO_DECISION


async def test_calls_work_within_a_second_of_the_pdps_return(key_file: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    client = PdpClient(address, HopKeyFile(key_file))
    decider = Decider(client, NoResolvers(), fulfils_none)
    for _ in range(30):  # long enough away for gRPC's own back-off to have grown
        assert isinstance(await ask(decider), Denied)
    HopKey.generate().write(key_file)  # a PDP that starts anew writes a new key
    async with listening(LyingPdp(HopKey.from_file(key_file)), address):
        returned = Stopwatch()
        while not isinstance(await ask(decider), Permit):
            assert returned.seconds < 1.0
    await client.close()


def descriptors_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_failing_calls_leave_no_descriptor_and_no_task_behind(opponent: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = opponent
    assert await permitted(decider)
    pdp.lie = garbage
    descriptors, tasks = descriptors_open(), len(asyncio.all_tasks())
    for _ in range(50):
        assert isinstance(await ask(decider), Denied)
    assert descriptors_open() <= descriptors + 3
    assert len(asyncio.all_tasks()) <= tasks + 2
