"""Room 8: what leaves. Pure: caps a result, and fulfils the permit's obligations or withholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sallyport.pep.model import Json, ToolOutput
from sallyport.pep.refusal import Reason, Refusal
from sallyport.runtime import canonical_json

# Obligations that this room can fulfil. An empty set makes every obligation a refusal, before the effect.
FULFILLED: Final[frozenset[str]] = frozenset()


def result(output: ToolOutput, *, obligations: Sequence[str], max_bytes: int) -> ToolOutput | Refusal:
    """The output that may leave, or why it may not (the effect is done all the same)."""
    if not set(obligations) <= FULFILLED:
        return _withheld("an obligation that can't be fulfilled")
    try:
        size = len(canonical_json.encode({"content": list(output.content), "structured": output.structured}))
    except ValueError as error:
        return _withheld(f"not JSON: {error}")
    return output if size <= max_bytes else _withheld(f"{size} bytes, over the cap of {max_bytes}")


def listing(tools: Iterable[dict[str, Json]], visible: frozenset[str]) -> list[dict[str, Json]]:
    """The tools that this caller may see, in the catalog's order."""
    return [tool for tool in tools if tool["name"] in visible]


def _withheld(detail: str) -> Refusal:
    return Refusal(Reason.WITHHELD, detail, data={"effect": "done"})
