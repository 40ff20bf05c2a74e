"""How long a question waits at most while a big policy set is reloaded: a real PDP process, asked steadily over gRPC.

`python -m tests.bench.reload_stall [POLICIES]` prints it, beside the longest wait of the same PDP left alone.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sallyport.runtime import mounted_dir
from tests.contract.pdp_service.process import config, started
from tests.contract.pdp_service.reloading import publish
from tests.contract.pdp_service.running import POLICIES, Client, question

_A_FILE = 2000
_PATIENCE = 600.0
_PAUSE = 0.002  # between an answer and the next question


@dataclass(frozen=True, slots=True)
class Stall:
    """Seconds, as the asker sees them."""

    quiet_median: float
    quiet_longest: float
    median: float
    longest: float
    reload: float  # from the swap of the link to the first answer by the new set
    asked: int  # questions during the reload and while the old set was dropped


async def measure(count: int, directory: Path, *, quiet: float = 2.0) -> Stall:
    """Reload a set of so many policies once, under steady questions."""
    policies = directory / "policies"
    publish(policies, big_set(count, "first"))
    path = config(directory, policies, poll_ms=100)
    async with started(path, seconds=_PATIENCE) as process, process.client() as client:
        gc.collect()
        gc.freeze()  # the asker's own collections are no wait for the PDP
        before = await _steadily(client, until=time.perf_counter() + quiet)
        publish(policies, big_set(count, "second"))
        began = time.perf_counter()
        during = await _steadily(client, instead_of=before[-1].revision)
        ended = time.perf_counter()
        after = await _steadily(client, until=ended + quiet)  # while the old set is freed
        gc.unfreeze()
    alone, waits = (sorted(wait.seconds for wait in waits) for waits in (before, [*during, *after]))
    return Stall(alone[len(alone) // 2], alone[-1], waits[len(waits) // 2], waits[-1], ended - began, len(waits))


def big_set(count: int, mark: str) -> dict[str, bytes]:
    """The shipped set and so many policies more, of the kinds that big sets are made of."""
    files = dict(mounted_dir.read(POLICIES).files)
    lines = [_policy(number, mark) for number in range(count)]
    for start in range(0, count, _A_FILE):
        files[f"big{start}.cedar"] = "\n".join(lines[start : start + _A_FILE]).encode()
    return files


def _policy(number: int, mark: str) -> str:
    user = f'"[\\"laptop\\",\\"u{number}\\"'
    head = f'@id("big.{mark}{number}")\n'
    match number % 4:
        case 0:
            return (
                f'{head}permit (principal == Compound::{user},\\"coding-bot\\"]", action == Action::"read_file", resource)'
                " when { resource.owner == principal.user_id && principal.agent_trust_level >= 5 };"
            )
        case 1:
            return (
                f'{head}permit (principal in User::{user}]", action in [Action::"read_file", Action::"write_file"], '
                f'resource == File::"alice/f{number}.txt") when {{ context.session.hour_utc >= 9 }};'
            )
        case 2:
            return (
                f'{head}forbid (principal, action == Action::"database_query", resource == Table::"t{number}")'
                ' unless { principal in Role::"admin" && context.input.table == "a" };'
            )
        case _:
            return (
                f'{head}permit (principal in Role::"developer", action == Action::"describe_table", '
                f'resource == Table::"t{number}");'
            )


@dataclass(frozen=True, slots=True)
class _Wait:
    seconds: float
    revision: str


async def _steadily(client: Client, *, until: float = float("inf"), instead_of: str = "") -> list[_Wait]:
    """Ask and ask again, until that time or until another revision than this one answers."""
    found: list[_Wait] = []
    while time.perf_counter() < until and (not instead_of or not found or found[-1].revision == instead_of):
        began = time.perf_counter()
        answer = await client.ask(question())
        found.append(_Wait(time.perf_counter() - began, answer.revision))
        await asyncio.sleep(_PAUSE)
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(measure(count, Path(directory)))
    print(  # noqa: T201 — its one result
        f"{count} policies reloaded in {found.reload:.1f} s under {found.asked} questions: "
        f"median {found.median * 1000:.1f} ms, longest {found.longest * 1000:.1f} ms "
        f"(left alone: {found.quiet_median * 1000:.1f} and {found.quiet_longest * 1000:.1f} ms)"
    )


if __name__ == "__main__":
    main()
