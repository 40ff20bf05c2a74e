"""Whatever a policy directory holds: a snapshot or problems with their file, and no permit that no permit covers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.pdp.decider import decide
from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError
from tests.contract.pdp_service.running import POLICIES
from tests.support import policy_dir as sample
from tests.unit.pdp.generated import unsliced, whole

Files = dict[str, bytes]
FEW: Final = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def shipped() -> Mapping[str, bytes]:
    return dict(mounted_dir.read(POLICIES).files)


READ: Final = sorted(name for name in shipped() if name.endswith((".cedar", ".cedarschema")) or (name.endswith(".yaml") and not name.endswith(".test.yaml")))  # fmt: skip


def loaded(files: Mapping[str, bytes]) -> Snapshot | None:
    """None where the directory is refused with problems that a person can find."""
    try:
        return load(sample.contents(files))
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert all(problem.file and problem.message for problem in problems)
    assert all(problem.line >= 0 and problem.column >= 0 for problem in problems)
    return None


CALLS: Final[tuple[tuple[str, str, str, dict[str, Any]], ...]] = (
    ("read_file", "File", "alice/notes.txt", {"path": "alice/notes.txt"}),
    ("read_file", "File", "bob/notes.txt", {"path": "bob/notes.txt"}),
    ("delete_file", "File", "bob/notes.txt", {"path": "bob/notes.txt"}),
    ("write_file", "File", "alice/x", {"path": "alice/x", "content": "x", "overwrite": True}),
    ("database_query", "Table", "salaries", {"table": "salaries", "limit": 1}),
    ("database_query", "Table", "globex_orders", {"table": "globex_orders", "limit": 1}),
)
PEOPLE: Final = (
    Principal("laptop", "alice", "coding-bot", "acme", ("developer",)),
    Principal("laptop", "alice", "chat-bot", "acme", ("guest",)),
    Principal("laptop", "mallory", "coding-bot", "globex", ("admin",)),
    Principal("laptop", "mallory", "stranger", "acme", ()),
)


def sound(held: Snapshot) -> None:
    """A permit names policies of this set, all of them permits; Cedar with the whole set says the same."""
    permits = {policy.id for policy in held.policies if policy.permits}
    everything = whole(held)
    for who in PEOPLE:
        for action, kind, name, arguments in CALLS:
            query = Query(action, kind, name, input=arguments, session=Session(ip="10.0.0.1"))
            (said,) = decide(held, who, [query], Purpose.CALL, catalog_digest=held.catalog_digest, now=sample.NOON)
            if said.effect is Effect.PERMIT:
                assert said.reasons
                assert set(said.reasons) <= permits
                assert not said.errors
            else:
                assert said.effect is Effect.DENY
            if not said.errors:
                expected = unsliced(held, everything, who, query)
                assert (said.effect is Effect.PERMIT, frozenset(said.reasons)) == (
                    expected.decision == "allow",
                    expected.reasons,
                )


@st.composite
def spoilt(draw: st.DrawFn) -> Files:
    """The shipped files with a few things done to them that editors, disks and kubelets do."""
    files = dict(shipped())
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(READ))
        files[name] = draw(st.sampled_from(SPOILING))(draw, files, name)
    return files


def _flip(draw: st.DrawFn, files: Files, name: str) -> bytes:
    data = bytearray(files[name])
    if data:
        data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def _cut(draw: st.DrawFn, files: Files, name: str) -> bytes:
    return files[name][: draw(st.integers(0, len(files[name])))]


def _line_twice(draw: st.DrawFn, files: Files, name: str) -> bytes:
    lines = files[name].splitlines(keepends=True) or [b""]
    at = draw(st.integers(0, len(lines) - 1))
    return b"".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


def _line_gone(draw: st.DrawFn, files: Files, name: str) -> bytes:
    lines = files[name].splitlines(keepends=True) or [b""]
    at = draw(st.integers(0, len(lines) - 1))
    return b"".join(lines[:at] + lines[at + 1 :])


def _another(draw: st.DrawFn, files: Files, _name: str) -> bytes:
    return files[draw(st.sampled_from(READ))]


def _noise(draw: st.DrawFn, files: Files, name: str) -> bytes:
    at = draw(st.integers(0, len(files[name])))
    return files[name][:at] + draw(st.binary(max_size=12)) + files[name][at:]


SPOILING: Final = (_flip, _flip, _cut, _line_twice, _line_gone, _another, _noise)


@FEW
@given(spoilt())
def test_n5_a_spoilt_directory_gives_a_snapshot_or_problems_and_no_stray_permit(files: Files) -> None:
    held = loaded(files)
    if held is not None:
        sound(held)


KEYS: Final = st.sampled_from(
    ["roles", "agents", "orgs", "resources", "defaults", "tools", "permissions", "in", "on", "trust_level", "groups", "name", "effect", "provider", "input", "properties", "type", "alice/*", "File", "acme", "admin"]
)  # fmt: skip
YAML: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4),
    max_leaves=14,
)
YAML_FILES: Final = ["roles.yaml", "agents.yaml", "resources.yaml", "catalog.yaml"]
ROOTS: Final = {"roles.yaml": "roles", "agents.yaml": "agents", "resources.yaml": "orgs", "catalog.yaml": "tools"}


@FEW
@given(st.sampled_from(YAML_FILES), YAML, st.booleans())
def test_n5_yaml_of_any_shape_gives_a_snapshot_or_problems(name: str, value: Any, rooted: bool) -> None:
    text = json.dumps({ROOTS[name]: value} if rooted else value)
    held = loaded({**shipped(), name: text.encode()})
    if held is not None:
        sound(held)


FRAGMENTS: Final = st.lists(
    st.sampled_from(
        [
            "permit", "forbid", "(", ")", "principal", "action", "resource", "context", ",", ";", "when", "unless", "{", "}",
            "==", "in", "is", "has", "like", '"x"', '"*"', "[", "]", "&&", "||", "!", ".", "input", "session", "ip", "::",
            'Action::"read_file"', 'Role::"admin"', "File", "Table", "@id", '("z")', "true", "if", "then", "else", "1",
            "9223372036854775808", "-", "//", "\n", "permit (principal, action, resource);", '@id("f")', '@advice("x")',
            "?principal", "template", "\\u{0}", "é",
        ]
    ),
    max_size=30,
)  # fmt: skip


@FEW
@given(FRAGMENTS, st.sampled_from([" ", ""]))
def test_n5_fragments_of_cedar_give_a_snapshot_or_problems(parts: list[str], between: str) -> None:
    held = loaded({**shipped(), "zz.cedar": between.join(parts).encode()})
    if held is not None:
        sound(held)


RISKY: Final = {
    "deep.cedar": '@id("d") permit (principal, action, resource) when { '
    + "(" * 50_000
    + "true"
    + ")" * 50_000
    + " };",
    "chain.cedar": '@id("d") permit (principal, action, resource) when { ' + "true && " * 50_000 + "true };",
    "not.cedar": '@id("d") permit (principal, action, resource) when { ' + "!" * 100_000 + "true };",
    "dots.cedar": '@id("d") permit (principal, action, resource) when { context' + ".a" * 50_000 + " == 1 };",
    "sets.cedar": '@id("d") permit (principal, action, resource) when { ' + "[" * 50_000 + "]" * 50_000 + " == [] };",
    "ifs.cedar": '@id("d") permit (principal, action, resource) when { ' + "if true then " * 50_000 + "true };",
    "base.cedarschema": "entity File { org: " + "Set<" * 50_000 + "Org" + ">" * 50_000 + " };",
    "roles.yaml": "[" * 100_000,
    "agents.yaml": "a: &a [" + "*a," * 1000 + "]",
    "catalog.yaml": "tools: " + "{a: " * 50_000,
    "resources.yaml": "x: " + "- " * 50_000,
}
CHILD: Final = """
import sys
from pathlib import Path
from sallyport.pdp.load import load
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError
for directory in sys.argv[1:]:
    try:
        load(mounted_dir.read(Path(directory)))
    except ConfigError as error:
        print(len(error.problems) > 0 and all(problem.file for problem in error.problems), flush=True)
"""


def test_what_would_overflow_a_parsers_stack_is_refused_by_a_process_that_lives(tmp_path: Path) -> None:
    """In a process of its own: a stack that overflows in Rust is no exception, it ends everything."""
    directories = [
        str(sample.write(tmp_path / str(number), {**shipped(), name: text.encode()}))
        for number, (name, text) in enumerate(RISKY.items())
    ]
    done = subprocess.run([sys.executable, "-c", CHILD, *directories], capture_output=True, text=True, check=False, timeout=100)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True"] * len(RISKY)
