"""The PEP's catalogs: what can't be served isn't held, and a swap of catalogs refuses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sallyport.contract.catalog import digest
from sallyport.pep.catalog import CatalogStore, LoadedCatalog, load
from sallyport.pep.reach import Reach
from sallyport.pep.schema import compile_schema
from sallyport.runtime.problems import ConfigError
from tests.unit.pep.schema.support import HOSTED, REACH

POLICIES = Path(__file__).parents[4] / "policies"
ONE = b"""tools:
  - name: read_file
    title: Read
    effect: read_only
    open_world: false
    provider: {hosted: read_file}
    input: {type: object}
"""


def store(folder: Path) -> CatalogStore:
    return CatalogStore(folder, compile_schema=compile_schema, reach=REACH)


def served(catalogs: CatalogStore, wanted: str, beside: str = "") -> LoadedCatalog | None:
    """What comes into force while `beside` serves."""
    found = catalogs.held(wanted) or catalogs.find(wanted)
    if found is not None:
        catalogs.hold(found, beside=beside)
    return found


def write(folder: Path, data: bytes) -> str:
    (folder / "catalog.yaml").write_bytes(data)
    return digest(data)


def test_the_shipped_catalog_loads() -> None:
    data = (POLICIES / "catalog.yaml").read_bytes()
    held = store(POLICIES).find(digest(data))
    assert held is not None
    assert "database_query" in held.names
    assert set(held.validators) == set(held.names)


def test_a_tool_is_listed_with_its_hints_and_its_schema(tmp_path: Path) -> None:
    held = store(tmp_path).find(write(tmp_path, ONE))
    assert held is not None
    assert held.listing == (
        {
            "name": "read_file",
            "title": "Read",
            "description": "",
            "inputSchema": {"type": "object"},
            "annotations": {"title": "Read", "readOnlyHint": True, "destructiveHint": False, "openWorldHint": False},
        },
    )


def test_a_tool_without_an_effect_is_listed_as_destructive_and_open_world(tmp_path: Path) -> None:
    bare = ONE.replace(b"    effect: read_only\n", b"").replace(b"    open_world: false\n", b"")
    held = store(tmp_path).find(write(tmp_path, bare))
    assert held is not None
    assert held.listing[0]["annotations"] == {
        "title": "Read",
        "readOnlyHint": False,
        "destructiveHint": True,
        "openWorldHint": True,
    }


def test_the_one_before_is_held_through_a_swap_and_the_third_last_is_not(tmp_path: Path) -> None:
    catalogs = store(tmp_path)
    digests = [""]
    for number in range(3):
        digests.append(write(tmp_path, ONE + b"# %d\n" % number))
        assert served(catalogs, digests[-1], beside=digests[-2]) is not None
        assert number == 0 or catalogs.tool(digests[-2], "read_file") is not None
    assert served(catalogs, digests[1]) is None
    assert catalogs.tool(digests[1], "read_file") is None
    assert catalogs.tool(digests[3], "read_file") is not None
    assert len(list(catalogs.entries("read_file"))) == 2


def test_the_catalog_in_force_is_never_dropped_for_one_that_is_not(tmp_path: Path) -> None:
    catalogs = store(tmp_path)
    serving = write(tmp_path, ONE)
    assert served(catalogs, serving) is not None
    for number in range(4):
        assert served(catalogs, write(tmp_path, ONE + b"# %d\n" % number), beside=serving) is not None
        assert catalogs.held(serving) is not None
        assert len(list(catalogs.entries("read_file"))) == 2


def test_n5_a_digest_that_the_directory_does_not_hold_gives_nothing(tmp_path: Path) -> None:
    catalogs = store(tmp_path)
    (tmp_path / "other.cedar").write_bytes(b"")
    assert catalogs.find("0" * 64) is None
    write(tmp_path, ONE)
    assert catalogs.find("0" * 64) is None
    assert catalogs.find("") is None
    assert store(tmp_path / "nowhere").find(digest(ONE)) is None


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        (b"hosted: read_file", b"hosted: raed_file", 6, "no hosted tool"),
        (b"{hosted: read_file}", b"{upstream: crm}", 6, "egress in pep.yaml lacks 'crm.elsewhere:443'"),
        (b"{type: object}", b"{type: object, properties: {a: {pattern: '(?=a)'}}}", 7, "regex"),
        (b"{type: object}", b"{type: object, $ref: 'https://a.test/'}", 7, "https://a.test/"),
        (b"{type: object}", b"{type: object, allOf: [{$ref: '#'}]}", 7, "refers to itself"),
        (b"{type: object}\n", b"{type: object}\n    output: {type: object, format: int99}\n", 8, "int99"),
        (b"title", b"titel", 3, "title"),
    ],
)
def test_what_can_not_be_served_is_refused_with_file_and_line(old: bytes, new: bytes, line: int, word: str) -> None:
    data = ONE.replace(old, new, 1)
    if b"upstream" in new:
        data += b"upstreams: {crm: {url: 'https://crm.elsewhere/mcp'}}\n"
    with pytest.raises(ConfigError) as caught:
        load(data, compile_schema=compile_schema, reach=REACH)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("catalog.yaml", line)
    assert word in problem.message


UPSTREAM = ONE.replace(b"{hosted: read_file}", b"{upstream: crm}")


def refusals(data: bytes, reach: Reach) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(data, compile_schema=compile_schema, reach=reach)
    assert {problem.subject for problem in caught.value.problems} == {"read_file"}
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("url", "egress", "lacks"),
    [
        ("https://crm.test/mcp", frozenset({"crm.test:443"}), ""),
        ("https://CRM.test:443", frozenset({"crm.test:443"}), ""),
        ("https://crm.test/mcp", frozenset(), "egress in pep.yaml lacks 'crm.test:443', where upstream 'crm' is"),
        ("https://crm.test:8443/mcp", frozenset({"crm.test:443"}), "lacks 'crm.test:8443'"),
        ("https://a.crm.test/mcp", frozenset({"crm.test:443"}), "lacks 'a.crm.test:443'"),
        ("https://127.1/mcp", frozenset({"127.0.0.1:443"}), "the url of upstream 'crm': '127.1:443' is no host"),
        ("https://crm.test/mcp", None, ""),
    ],
)
def test_an_upstream_is_not_served_beyond_the_destinations_that_the_gate_may_reach(
    url: str, egress: frozenset[str] | None, lacks: str
) -> None:
    data = UPSTREAM + f"upstreams: {{crm: {{url: '{url}'}}}}\n".encode()
    reach = Reach(HOSTED, {}, egress)
    if not lacks:
        assert load(data, compile_schema=compile_schema, reach=reach).names == ("read_file",)
    else:
        (message,) = refusals(data, reach)
        assert lacks in message
        assert ("restart the gate" in message) is ("egress" in message)


def test_a_hosted_tool_that_is_not_set_up_is_told_with_the_setting_that_brings_it() -> None:
    (told,) = refusals(ONE, Reach(frozenset(), {"read_file": "files"}, frozenset()))
    assert told == "read_file: the hosted tool 'read_file' isn't there without 'files' in pep.yaml; set it"


def test_all_problems_of_a_catalog_are_told_at_once() -> None:
    entry = b"\n".join(ONE.splitlines()[1:])
    bad = entry.replace(b"hosted: read_file", b"hosted: x").replace(b"type: object", b"type: object, format: zz")
    with pytest.raises(ConfigError) as caught:
        load(
            b"tools:\n" + bad + b"\n" + bad.replace(b"name: r", b"name: R2", 1),
            compile_schema=compile_schema,
            reach=REACH,
        )
    assert len(caught.value.problems) == 4
