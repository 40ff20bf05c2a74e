"""One request below every limit that was made to be dear: refused, recorded, and little is done for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep import mirrored
from sallyport.pep.model import Json
from sallyport.pep.rpc import envelope
from tests.support.surfaces import META, Surfaces, surfaces

BODY: Final = 1 << 20  # bytes that a body may have
KEYS: Final = {f"k{i:x}": 0 for i in range(60_000)}
MARKS: Final = {"a" + "\u0315\u0300" * 80_000: 0}  # NFKC puts them in order, in the square of their number
TOO_LARGE: Final = f"the arguments are larger than {MAX_INPUT_BYTES} bytes"


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surfaces]:
    async with surfaces(tmp_path_factory.mktemp("costly") / "laptop") as opened:
        yield opened


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every fold of a key, and every walk through arguments for a header."""
    seen: list[str] = []

    def count(module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(value: Any) -> Any:
            seen.append(name)
            return real(value)

        monkeypatch.setattr(module, name, counted)

    count(envelope, "_fold")
    count(mirrored, "_scalars")
    return seen


@pytest.mark.parametrize("role", ["everything", "guest"])
@pytest.mark.parametrize(
    ("params", "told"),
    [
        (KEYS, "params has more than 64 members"),
        (MARKS, "params has a key of more than 128 characters"),
        ({"_meta": {**META, **KEYS}}, "_meta has more than 64 members"),
        ({"_meta": {**META, **MARKS}}, "_meta has a key of more than 128 characters"),
    ],
    ids=["params", "a key", "_meta", "a key of _meta"],
)
async def test_n24_keys_that_are_dear_to_fold_are_never_folded(
    made: Surfaces, done: list[str], params: dict[str, Json], told: str, role: str
) -> None:
    request = made.request("tools/call", {"name": "echo", **params}, roles=(role,))
    assert len(request.body) < 2 * BODY
    answer = await made.send(request)
    assert (answer.answer.status, answer.error["code"]) == (400, -32602)
    assert answer.error["message"].endswith(told)
    assert answer.reason() == "invalid_params"
    assert done == []


async def test_n24_fifty_headers_do_not_multiply_the_arguments(made: Surfaces, done: list[str]) -> None:
    headers = tuple((f"mcp-param-{i}".encode(), b"1") for i in range(50))
    for items, walks in ((100_000, 0), (90_000, 1)):
        request = made.request("tools/call", {"name": "echo", "arguments": {"a": [2] * items}})
        answer = await made.send(replace(request, headers=request.headers + headers))
        assert answer.answer.status == 400
        assert answer.error["message"].endswith(TOO_LARGE if not walks else "disagree")
        assert done == ["_scalars"] * walks


@pytest.mark.parametrize(
    ("responses", "told"),
    [
        ({"q": {"a": "x" * 300_000}}, TOO_LARGE),
        ({"q": {"a": [0.5] * 100_000}}, TOO_LARGE),
        ({"q": {"a": [1] * 100_000}}, TOO_LARGE),
        ({"q": {"a": "\u0001" * 40_000}}, TOO_LARGE),
        ({"q": 1}, "inputResponses is no object of objects"),
    ],
    ids=["text", "floats", "integers", "escapes", "no object"],
)
async def test_n24_what_a_task_is_told_has_bounds_before_anybody_hears_it(
    made: Surfaces, responses: dict[str, Json], told: str
) -> None:
    begun = await made.ask("tools/call", {"name": "start", "arguments": {}})
    asked = len(made.got)
    answer = await made.ask("tasks/update", {"taskId": begun.result["taskId"], "inputResponses": responses})
    assert (answer.answer.status, answer.error["code"]) == (400, -32602)
    assert answer.error["message"].endswith(told)
    assert len(made.got) == asked


async def test_what_a_task_is_told_goes_on_up_to_the_cap(made: Surfaces) -> None:
    begun = await made.ask("tools/call", {"name": "start", "arguments": {}})
    frame = len(json.dumps({"inputResponses": {"q": {"a": ""}}}, separators=(",", ":")))
    responses: Json = {"q": {"a": "x" * (MAX_INPUT_BYTES - frame)}}
    answer = await made.ask("tasks/update", {"taskId": begun.result["taskId"], "inputResponses": responses})
    assert answer.result
    assert made.got[-1].message["params"]["inputResponses"] == responses


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ("tools/call", {"name": "ask", "arguments": {}}),
        ("prompts/get", {"name": "greet", "arguments": {"who": "x"}}),
        ("resources/read", {"uri": "test://plain"}),
    ],
)
async def test_n24_what_a_second_way_brings_has_the_same_cap(
    made: Surfaces, method: str, named: dict[str, Json]
) -> None:
    asked = len(made.got)
    answer = await made.ask(method, {**named, "inputResponses": {"q": {"a": [0.5] * 100_000}}})
    assert TOO_LARGE in json.dumps(answer.body)
    assert len(made.got) == asked
