"""A text that would overflow the parser's stack, and kill the PDP with it, never reaches the parser."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sallyport.pdp import nesting
from sallyport.pdp import policies as reader
from sallyport.pdp.cedar_text import statements
from tests.support import policy_dir as sample
from tests.support.policy_dir import complaint, snapshot

# In a child, so that an overflow fails one test; its stack is an eighth of what the PDP's threads have.
_CHILD = """
import json, sys, threading
from sallyport.pdp.load import load
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError
given = {name: text.encode() for name, text in json.load(sys.stdin).items()}
def run():
    try:
        load(Contents(given, "r"))
        print("accepted")
    except ConfigError as error:
        print(error)
threading.stack_size(1 << 20)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def in_a_small_thread(**changes: Any) -> str:
    """What loading says; fails if the process dies of it."""
    given = json.dumps({name: data.decode() for name, data in sample.files(**changes).items()})
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.returncode
    return done.stdout


def policies(condition: str) -> dict[str, str]:
    text = f'@id("x")\nforbid (principal, action == Action::"read_file", resource)\nwhen {{\n{condition} }};'
    return {**sample.POLICIES, "x.cedar": text}


def shapes(n: int) -> dict[str, str]:
    return {
        "parens": "(" * n + "true" + ")" * n,
        "open": "(" * n,
        "sets": "[" * n + "1" + "]" * n + " == [1]",
        "records": "{a:" * n + "1" + "}" * n + " == {a: 1}",
        "calls": "[1].contains(" * n + "1" + ")" * n,
        "or": " || ".join(["true"] * (n + 1)),
        "and": "&&".join(["context.input.path == principal.user_id"] * (n + 1)),
        "sums": "+".join(["1"] * (n + 1)) + " == 1",
        "minus": "-".join(["1"] * (n + 1)) + " == 1",
        "products": "*".join(["1"] * (n + 1)) + " == 1",
        "not": "!" * n + "true",
        "else": "if true then true else " * n + "true",
        "if": "if " * n + "true" + " then true else true" * n,
        "then": "if true then " * n + "true" + " else true" * n,
        "steps": "context" + ".a" * n,
        "index": "context" + '["a"]' * n,
        "has": "context has a" + ".a" * n,
        "clauses": "true }" + " when { context.input.path == principal.user_id }" * n + " when { true",
        "both": "(true || " * (n // 2) + "true" + ")" * (n // 2),
    }


@pytest.mark.parametrize("shape", shapes(1))
def test_a_deep_policy_is_refused_with_its_place(shape: str) -> None:
    told = complaint(policies=policies(shapes(3000)[shape]))
    assert "x.cedar:4:" in told
    assert "nests too deep" in told
    assert "split it" in told


def test_brackets_have_a_bound_of_their_own() -> None:
    """They take twice the stack of an operator."""
    snapshot(policies=policies(shapes(nesting.MAX_BRACKETS - 1)["parens"]))
    assert "nests too deep" in complaint(policies=policies(shapes(nesting.MAX_BRACKETS)["parens"]))


def test_a_deep_policy_costs_no_stack() -> None:
    for shape in ("parens", "or", "both"):
        assert "nests too deep" in in_a_small_thread(policies=policies(shapes(1500)[shape]))


@pytest.mark.parametrize("shape", ["parens", "sets", "records", "calls", "or", "and", "if", "steps", "clauses", "both"])
def test_what_is_just_not_too_deep_fits_a_small_stack(shape: str) -> None:
    for n in range(nesting.MAX_DEPTH, 0, -1):
        text = shapes(n)[shape]
        [statement] = statements(policies(text)["x.cedar"], "x.cedar")
        if nesting.too_deep(statement.tokens) is None:
            in_a_small_thread(policies=policies(text))
            return
    raise AssertionError("everything is too deep")


def test_breadth_is_no_depth() -> None:
    terms = " || ".join(f'context.input.path == "{n}"' for n in range(60))
    names = ", ".join(f'"{n}"' for n in range(3000))
    snapshot(policies=policies(f'({terms}) && [{names}].contains(context.input.path) && "((((" != "||"'))


def test_p1_a_policy_too_long_to_be_compiled_beside_the_questions_is_refused_with_its_place() -> None:
    """Sixty thousand names are flat, and held up every question for half a second."""
    names = ", ".join(f'"{n}"' for n in range(5000))
    told = complaint(policies=policies(f"[{names}].contains(context.input.path)"))
    assert "x.cedar:1:1: policy" not in told
    assert "x.cedar:1:1: is too long" in told
    assert "resources.yaml" in told


def test_p1_a_set_of_more_than_a_million_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_TOKENS", 1000)
    small = "\n".join(f'@id("p{n}") permit (principal, action, resource);' for n in range(50))
    snapshot(policies={"a.cedar": small})
    assert "a set may have so many" in complaint(policies={"a.cedar": small, "b.cedar": small.replace('"p', '"q')})


@pytest.mark.parametrize(("left", "right"), [("Set<", ">"), ("{a: ", "}")])
def test_a_deep_base_schema_is_refused_with_its_place(left: str, right: str) -> None:
    base = sample.BASE + "type Deep = " + left * 5000 + "Long" + right * 5000 + ";\n"
    told = complaint(base=base)
    assert f"base.cedarschema:{sample.BASE.count(chr(10)) + 1}:" in told
    assert "nests too deep" in told


@pytest.mark.parametrize(("types", "body"), [(5000, "{{a: T{0}}}"), (60, "{{a: T{0}, b: T{0}}}")])
def test_types_of_types_are_bounded(types: int, body: str) -> None:
    named = "".join(f"type T{n} = {body.format(n - 1)};\n" for n in range(1, types))
    told = complaint(base=f"{sample.BASE}type T0 = Long;\n{named}")
    assert "base.cedarschema:" in told
    assert "stands for too much" in told


def test_a_deep_input_schema_leaves_the_deep_part_out() -> None:
    closed = {"type": "object", "additionalProperties": False}
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, 400):
        definitions[f"d{n}"] = {**closed, "properties": {"a": {"$ref": f"#/$defs/d{n - 1}"}}}
    schema = {**closed, "$defs": definitions, "properties": {"a": {"$ref": "#/$defs/d399"}}}
    assert in_a_small_thread(tools=[*sample.TOOLS, sample.tool("deep", input=schema)]) == "accepted\n"
