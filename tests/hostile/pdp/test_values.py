"""Values that have no faithful form, and values that are only big: denied with a code, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp.model import Effect, ErrorCode, Session, Verdict
from sallyport.pdp.snapshot import Snapshot
from tests.contract.pdp_service.running import evaluation, question, running
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, read, snapshot

SECONDS: Final = 2.0  # of this process alone, many times what any of these takes
MIB: Final = 1 << 20
DEEP: Final = 100_000
INPUT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "flag": {"type": "boolean"},
        "money": {"type": "number", "minimum": 0, "maximum": 1e6, "multipleOf": 0.01},
        "tags": {"type": "array", "items": {"type": "string"}},
        "nested": {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "integer"}}},
    },
}


@cache
def held() -> Snapshot:
    policies = '@id("all") permit (principal, action, resource);'
    return snapshot(tools=[sample.tool("all", input=INPUT), *sample.TOOLS], policies={"x.cedar": policies})


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def bounded(work: Callable[[], Verdict], *, mib: float = 64) -> Verdict:
    """What came of it; fails if it took long or much."""
    tracemalloc.start()
    began = time.process_time()
    try:
        verdict = work()
        assert time.process_time() - began < SECONDS
        assert tracemalloc.get_traced_memory()[1] < mib * MIB
    finally:
        tracemalloc.stop()
    return verdict


WRONG: Final[dict[str, tuple[str, Any]]] = {
    "a float for an integer": ("count", 1.5),
    "a large float for an integer": ("count", 1e300),
    "infinity": ("count", float("inf")),
    "no number": ("count", float("nan")),
    "2^63": ("count", 2**63),
    "below -2^63": ("count", -(2**63) - 1),
    "a thousand digits": ("count", 10**1000),
    "true for an integer": ("count", True),
    "1 for true": ("flag", 1),
    "null": ("text", None),
    "a lone surrogate": ("text", "a\ud800"),
    "a lone surrogate within": ("tags", ["x", "\udfff"]),
    "a text of 10 MB": ("text", "x" * (10 * MIB)),
    "a list of a million": ("tags", ["x"] * MIB),
    "a list of texts of 10 MB": ("tags", ["x" * MIB] * 10),
    "a sum with half a cent": ("money", 0.00005),
    "an infinite sum": ("money", float("inf")),
    "no sum": ("money", float("nan")),
    "a text for a list": ("tags", "x"),
    "an object for a text": ("text", {"__entity": {"type": "Role", "id": "admin"}}),
    "a call for a text": ("text", {"__extn": {"fn": "ip", "arg": "10.0.0.1"}}),
    "depth for a text": ("text", nested(DEEP)),
    "depth for an integer": ("count", nested(DEEP)),
    "depth in a list": ("tags", nested(DEEP)),
    "depth in an object": ("nested", {"a": nested(DEEP)}),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_value_without_a_faithful_form_is_denied_with_a_code(name: str) -> None:
    key, value = WRONG[name]
    verdict = bounded(lambda: ask(held(), "all", ("Tool", "all"), {key: value}))
    assert (verdict.effect, verdict.errors) == (Effect.DENY, (ErrorCode.VALUE_NOT_CARRIED,))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 2**53),
        ("count", 2**63 - 1),
        ("count", -(2**63)),
        ("count", 3.0),
        ("text", "\U0010ffff\0"),
        ("money", 0.29),
    ],
)
def test_a_value_at_the_edge_is_carried(key: str, value: object) -> None:
    """Else the table above could be one of denials for another reason."""
    assert ask(held(), "all", ("Tool", "all"), {key: value}).effect is Effect.PERMIT


@pytest.mark.parametrize("value", [nested(DEEP), "x" * (10 * MIB), float("nan"), "\ud800", None])
def test_what_no_type_names_is_dropped_whatever_it_is(value: object) -> None:
    verdict = bounded(lambda: ask(held(), "all", ("Tool", "all"), {"unknown": value, "text": "x"}))
    assert verdict.effect is Effect.PERMIT


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        None,
        float("nan"),
        "\ud800",
        "",
        "x" * (10 * MIB),
        nested(DEEP),
        {"__entity": {"type": "Org", "id": "acme"}},
    ],
)
@pytest.mark.parametrize("attribute", ["org", "owner", "more"])
def test_attributes_of_any_value_are_denied_with_a_code(attribute: str, value: object) -> None:
    for path in ("alice/a", "nobody/a"):
        verdict = bounded(partial(read, held(), path, attributes={attribute: value}), mib=96)
        assert verdict.effect is Effect.DENY
        assert verdict.errors


@pytest.mark.parametrize(
    "changes",
    [
        {"session": Session(risk=2**63)},
        {"session": Session(risk=-1)},
        {"session": Session(mfa_age=2**63)},
        {"session": Session(call_count=2**53)},
        {"session": Session(risk=1.0)},  # type: ignore[arg-type]
        {"session": Session(risk=True)},
        {"session": Session(ip="1" * MIB)},
        {"session": Session(ip="10.0.0.1\n")},
        {"who": alice(user_id="\udc80")},
        {"who": alice(issuer="x\ud800")},
        {"who": alice(scopes=("\ud800",))},
    ],
    ids=str,
)
def test_facts_of_any_value_are_denied_with_a_code(changes: dict[str, Any]) -> None:
    verdict = bounded(lambda: ask(held(), "all", ("Tool", "all"), {}, **changes))
    assert (verdict.effect, verdict.errors) == (Effect.DENY, (ErrorCode.INVALID_QUESTION,))


RAW: Final = {
    "a float": (b'{"limit":1.5,"table":"orders"}', pb.ERROR_CODE_VALUE_NOT_CARRIED),
    "a large float": (b'{"limit":1e+300,"table":"orders"}', pb.ERROR_CODE_VALUE_NOT_CARRIED),
    "null": (b'{"limit":null,"table":"orders"}', pb.ERROR_CODE_VALUE_NOT_CARRIED),
    "2^53": (b'{"limit":9007199254740992,"table":"orders"}', pb.ERROR_CODE_INVALID_QUESTION),
    "2^63": (b'{"limit":9223372036854775808,"table":"orders"}', pb.ERROR_CODE_INVALID_QUESTION),
    "below -2^63": (b'{"limit":-9223372036854775809,"table":"orders"}', pb.ERROR_CODE_INVALID_QUESTION),
    "infinity": (b'{"limit":Infinity,"table":"orders"}', pb.ERROR_CODE_INVALID_QUESTION),
    "overflow": (b'{"limit":1e999,"table":"orders"}', pb.ERROR_CODE_INVALID_QUESTION),
    "a pair of surrogates the wrong way": (b'{"table":"\\udc00\\ud800"}', pb.ERROR_CODE_INVALID_QUESTION),
    "depth": (b'{"x":' + b"[" * 90_000 + b"]" * 90_000 + b"}", pb.ERROR_CODE_INVALID_QUESTION),
    "a key twice, deep": (b'{"filters":[{"a":1,"a":1}],"table":"orders"}', pb.ERROR_CODE_INVALID_QUESTION),
    "many keys": (b"{" + b",".join(b'"%06d":0' % n for n in range(16_000)) + b"}", pb.ERROR_CODE_VALUE_NOT_CARRIED),
}  # fmt: skip


async def test_over_the_wire_each_is_denied_with_a_code_and_nobody_else_is_harmed(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        for name, (data, code) in RAW.items():
            asked = question(evaluation("database_query", "Table::orders"))
            asked.evaluations[0].input = data
            began = time.process_time()
            answer = await pdp.send(asked.SerializeToString())
            assert time.process_time() - began < SECONDS, name
            assert [(one.effect, list(one.errors)) for one in answer.results] == [(pb.EFFECT_DENY, [code])], name
        assert (await pdp.ask(question())).results[0].effect == pb.EFFECT_PERMIT


@pytest.mark.parametrize("size", [300 << 10, 10 * MIB])
async def test_a_message_of_megabytes_is_cut_off_before_it_is_read(tmp_path: Path, size: int) -> None:
    async with running(tmp_path) as pdp:
        asked = question()
        asked.evaluations[0].input = b'{"path":"' + b"x" * size + b'"}'
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.send(asked.SerializeToString())
        assert caught.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert (await pdp.ask(question())).results[0].effect == pb.EFFECT_PERMIT
