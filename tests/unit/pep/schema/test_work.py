"""What one call may cost room 4: the work is counted, so that no clock is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.model import CheckedCall, Json
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.schema.defaults import TooMuch, filled_in
from sallyport.runtime import canonical_json
from tests.unit.pep.schema.support import called, loaded

TOO_LARGE: Final = f"the arguments are larger than {MAX_INPUT_BYTES} bytes"
ITEMS: Final = 2000


class Properties(Mapping[str, Any]):
    """The properties of a schema, which know how many of them somebody looked at."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held, self.seen = held, 0

    def __getitem__(self, key: str) -> Any:
        return self.held[key]

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Iterator[str]:
        for key in self.held:
            self.seen += 1
            yield key


@pytest.mark.parametrize("default", [{}, {"d": {"default": 1}}])
def test_n24_an_array_is_not_held_against_every_property_that_its_items_may_have(default: dict[str, Any]) -> None:
    properties = Properties({**{f"p{i}": {"type": "string"} for i in range(50)}, **default})
    schema = {"properties": {"a": {"items": {"properties": properties}}}}
    filled = filled_in(schema, {"a": [{} for _ in range(ITEMS)]})
    assert filled == {"a": [dict.fromkeys(default, 1)] * ITEMS}
    assert properties.seen <= 2 * len(properties)


@pytest.mark.parametrize("nested", [False, True])
def test_n24_defaults_that_multiply_stop_at_the_cap(nested: bool) -> None:
    items: dict[str, Any] = {"properties": {f"d{i}": {"default": 1} for i in range(50)}}
    value: list[Json] = [[{}] if nested else {} for _ in range(ITEMS)]
    schema = {"items": {"items": items} if nested else items}
    with pytest.raises(TooMuch):
        filled_in(schema, value)


def test_n24_what_defaults_make_too_large_is_refused_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    encode = canonical_json.encode

    def counted(value: Json, **how: Any) -> bytes:
        written.append(1)
        return encode(value, **how)

    few = {"properties": {"a": {"items": {"properties": {"d": {"default": "x" * 1000}}}}}}
    many = {"properties": {"a": {"items": {"properties": {f"d{i}": {"default": 1} for i in range(50)}}}}}
    held = [loaded(few), loaded(many)]
    monkeypatch.setattr(canonical_json, "encode", counted)
    for each in held:
        found = called("copy", {"a": [{} for _ in range(ITEMS)]}, each)
        assert isinstance(found, Refusal)
        assert (found.reason, found.public) == (Reason.INVALID_ARGUMENTS, TOO_LARGE)
    assert written == []
    assert isinstance(called("copy", {"a": [{}]}, held[0]), CheckedCall)
    assert written == [1]  # once a call


def test_n24_an_error_names_three_unknown_arguments_however_many_there_are() -> None:
    found = called(
        "copy", {f"k{i}": 1 for i in range(ITEMS)}, loaded({"properties": {}, "unevaluatedProperties": False})
    )
    assert isinstance(found, Refusal)
    assert found.public == "/: unknown argument k0, k1, k10"
