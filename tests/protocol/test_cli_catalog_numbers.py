"""One odd tool in a list takes out itself: the others are pulled, approved and served, and numbers keep their digits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sallyport.cli.laptop import Laptop
from sallyport.pdp.load import load
from sallyport.pep import catalog as catalogs
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.reach import Reach
from sallyport.pep.schema import compile_schema
from sallyport.runtime import mounted_dir
from tests.support import laptop
from tests.support.laptop import here
from tests.support.raw_lists import GOOD, Raw, raw_lists

I64, U64 = 2**63 - 1, 2**64 - 1


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laptop.init(tmp_path_factory.mktemp("numbers") / "laptop")


@pytest.fixture
def directory(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "d", symlinks=True))


@pytest.fixture
def server() -> Iterator[Raw]:
    with raw_lists(GOOD) as raw:
        yield raw


def count(maximum: str) -> str:
    schema = f'{{"type":"object","properties":{{"n":{{"type":"integer","minimum":{-(2**63)},"maximum":{maximum}}}}}}}'
    return f'{{"name":"count","inputSchema":{schema}}}'


def pulled(directory: Path, server: Raw) -> str:
    run = here("catalog", "pull", directory, server.url, "--name", "crm")
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def approved(directory: Path, *names: str) -> str:
    run = here("catalog", "approve", directory, "crm", *names, "--effect", "read_only")
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def loaded(directory: Path) -> LoadedCatalog:
    """As a gate would serve it."""
    data = (directory / "catalog.yaml").read_bytes()
    everything = mounted_dir.read(Laptop.at(directory).policies)
    assert load(everything).catalog.tool("count") is not None
    return catalogs.read(data, compile_schema=compile_schema, reach=Reach(frozenset(), {}, None))


@pytest.mark.parametrize("maximum", [I64, I64 + 1, U64, 2**53, 10**20])
def test_an_integer_that_no_double_holds_is_pulled_pinned_and_approved_with_every_digit(
    maximum: int, directory: Path, server: Raw
) -> None:
    server.entries = [GOOD, count(str(maximum))]
    assert "HELD" not in pulled(directory, server)
    approved(directory, "count", "good")
    text = (directory / "catalog.yaml").read_text()
    assert f"maximum: {maximum}\n" in text
    assert f"minimum: {-(2**63)}\n" in text
    found = here("catalog", "diff", directory)
    assert (found.returncode, found.stdout) == (0, "all is as approved\n")
    assert here("policy", "check", directory).returncode == 0
    server.entries = [GOOD, count(str(maximum + 1))]
    found = here("catalog", "diff", directory)
    assert found.returncode == 1
    assert f"/inputSchema/properties/n/maximum: {maximum} -> {maximum + 1}" in found.stdout
    assert "changed: tool count" in pulled(directory, server)
    approved(directory, "count")
    assert f"maximum: {maximum + 1}\n" in (directory / "catalog.yaml").read_text()


ODD = {
    "a fraction that no double holds": (count("0.1000000000000000055511151231257827"), "more digits than a double"),
    "a number beyond all doubles": (count("1e400"), "range"),
    "an integer of 128 bits": (count("340282366920938463463374607431768211455"), "digits"),
    "a key given twice": ('{"name":"count","inputSchema":{"type":"object","type":"object"}}', "given twice"),
    "a name given twice": ('{"name":"count","name":"good"}', "given twice"),
    "half a character": ('{"name":"count","description":"\\ud800"}', "lone surrogate"),
    "half a character in the name": ('{"name":"\\ud800"}', "lone surrogate"),
    "no object": ('"count"', "no object"),
    "null": ("null", "no object"),
    "no name": ('{"inputSchema":{"type":"object"}}', "without a name"),
    "a name that is no string": ('{"name":[1],"inputSchema":{"type":"object"}}', "without a name"),
    "an empty name": ('{"name":""}', "without a name"),
    "a name without end": ('{"name":"%s"}' % ("x" * 129), "without a name"),
    "no schema": ('{"name":"count"}', "no JSON Schema"),
    "a schema that is null": ('{"name":"count","inputSchema":null}', "no JSON Schema"),
    "a schema that is no schema": (
        '{"name":"count","inputSchema":{"type":"object","properties":[]}}',
        "can't be held to",
    ),
    "a schema with odd members": (
        '{"name":"count","inputSchema":{"type":"object","properties":{"a":1},"$defs":[1],"allOf":{},"$schema":7}}',
        "can't be held to",
    ),
    "an output that is no schema": (
        '{"name":"count","inputSchema":{"type":"object"},"outputSchema":3}',
        "no JSON Schema",
    ),
    "fields of other types": (
        '{"name":"count","title":{},"description":[],"annotations":7,"_meta":3,"icons":"x"}',
        "no JSON Schema",
    ),
    "a name outside the alphabet": (
        '{"name":"co unt/é","inputSchema":{"type":"object"}}',
        "holds characters that no name may",
    ),
    "a name of hidden characters": ('{"name":"\\u200b\\u202e","inputSchema":{"type":"object"}}', "hides characters"),
    "a schema too deep to write": (
        '{"name":"count","inputSchema":' + '{"type":"object","properties":{"a":' * 18 + "{}" + "}}" * 18 + "}",
        "too large",
    ),
}


@pytest.mark.parametrize(("entry", "told"), ODD.values(), ids=ODD)
def test_one_odd_tool_takes_out_itself_alone_and_is_told_of(
    entry: str, told: str, directory: Path, server: Raw
) -> None:
    server.entries = [entry, GOOD]
    said = pulled(directory, server)
    assert told in said
    assert "new: tool good" in said
    assert "approved good (read_only)" in approved(directory, "--all")
    found = here("catalog", "diff", directory)
    assert (found.returncode, found.stdout) == (0, "all is as approved\n")


def test_a_tool_that_has_no_pin_any_more_is_told_by_diff(directory: Path, server: Raw) -> None:
    server.entries = [GOOD, count(str(I64))]
    pulled(directory, server)
    approved(directory, "--all")
    server.entries = [GOOD, count("0.1000000000000000055511151231257827")]
    found = here("catalog", "diff", directory)
    assert found.returncode == 1
    assert "tool count\n    can't be pinned: it holds a number" in found.stdout
    assert "good" not in found.stdout


def test_who_has_the_name_of_what_has_no_pin_is_out_with_it(directory: Path, server: Raw) -> None:
    twin = GOOD.replace('"name"', '"x":1e400,"name"')
    server.entries = [count(str(I64)), GOOD, twin]
    said = pulled(directory, server)
    assert "new: tool count" in said
    assert "new: tool good" not in said
    assert "left out: tools: good: it holds a number" in said


@pytest.mark.parametrize(
    "more", [',"tools":[]', ',"nextCursor":"\\ud800"', ',"nextCursor":1e400', ',"resultType":"task"']
)
def test_what_is_wrong_with_the_list_itself_still_refuses_all_of_it(more: str, directory: Path, server: Raw) -> None:
    server.more = more
    run = here("catalog", "pull", directory, server.url, "--name", "crm")
    assert run.returncode == 4, run.stdout + run.stderr
    assert not (directory / "pending").exists()


def test_a_catalog_with_such_numbers_is_loaded_by_both_services_and_listed_with_every_digit(
    directory: Path, server: Raw
) -> None:
    server.entries = [GOOD, count(str(I64))]
    pulled(directory, server)
    approved(directory, "--all")
    found = loaded(directory)
    (listed,) = (tool for tool in found.listing if tool["name"] == "count")
    assert f'"maximum": {I64}' in json.dumps(listed)
    assert found.validators["count"].problem({"n": 2**53 - 1}) == ""
