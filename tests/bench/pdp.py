"""The PDP's part of `make bench`: in process against the unsliced engine, over gRPC against Cerbos, reload, memory."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import cedarpy

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKeyFile
from sallyport.pdp.decider import decide
from sallyport.pdp.engine import prepare
from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, Principal, Purpose
from sallyport.pdp.snapshot import Snapshot
from sallyport.pep.decision.client import PdpClient
from tests.bench import cerbos, policy_sets, reload_stall
from tests.bench.figures import Figures, ask, repeat, resident_mib, say, yes
from tests.bench.policy_sets import ALICE, QUERY
from tests.contract.pdp_service.process import config, started
from tests.contract.pdp_service.running import question
from tests.support.policy_dir import NOON

SIZES: Final = (10, 100, 1_000, 10_000)
SERVED: Final = (10, 1_000)
CLIENTS: Final = (1, 32)
ROUNDS: Final = 3
SECONDS: Final = 1.0
RELOADED: Final = 5_000
MEMORY_MIB: Final = 80
STALL_MS: Final = 50


async def run() -> None:
    in_process()
    await served()
    await reloaded()


def in_process() -> None:
    say(f"the PDP in process, latencies in µs, best of {ROUNDS} rounds; unsliced: Cedar with the whole set")
    say(f"{'policies':>10}{'known caller':>18}{'new caller':>18}{'unsliced':>20}{'ratio':>9}")
    known: dict[int, tuple[Figures, Figures]] = {}
    for size in SIZES:
        held = load(policy_sets.of_size(size), vetted=True)
        warm = best(known_caller(held))
        new = best(new_callers(held))
        whole = best(unsliced(held), most=300 if size > 1_000 else 20_000)
        known[size] = warm, new
        say(f"{size:>10}{micro(warm):>18}{micro(new):>18}{micro(whole):>20}{whole.p50 / warm.p50:>8.1f}x")
    roles = load(policy_sets.by_role(SIZES[-1]), vetted=True)
    looked_at = sum(len(part.rules) for part in roles.room.slices.parts(prepare(roles, ALICE, QUERY, NOON).keys))
    by_role = f"{SIZES[-1]:>10}{micro(best(known_caller(roles))):>18}{micro(best(new_callers(roles))):>18}"
    say(f"{by_role}    all for a role and a tool: {looked_at} can match, and the cost is theirs")
    for name, at in (("known", 0), ("new", 1)):
        ratio = known[SIZES[-1]][at].p50 / known[SIZES[0]][at].p50
        say(f"10,000 policies cost {ratio:.2f} times 10 ({name} caller); at most twice: {yes(ratio <= 2)}")
    say()


def known_caller(held: Snapshot) -> Callable[[], None]:
    return lambda: permitted(held, ALICE)


def new_callers(held: Snapshot) -> Callable[[], None]:
    """Somebody else each time, who has policies of their own if the set is large enough."""
    numbers = itertools.count()
    return lambda: permitted(held, policy_sets.user(next(numbers)), strict=False)


def permitted(held: Snapshot, who: Principal, *, strict: bool = True) -> None:
    (verdict,) = decide(held, who, [QUERY], Purpose.CALL, catalog_digest=held.catalog_digest, now=NOON)
    if verdict.errors or (strict and verdict.effect is not Effect.PERMIT):
        raise RuntimeError(f"not the expected verdict: {verdict}")


def unsliced(held: Snapshot) -> Callable[[], None]:
    """The same question to the engine with every policy, and the same rule: an error is a denial."""
    everything = cedarpy.PolicySet.from_str("\n".join(rule.text for rule in held.room.slices.rules))

    def decided() -> None:
        prepared = prepare(held, ALICE, QUERY, NOON, whole=True)
        result = cedarpy.is_authorized(dict(prepared.request), everything, prepared.world.handle, held.schema)
        if not result.allowed or result.diagnostics.errors:
            raise RuntimeError("not the expected decision")

    return decided


def best(work: Callable[[], None], *, most: int = 20_000) -> Figures:
    """Of several rounds the one with the lowest median: neighbours only ever add."""
    work()
    return min((repeat(work, seconds=SECONDS / 2, most=most) for _ in range(ROUNDS)), key=lambda round_: round_.p50)


async def served() -> None:
    say(f"over gRPC on loopback, best of {ROUNDS} rounds of {SECONDS:g} s, latencies in ms")
    say("ours as the PEP asks: a new question each time, sealed both ways, each decision recorded; Cerbos: neither")
    say(
        f"{'policies':>10}{'clients':>9}{'':>4}{'calls/s':>10}{'p50':>8}{'p99':>8}   {'Cerbos: calls/s':>16}{'p50':>8}{'p99':>8}"
    )
    try:
        cerbos.binary()
        peer = ""
    except cerbos.NotThereError as error:
        peer = str(error)
    for size in SERVED:
        await compared(size, with_peer=not peer)
    if peer:
        say(f"Cerbos left out: {peer}")
    with tempfile.TemporaryDirectory() as scratch:
        await remembered(Path(scratch))
    say()


async def compared(size: int, *, with_peer: bool) -> None:
    """In turns, so that both have the same neighbours."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch)
        async with started(config(path, laid_out(path, size))) as process:
            client = PdpClient(process.listen, HopKeyFile(process.hop_key))

            async def ours() -> None:
                answer = await client.ask(question(), batch=False, timeout=5)
                if answer.results[0].effect != pb.EFFECT_PERMIT:
                    raise RuntimeError(f"not the expected answer: {answer}")

            for clients in CLIENTS:
                if with_peer:
                    async with cerbos.running(size) as peer:
                        rows = [
                            (await measured(ours, clients), await measured(peer.ask, clients)) for _ in range(ROUNDS)
                        ]
                    compare(size, clients, [one for one, _ in rows], [other for _, other in rows])
                else:
                    compare(size, clients, [await measured(ours, clients) for _ in range(ROUNDS)], [])
            say(f"{size:>10} policies: {resident_mib(process.child.pid):.0f} MiB resident after it")
            await client.close()


async def measured(work: Callable[[], Awaitable[None]], clients: int) -> Figures:
    return await ask(work, clients=clients, seconds=SECONDS)


def compare(size: int, clients: int, ours: list[Figures], theirs: list[Figures]) -> None:
    fastest = min(ours, key=lambda one: one.p50)
    line = f"{size:>10}{clients:>9}{'':>4}{fastest.per_second:>10.0f}{fastest.p50:>8.2f}{fastest.p99:>8.2f}"
    if theirs:
        other = min(theirs, key=lambda one: one.p50)
        line += f"   {other.per_second:>16.0f}{other.p50:>8.2f}{other.p99:>8.2f}"
        line += (
            f"   ours {fastest.per_second / other.per_second:.2f}x the calls, {fastest.p50 / other.p50:.2f}x the p50"
        )
    say(line)


async def remembered(path: Path) -> None:
    async with started(config(path, laid_out(path, SIZES[-1]))) as process:
        mib = resident_mib(process.child.pid)
        say(f"{SIZES[-1]:>10} policies: {mib:.0f} MiB resident; at most {MEMORY_MIB}: {yes(mib <= MEMORY_MIB)}")


async def reloaded() -> None:
    say(f"{RELOADED} policies reloaded under steady questions …")
    with tempfile.TemporaryDirectory() as scratch:
        stall = await reload_stall.measure(RELOADED, Path(scratch))
    say(
        f"took {stall.reload:.1f} s; median wait {stall.median * 1000:.1f} ms, longest {stall.longest * 1000:.1f} ms "
        f"(left alone: {stall.quiet_median * 1000:.1f} and {stall.quiet_longest * 1000:.1f} ms); "
        f"no stall over {STALL_MS} ms: {yes(stall.longest * 1000 <= STALL_MS)}"
    )


def laid_out(directory: Path, size: int) -> Path:
    policies = directory / "policies"
    policies.mkdir()
    for name, data in policy_sets.of_size(size).files.items():
        (policies / name).write_bytes(data)
    return policies


def micro(one: Figures) -> str:
    return f"{one.p50 * 1000:.0f} / {one.p99 * 1000:.0f}"
