"""A file that somebody wrote stays as it stands but for what is changed in it."""

from __future__ import annotations

import difflib

import pytest

from sallyport.cli import shipped
from sallyport.cli.catalog.editing import NotEditable, Text

CATALOG = """\
# top
tools:   # all of them
  - name: one   # first
    description: >-
      folded
      text
    # about the effect
    effect: read_only
    provider: {hosted: one}
    input: {type: object}   # open

  # before two
  - name: two
    input:
      type: object
      properties:
        a: {type: string}
    # after two
# before the upstreams
upstreams:
  crm: {url: "https://x/mcp"}  # theirs

# end
"""


def _of(text: str) -> Text:
    return Text.of(text, "catalog.yaml")


def _lost(old: str, new: str) -> list[str]:
    return [line[2:] for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line.startswith("- ")]


def test_an_appended_item_leaves_every_line_as_it_was() -> None:
    made = _of(CATALOG).append("tools", [{"name": "three", "description": "a\nb: # c"}], apart=True)
    assert _lost(CATALOG, made.text) == []
    assert [tool["name"] for tool in made.value["tools"]] == ["one", "two", "three"]
    assert made.text.index("a: {type: string}") < made.text.index("- name: three") < made.text.index("upstreams:")


def test_the_shipped_catalog_can_be_added_to() -> None:
    text = (shipped.find() / "catalog.yaml").read_text()
    made = _of(text).append("tools", [{"name": "x"}]).put("upstreams", "crm", {"url": "https://x/mcp"})
    assert _lost(text, made.text) == []
    assert made.value["upstreams"] == {"crm": {"url": "https://x/mcp"}}


def test_a_new_upstream_stands_beside_the_others() -> None:
    made = _of(CATALOG).put("upstreams", "on", {"url": "https://y/mcp"})
    assert _lost(CATALOG, made.text) == []
    assert '  crm: {url: "https://x/mcp"}  # theirs\n  "on": {url: "https://y/mcp"}\n' in made.text


def test_only_the_keys_that_differ_are_written_anew_and_comments_stay() -> None:
    old = _of(CATALOG)
    one = {**old.value["tools"][0], "description": "new\nwords", "pin": "p"}
    made = old.renew("tools", 0, one)
    assert made.value["tools"] == [one, old.value["tools"][1]]
    assert _lost(CATALOG, made.text) == ["    description: >-", "      folded", "      text"]


def test_a_key_with_a_comment_behind_it_is_written_on_its_line_and_one_that_is_gone_goes() -> None:
    old = _of(CATALOG)
    one = {key: value for key, value in old.value["tools"][0].items() if key != "effect"}
    made = old.renew("tools", 0, {**one, "input": {"type": "object", "properties": {"a": {}, "b": {}}}})
    assert "    input: {type: object, properties: {a: {}, b: {}}}   # open\n" in made.text
    assert _lost(CATALOG, made.text) == ["    effect: read_only", "    input: {type: object}   # open"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("egress: []   # none\nb: 1\n", 'egress:   # none\n  - "h:1"\nb: 1\n'),
        ("egress:\n  []\n", None),
        ("egress: [a, b]  # two\n", 'egress: [a, b, "h:1"]  # two\n'),
        ("egress: [\n  a,  # first\n]\n", 'egress: [\n  a, "h:1",  # first\n]\n'),
        ("egress:\n- a\n# end\n", 'egress:\n- a\n- "h:1"\n# end\n'),
        ("egress:\n    - a  # x", 'egress:\n    - a  # x\n    - "h:1"\n'),
        ("b: 1", 'b: 1\negress:\n  - "h:1"\n'),
        ("egress: [{destination: x, networks: [n]}]\n", 'egress: [{destination: x, networks: [n]}, "h:1"]\n'),
        ("egress:\n  - destination: x\n    networks: [n]\nb: |\n  text\n\n", None),
    ],
)
def test_a_list_is_added_to_in_the_form_that_it_has(before: str, after: str | None) -> None:
    old = _of(before)
    made = old.append("egress", ["h:1"])
    assert made.value == {**old.value, "egress": [*(old.value.get("egress") or []), "h:1"]}
    assert after is None or made.text == after


@pytest.mark.parametrize("text", ["{tools: [a]}\n", "tools: text\n"])
def test_what_cant_be_added_to_in_safety_is_left_alone(text: str) -> None:
    with pytest.raises(NotEditable):
        _of(text).append("tools", [{"name": "x"}])


def test_a_block_of_text_at_the_end_doesnt_swallow_what_is_added() -> None:
    made = _of("tools:\n  - name: a\n    description: |+\n      text\n\n").append("tools", [{"name": "b"}])
    assert made.value["tools"] == [{"name": "a", "description": "text\n\n"}, {"name": "b"}]


def test_an_edit_that_came_out_otherwise_than_meant_is_not_used() -> None:
    with pytest.raises(NotEditable):
        _of("a: 1\n")._made("a: 2\n", {"a": 1})
