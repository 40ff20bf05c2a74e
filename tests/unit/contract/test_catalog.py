"""The catalog: what its entries may say, and what is said when they don't."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from sallyport.contract.catalog import Catalog, Effect, Hosted, UpstreamRef, digest


def _tool(**changes: Any) -> dict[str, Any]:
    tool = {"name": "read_file", "provider": {"hosted": "read_file"}, "input": {"type": "object"}, **changes}
    return {key: value for key, value in tool.items() if value is not ...}


def _load(*tools: dict[str, Any], **more: Any) -> Catalog:
    return Catalog.model_validate_json(json.dumps({"tools": tools, **more}))


def _fault(*tools: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ValidationError) as error:
        _load(*tools, **more)
    return str(error.value)


def test_n5_what_an_entry_leaves_out_is_the_careful_choice() -> None:
    tool = _load(_tool()).tools[0]
    assert tool.effect is Effect.DESTRUCTIVE
    assert tool.open_world is True
    assert tool.resource_types == ("Tool",)
    assert (tool.limits.timeout_ms, tool.limits.result_bytes) == (5000, 262144)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, 30_000),
        ({"limits": {}}, 30_000),
        ({"limits": {"result_bytes": 9}}, 30_000),
        ({"limits": {"timeout_ms": 5000}}, 5000),
    ],
)
def test_what_an_upstream_runs_has_thirty_seconds_unless_its_entry_says_otherwise(given: Any, wanted: int) -> None:
    there = {"upstream": "crm", **given}
    found = _load(
        _tool(provider={"upstream": "crm"}, **given),
        prompts=[{"name": "p", **there}],
        resources=[{"uri": "crm://a", **there}],
        upstreams={"crm": {"url": "https://crm.example/mcp"}},
    )
    limits = [found.tools[0].limits, found.prompts[0].limits, found.resources[0].limits]
    assert [each.timeout_ms for each in limits] == [wanted] * 3
    assert {each.result_bytes for each in limits} == {given.get("limits", {}).get("result_bytes", 262144)}


def test_an_entry_is_read_as_it_stands() -> None:
    mapping = [{"type": "File", "id": "/path"}, {"type": "A::B", "id": ["/a", "/b~1c"]}, {"type": "File", "each": "/l"}]
    tool = _load(_tool(effect="read_only", resources=mapping, orgs=["acme"], required_context=["ip"])).tools[0]
    assert tool.effect is Effect.READ_ONLY
    assert tool.resource_types == ("File", "A::B")
    assert tool.resources[1].id == ("/a", "/b~1c")
    assert tool.orgs == ("acme",)
    assert tool.provider == Hosted(hosted="read_file")


def test_a_tool_is_found_by_its_exact_name() -> None:
    catalog = _load(_tool(), _tool(name="a.b"))
    assert catalog.tool("a.b") is catalog.tools[1]
    assert catalog.tool("READ_FILE") is None
    assert catalog.tool("") is None


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "x" * 129, "a\n", "\uff46", "\u212a"])
def test_n12_a_name_outside_the_alphabet_is_refused(name: str) -> None:
    assert "name" in _fault(_tool(name=name))


@pytest.mark.parametrize("twin", ["read_file", "Read_File", "READ_FILE"])
def test_n12_names_that_differ_by_case_only_are_refused(twin: str) -> None:
    assert f"read_file and {twin}; rename" in _fault(_tool(), _tool(name=twin))


@pytest.mark.parametrize("pointer", ["", "path", "#/path", "/a~", "/a~2", "/a~/b", "/ok~", "$.path"])
def test_n5_what_is_no_json_pointer_is_refused(pointer: str) -> None:
    for mapping in ({"id": pointer}, {"each": pointer}, {"id": ["/ok", pointer]}):
        assert "not a JSON Pointer" in _fault(_tool(resources=[{"type": "File", **mapping}]))


@pytest.mark.parametrize("mapping", [{}, {"id": "/a", "each": "/b"}])
def test_n5_a_mapping_names_one_of_id_and_each(mapping: dict[str, str]) -> None:
    assert "exactly one of" in _fault(_tool(resources=[{"type": "File", **mapping}]))


@pytest.mark.parametrize("pointers", [[], ["/a"] * 9])
def test_n5_a_joined_id_has_one_to_eight_parts(pointers: list[str]) -> None:
    assert "1 to 8" in _fault(_tool(resources=[{"type": "File", "id": pointers}]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {}}, "type: object"),
        ({"input": {"type": "string"}}, "type: object"),
        ({"input": {"type": ["object", "null"]}}, "type: object"),
        ({"output": {"type": "array"}}, "type: object"),
        ({"input": ...}, "Field required"),
        ({"provider": ...}, "Field required"),
        ({"provider": {}}, "name one provider"),
        ({"provider": "read_file"}, "name one provider"),
        ({"provider": {"hosted": "a", "upstream": "b"}}, "upstream"),
        ({"provider": {"upstream": "crm"}}, "add it to upstreams"),
        ({"effect": "harmless"}, "effect"),
        ({"open_world": "no"}, "open_world"),
        ({"orgs": []}, "at least one org"),
        ({"orgs": "acme"}, "at least one org"),
        ({"orgs": [""]}, "orgs"),
        ({"required_context": ["time"]}, "required_context"),
        ({"required_context": ["ip", "ip"]}, "twice"),
        ({"limits": {"timeout_ms": 0}}, "timeout_ms"),
        ({"limits": {"timeout_ms": 60001}}, "timeout_ms"),
        ({"limits": {"timeout_ms": True}}, "timeout_ms"),
        ({"limits": {"result_bytes": (4 << 20) + 1}}, "result_bytes"),
        ({"pin": "abc"}, "pin"),
        ({"resources": [{"type": "a b", "id": "/a"}]}, "type"),
        ({"description": "harmless\u200b"}, "invisible"),
        ({"description": "harmless\U000e0041"}, "invisible"),
        ({"description": "a\x1b[2Jb"}, "invisible"),
        ({"title": "\u202egnp"}, "invisible"),
        ({"Effect": "read_only"}, "Extra inputs"),
    ],
)
def test_n5_a_faulty_entry_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    assert message in _fault(_tool(**changes))


def test_n5_an_empty_or_endless_catalog_is_refused() -> None:
    assert "at least one tool" in _fault()
    assert len(_load(*(_tool(name=f"t{number}") for number in range(1000))).tools) == 1000
    assert "1000" in _fault(*(_tool(name=f"t{number}") for number in range(1001)))


@pytest.mark.parametrize(
    "url", ["http://crm", "crm", "https://user:pw@crm", "https://crm/?q", "https://crm/#f", "https://"]
)
def test_n20_an_upstreams_url_is_https_and_nothing_but_host_and_path(url: str) -> None:
    assert "url" in _fault(_tool(), upstreams={"crm": {"url": url}})


def test_an_upstream_that_is_named_is_taken() -> None:
    catalog = _load(_tool(provider={"upstream": "crm"}), upstreams={"crm": {"url": "https://crm.test:8443/mcp"}})
    assert catalog.tools[0].provider == UpstreamRef(upstream="crm")


def test_the_digest_is_sha_256_of_the_bytes() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
