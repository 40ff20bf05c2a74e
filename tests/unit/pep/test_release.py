"""What leaves: under the cap as a whole, JSON, and only where every obligation is fulfilled."""

from __future__ import annotations

import pytest

from sallyport.pep import release
from sallyport.pep.model import Json, ToolOutput
from sallyport.pep.refusal import Reason, Refusal

CAP = 1000


def shown(output: ToolOutput, *obligations: str) -> ToolOutput | Refusal:
    return release.result(output, obligations=obligations, max_bytes=CAP)


def text(value: str, structured: dict[str, Json] | None = None) -> ToolOutput:
    return ToolOutput(({"type": "text", "text": value},), structured)


def test_what_fits_leaves_as_it_is() -> None:
    output = text("small", {"a": 1})
    assert shown(output) is output


@pytest.mark.parametrize(
    "output",
    [
        text("x" * CAP),
        text("small", {"rows": ["x" * CAP]}),
        text("é" * (CAP // 2)),
        text("x" * (CAP // 2), {"rows": ["x" * (CAP // 2)]}),
        text("small", {"a": float("nan")}),
        text("\ud800"),
    ],
    ids=["text", "structured", "bytes, not characters", "both together", "no JSON", "no text"],
)
def test_n24_what_is_over_the_cap_or_no_json_is_withheld_and_said_to_be_done(output: ToolOutput) -> None:
    refused = shown(output)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.WITHHELD
    assert refused.data == {"effect": "done"}


def test_an_obligation_that_nobody_can_fulfil_withholds() -> None:
    assert isinstance(shown(text("small"), "mask:email"), Refusal)


def test_a_listing_holds_what_is_visible_in_the_catalogs_order() -> None:
    tools: list[dict[str, Json]] = [{"name": name} for name in ("c", "a", "b")]
    assert release.listing(tools, frozenset({"b", "c", "unknown"})) == [{"name": "c"}, {"name": "b"}]
