"""Fields and rows: taken out of what has the shape, and nothing leaves of what has another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep.model import Json, ToolOutput
from tests.unit.pep.release.support import SHAPES, both, data, leaving, shown, spelt, text, tool, withheld

ROWS: dict[str, Json] = {"rows": [{"id": 1, "ssn": "s1", "org": "acme"}, {"id": 2, "org": "globex", "ssn": "s2"}]}
NAMES = st.text("abcd/~é", min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text("xyz", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def pointer(*steps: str) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


@pytest.mark.parametrize(
    ("obligation", "given_", "left"),
    [
        ("redact:/ssn", {"ssn": "secret", "a": 1}, {"a": 1}),
        ("redact:/a/b", {"a": {"b": {"c": 1}, "d": 2}}, {"a": {"d": 2}}),
        ("redact:/a/b", {"a": None}, {"a": None}),
        ("redact:/rows/*/ssn", ROWS, {"rows": [{"id": 1, "org": "acme"}, {"id": 2, "org": "globex"}]}),
        ("redact:/rows/*/ssn", {"rows": [{"ssn": "s"}, {"id": 2}, None]}, {"rows": [{}, {"id": 2}, None]}),
        ("redact:/rows/*/ssn", {"rows": []}, {"rows": []}),
        ("redact:/tags/*", {"tags": ["a", {"b": 1}]}, {"tags": []}),
        ("redact:/rows/*/tags/*", {"rows": [{"tags": [1]}]}, {"rows": [{"tags": []}]}),
        ("drop_rows:/rows where /org = 'globex'", ROWS, {"rows": [{"id": 1, "ssn": "s1", "org": "acme"}]}),
        ("drop_rows:/rows where /org != 'globex'", ROWS, {"rows": [{"id": 2, "ssn": "s2", "org": "globex"}]}),
        ("drop_rows:/rows where /id = 1", {"rows": [{"id": 1}, {"id": 1.0}, {"id": 2}]}, {"rows": [{"id": 2}]}),
        ("drop_rows:/rows where /x = true", {"rows": [{"x": True}, {"x": False}, {"x": 0}]}, {"rows": [{"x": False}]}),
        ("drop_rows:/rows where /o/id = 3", {"rows": [{"o": {"id": 4}}, {"o": {}}, {"o": 4}]}, {"rows": [{"o": {"id": 4}}]}),
        ("max_rows:1", {"a": [1, 2], "b": {"c": [[1, 2], 3]}}, {"a": [1], "b": {"c": [[1]]}}),
        ("max_rows:9", ROWS, ROWS),
        ("drop_rows:/rows where /org = 'acme'; redact:/rows/*/ssn", ROWS, {"rows": [{"id": 2, "org": "globex"}]}),
        ("drop_rows:/rows where /ssn = 's1'; redact:/rows/*/ssn", ROWS, {"rows": [{"id": 2, "org": "globex"}]}),
    ],
)  # fmt: skip
def test_structured_content_and_its_text_lose_the_same(obligation: str, given_: dict[str, Json], left: Json) -> None:
    told = tool(both(given_), obligation)
    assert told.structured == left == data(told)
    alone = tool(text(spelt(given_)), obligation)
    assert alone.structured is None
    assert data(alone) == left


@pytest.mark.parametrize("row", [{}, {"org": None}, {"org": 1}, {"org": ["acme"]}, {"ORG": "acme"}, "acme", None, []])
@pytest.mark.parametrize("sign", ["=", "!="])
def test_a_row_that_isnt_known_to_stay_goes(row: Json, sign: str) -> None:
    told = tool(both({"rows": [row]}), f"drop_rows:/rows where /org {sign} 'globex'")
    assert told.structured == {"rows": []}


def test_several_obligations_hold_all_and_the_strictest_number_counts() -> None:
    told = tool(
        both({"rows": [{"ssn": "s", "mail": "a@x.org"}] * 9}),
        "max_rows:5",
        "mask:email; max_rows:3",
        "redact:/rows/*/ssn",
    )
    assert told.structured == {"rows": [{"mail": "masked@masked.invalid"}] * 3}


@pytest.mark.parametrize(
    ("obligation", "value"),
    [
        ("redact:/ssn", {"result": {"ssn": "leak"}}),
        ("redact:/ssn", {"SSN": "leak"}),
        ("redact:/ssn", {"ssn ": "leak"}),
        ("redact:/a/ssn", {"b": {"ssn": "leak"}}),
        ("redact:/a/ssn", {"a": "ssn leak"}),
        ("redact:/a/ssn", {"a": [{"ssn": "leak"}]}),
        ("redact:/a/*/ssn", {"a": {"0": {"ssn": "leak"}}}),
        ("redact:/a/*/ssn", {"a": [{"b": {"ssn": "leak"}}]}),
        ("redact:/a/*/ssn", {"a": {"*": {"ssn": "s"}, "b": {"ssn": "leak"}}}),
        ("redact:/a/*/ssn", {"a": [["leak"]]}),
        ("redact:/a/*/ssn", {"a": [{"ssn": "leak"}, "leak"]}),
        ("redact:/a/0/ssn", {"a": [{"ssn": "leak"}]}),
        ("redact:/a/*", {"a": {"b": "leak"}}),
        ("redact:/ssn", {"result": '{"ssn":"leak"}', "ssn": 1}),
        ("redact:/ssn", {"result": '["leak"]', "ssn": 1}),
        ("redact:/ssn", {"result": ' {"leak":1,"leak":2}', "ssn": 1}),
        ("drop_rows:/rows where /org = 'a'", {"items": [{"org": "a", "x": "leak"}]}),
        ("drop_rows:/rows where /org = 'a'", {"rows": {"0": {"org": "a", "x": "leak"}}}),
        ("drop_rows:/rows where /org = 'a'", {"rows": "leak"}),
        ("max_rows:1", {"result": '["leak","leak"]'}),
    ],
)
def test_what_has_another_shape_than_the_obligation_names_is_withheld(obligation: str, value: dict[str, Json]) -> None:
    for output in (both(value), text(spelt(value)), text("plain", value)):
        found = shown(output, obligation)
        withheld(found)
        assert "leak" not in leaving(found)


@pytest.mark.parametrize("obligation", SHAPES)
@pytest.mark.parametrize(
    "output",
    [
        text("leak in prose"),
        text('"leak in a JSON string"'),
        text("41"),
        text("null"),
        text('{"ssn":"leak","ssn":"leak"}'),
        text('{"ssn":"leak","rows":[{"ssn":NaN}]}'),
        text('{"ssn":"leak"'),
        text('{"ssn":"leak"} and prose'),
        text('{"ssn":"leak"}\n{"ssn":"leak"}'),
        text("leak", is_error=True),
        ToolOutput(({"type": "image", "data": "bGVhaw==", "mimeType": "image/png"},)),
        ToolOutput(({"type": "audio", "data": "bGVhaw==", "mimeType": "audio/wav"},)),
        ToolOutput(({"type": "resource_link", "uri": "crm://leak", "name": "leak"},)),
        ToolOutput(({"type": "resource", "resource": {"uri": "crm://x", "text": "leak"}},)),
        ToolOutput(({"type": "resource", "resource": {"uri": "crm://x", "blob": "bGVhaw=="}},)),
        ToolOutput(({"type": "image", "data": "bGVhaw==", "mimeType": "image/png"},), {"ssn": 1, "rows": []}),
    ],
)
def test_what_has_no_fields_is_withheld_under_an_obligation_on_fields(obligation: str, output: ToolOutput) -> None:
    found = shown(output, obligation)
    withheld(found)
    assert "leak" not in leaving(found)
    assert "bGVhaw" not in leaving(found)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": "bGVhaw==", "mimeType": "image/png"},
        {"type": "audio", "data": "bGVhaw==", "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "crm://x", "blob": "bGVhaw=="}},
        {"type": "resource_link", "uri": "crm://leak@example.com/", "name": "n"},
        {"type": "resource", "resource": {"uri": "crm://leak@example.com/", "text": ""}},
        {"type": "text", "text": '{"a":"leak@example.com","a":1}'},
    ],
)
def test_what_cant_be_masked_is_withheld(block: dict[str, Json]) -> None:
    found = shown(ToolOutput((block,)), "mask:email")
    withheld(found)
    assert "leak" not in leaving(found)


def test_words_beside_structured_content_are_written_anew() -> None:
    value: dict[str, Json] = {"ssn": "leak", "name": "alice"}
    told = tool(text("alice's number is leak", value), "redact:/ssn")
    assert told.structured == {"name": "alice"} == data(told)
    assert len(told.content) == 1
    assert "leak" not in leaving(told)


def test_an_upstreams_meta_doesnt_leave_under_an_obligation() -> None:
    meta: dict[str, Json] = {"crm/row": {"ssn": "leak"}}
    block: dict[str, Json] = {"type": "text", "text": '{"ssn":1}', "_meta": meta}
    for obligation in ("redact:/ssn", "mask:ssn"):
        assert "leak" not in leaving(shown(ToolOutput((block,), {"ssn": 1}, meta=meta), obligation))
        assert "leak" not in leaving(shown(ToolOutput((block,), meta=meta), obligation))


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"ssn": {"type": "string"}, "pay": {"type": ["integer", "null"]}, "grade": {"type": "integer"}},
    "required": ["ssn"],
}


def test_a_field_that_the_schema_wants_is_marked_instead() -> None:
    told = tool(both({"ssn": "leak", "pay": 7}), "redact:/ssn", schema=SCHEMA)
    assert told.structured == {"ssn": "[redacted]", "pay": 7} == data(told)
    told = tool(both({"ssn": "leak", "pay": 7}), "redact:/pay", schema=SCHEMA)
    assert told.structured == {"ssn": "leak"}


def test_a_field_that_can_be_neither_missing_nor_marked_withholds() -> None:
    schema = {**SCHEMA, "required": ["grade"]}
    found = shown(both({"grade": 13}), "redact:/grade", schema=schema)
    assert "output schema" in withheld(found)


def set_at(value: Json, steps: list[str], leaf: Json) -> Json:
    if not steps:
        return leaf
    beneath = value if isinstance(value, dict) else {}
    return {**beneath, steps[0]: set_at(beneath.get(steps[0]), steps[1:], leaf)}


def get_at(value: Json, steps: list[str]) -> Json:
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


@given(st.dictionaries(NAMES, VALUES, max_size=3), st.lists(NAMES, min_size=1, max_size=4))
def test_a_redacted_field_is_gone_and_all_others_are_as_they_were(value: dict[str, Json], steps: list[str]) -> None:
    whole = set_at(value, steps, "CANARY")
    assert isinstance(whole, dict)
    told = tool(both(whole), f"redact:{pointer(*steps)}")
    assert "CANARY" not in leaving(told)
    assert set_at(told.structured, steps, "CANARY") == whole
    assert get_at(told.structured, steps) is None


@given(VALUES, st.lists(NAMES | st.just("*"), min_size=1, max_size=3))
def test_any_pointer_on_any_json_takes_out_or_withholds(value: Json, steps: list[str]) -> None:
    """Whatever it meets, nothing but Withheld is raised, and what leaves has no such field."""
    output = both({"a": value, "b": {"a": value}})
    found = shown(output, f"redact:{pointer(*steps)}")
    if isinstance(found, ToolOutput) and "*" not in steps:
        assert get_at(found.structured, steps) is None
        assert data(found) == found.structured


@given(
    st.lists(
        st.fixed_dictionaries({"org": st.sampled_from(["a", "b", 1, True, None]), "n": st.integers(0, 9)}), max_size=9
    )
)
def test_dropping_what_is_and_what_isnt_splits_the_rows_that_are_known(rows: list[Json]) -> None:
    was = {
        sign: tool(both({"rows": rows}), f"drop_rows:/rows where /org {sign} 'a'").structured for sign in ("=", "!=")
    }
    known = [row for row in rows if isinstance(row, dict) and isinstance(row["org"], str)]
    assert was["!="] == {"rows": [row for row in known if row["org"] == "a"]}
    assert was["="] == {"rows": [row for row in known if row["org"] != "a"]}


@given(VALUES, st.integers(1, 3))
def test_no_array_is_longer_than_max_rows(value: Json, most: int) -> None:
    def longest(node: Json) -> int:
        inner = node if isinstance(node, list) else [*node.values()] if isinstance(node, dict) else []
        return max([len(node) if isinstance(node, list) else 0, *map(longest, inner)])

    assert longest(tool(both({"a": value}), f"max_rows:{most}").structured) <= most
