"""values.schema.json: every value is described, nothing else is taken, and what comes through is what it says it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.runtime import strict_json
from tests.chart.rendering import CHART, PROFILES, Object, parse, profile_values, refusal, render

_SCHEMA: Any = strict_json.parse((CHART / "values.schema.json").read_bytes())
_TEXT = (CHART / "values.yaml").read_text()
_MAPS = {"labels", "annotations", "roleMap", "jsonSchema", "servers"}  # whose keys are the operator's
_OPEN = {"global", "arguments", "nodeAffinity", "podAffinity", "podAntiAffinity"}  # checked by whoever they are for
# Keys that values.yaml needn't show: a catalog entry's, Kubernetes' own, and an issuer's rarer ones.
_ELSEWHERE = {
    *_SCHEMA["definitions"]["tool"]["properties"],
    *_SCHEMA["definitions"]["tool"]["properties"]["resources"]["items"]["properties"],
    *_SCHEMA["definitions"]["callLimits"]["properties"],
    *_SCHEMA["definitions"]["prompt"]["properties"],
    *_SCHEMA["definitions"]["prompt"]["properties"]["arguments"]["items"]["properties"],
    *_SCHEMA["properties"]["upstreams"]["items"]["properties"]["limits"]["properties"],
    *_SCHEMA["definitions"]["tool"]["properties"]["provider"]["properties"],
    *_SCHEMA["properties"]["tolerations"]["items"]["properties"],
    *_SCHEMA["properties"]["affinity"]["properties"],
    *_SCHEMA["properties"]["policies"]["properties"]["operators"]["items"]["properties"],
    *("global", "token_types", "leeway_seconds", "risk_claim", "ephemeral-storage"),
}


def _shown() -> Object:
    """values.yaml with its commented examples in force, each in the place of the `[]` or `{}` before it."""
    lines: list[str] = []
    for line in _TEXT.splitlines():
        if line.startswith("#  "):
            lines[-1] = re.sub(r": (\[\]|\{\})( +#.*)?$", ":", lines[-1])
            lines.append(f" {line[1:]}")
        else:
            lines.append(line)
    return dict(next(parse("\n".join(lines))))


def _subschemas(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        yield path, schema
    items = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for key, value in items:
        yield from _subschemas(value, f"{path}/{key}")


def _resolved(schema: Any) -> Any:
    return _SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _undescribed(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Keys of a value that no `properties` of the schema names."""
    schema = _resolved(schema)
    if isinstance(value, list):
        for each in value if "items" in schema else ():  # of text only where it may be something else as well
            yield from _undescribed(each, schema["items"], f"{path}[]")
    if isinstance(value, dict) and "properties" in schema:
        for key, inner in value.items():
            if key in schema["properties"]:
                yield from _undescribed(inner, schema["properties"][key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"


def test_every_value_and_every_commented_example_is_described_and_valid() -> None:
    shown = _shown()
    for example in ("orchestrators", "issuers", "upstreams", "database", "logging"):
        assert shown[example], f"the example of {example} wasn't found"
    assert shown["monitoring"]["prometheus"]["from"]["namespace"] == "monitoring"
    assert list(_undescribed(shown, _SCHEMA)) == []
    assert [error.message for error in jsonschema_rs.validator_for(_SCHEMA).iter_errors(shown)] == []


def test_every_key_that_the_schema_takes_is_told_of_in_values_yaml() -> None:
    keys = {
        key
        for _, schema in _subschemas(_SCHEMA)
        if isinstance(schema.get("properties"), dict)
        for key in schema["properties"]
    }
    assert {key for key in keys - _ELSEWHERE if not re.search(rf"\b{re.escape(key)}:", _TEXT)} == set()


def test_no_object_takes_keys_that_it_does_not_name() -> None:
    for path, schema in _subschemas(_SCHEMA):
        name = path.rpartition("/")[2]
        if schema.get("type") == "object" and name not in _MAPS | _OPEN:
            assert schema.get("additionalProperties") is False, path


_SIDES = (("resources", "pep"), ("resources", "pdp"))
_OPTIONAL = {*_SIDES, *((*side, "requests") for side in _SIDES)}


def test_a_value_that_has_a_default_cannot_be_taken_away_from_the_templates() -> None:
    for path, value in _objects(dict(next(parse(_TEXT)))):
        schema = _SCHEMA
        for key in path:
            schema = _resolved(schema["properties"][key])
        if path not in _OPTIONAL:
            assert set(schema.get("required", ())) == set(value), path


def _objects(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Object]]:
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from _objects(inner, (*path, key))


def test_every_pattern_is_whole() -> None:
    for path, schema in _subschemas(_SCHEMA):
        if isinstance(schema.get("pattern"), str) and not path.endswith("inline"):
            assert schema["pattern"].startswith("^"), path
            assert schema["pattern"].endswith("$"), path


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_is_valid_and_each_key_of_it_is_described(profile: str) -> None:
    assert jsonschema_rs.validator_for(_SCHEMA).is_valid(profile_values(profile))
    assert list(_undescribed({**profile_values(profile), "tools": []}, _SCHEMA)) == []


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"replica": 3}, "'replica' not allowed"),
        ({"tls": {"clientCa": "x"}}, "'clientCa' not allowed"),
        (
            {"orchestrators": [{"name": "a", "spiffe": "spiffe://a/b", "from": {"namespace": "a", "labels": {}}}]},
            "'labels' not allowed",
        ),
        (
            {"tools": [{"name": "a", "provider": {"hosted": "x"}, "input": {"type": "object"}, "efect": "write"}]},
            "/tools/0",
        ),
        (
            {"tools": [{"name": "a", "provider": {"hosted": "x", "upstream": "y"}, "input": {"type": "object"}}]},
            "/tools/0",
        ),
        ({"tools": [{"name": "a", "provider": {"hosted": "x"}, "input": {"type": "string"}}]}, "/tools/0"),
        ({"replicas": "3"}, "/replicas"),
        ({"replicas": 0}, "/replicas"),
        ({"cilium": "yes"}, "/cilium"),
        ({"profile": "prod"}, "/profile"),
        ({"listenAddress": "127.0.0.1"}, "/listenAddress"),
        ({"runAsUser": -1}, "/runAsUser"),
        ({"tls": None}, "missing property 'tls'"),
        ({"audit": {"persistence": {"size": None}}}, "missing property 'size'"),
        ({"resources": {"pdp": {"limits": None}}}, "missing property 'limits'"),
        ({"resources": {"pep": {"limits": {"cpu": 1, "memory": None}}}}, "missing property 'memory'"),
        (
            {
                "upstreams": [
                    {"name": "a", "url": "https://a", "network": {"cidrs": [f"10.0.0.{host}/32" for host in range(65)]}}
                ]
            },
            "/upstreams/0/network/cidrs",
        ),
        ({"images": {"pep": {"digest": "sha256:123"}}}, "/images/pep/digest"),
        ({"images": {"pep": {"repository": "sallyport/pep:latest"}}}, "/images/pep/repository"),
        ({"images": {"registry": "https://registry.example.org"}}, "/images/registry"),
        ({"resource": "http://gate.example.org/mcp"}, "/resource"),
        ({"resource": "https://gate.example.org/"}, "/resource"),
        ({"limits": {"stream": 3}}, "'stream' not allowed"),
        ({"limits": {"streams": -1}}, "/limits/streams"),
        ({"limits": {"streams": None}}, "missing property 'streams'"),
        ({"limits": {"streamsPerCaller": 0}}, "/limits/streamsPerCaller"),
        ({"pdp": {"concurrency": 0}}, "/pdp/concurrency"),
        ({"eras": []}, "/eras"),
        ({"eras": ["2024-11-05"]}, "/eras/0"),
        ({"origins": ["https://desk.example.org/"]}, "/origins/0"),
        ({"origins": ["http://desk.example.org"]}, "/origins/0"),
        ({"origins": ["*"]}, "/origins/0"),
        ({"origins": ["null"]}, "/origins/0"),
        ({"upstreams": [{"name": "a", "url": "https://a", "capabilities": ["logging"]}]}, "/upstreams/0/capabilities"),
        ({"stopSeconds": {"endpoints": 0}}, "/stopSeconds/endpoints"),
        ({"logging": {"otlpEndpoint": "http://collector.example.org"}}, "/logging/otlpEndpoint"),
        ({"policies": {"operators": [{"kind": "ServiceAccount", "name": "a"}]}}, "/policies/operators/0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_or_a_value_of_another_kind_is_refused_by_its_place(values: dict[str, Any], where: str) -> None:
    said = refusal("minimal", values)
    assert "values don't meet the specifications of the schema" in said
    assert where in said.replace("additional properties ", ""), said


_PORTS = {
    "/properties/images/properties/registry": "registry.example.org:{}",
    "/definitions/image/properties/repository": "registry.example.org:{}/sallyport/pep",
    "/properties/resource": "https://gate.example.org:{}/mcp",
    "/properties/alsoKnownAs/items": "https://gate.example.org:{}/mcp",
    "/properties/origins/items": "https://desk.example.org:{}",
    "/properties/issuers/items/properties/issuer": "https://id.example.org:{}/a:b",
    "/properties/upstreams/items/properties/url": "https://[2001:db8::1]:{}/mcp",
    "/properties/assertion/properties/issuer": "https://gate.example.org:{}/a",
    "/properties/database/properties/url": "postgresql://me@db.example.org:{}/app",
    "/properties/logging/properties/otlpEndpoint": "http://collector.example.org:{}",
    "/properties/tests/properties/outside/items": "1.1.1.1:{}",
}


@pytest.mark.parametrize("path", _PORTS)
def test_a_port_is_one_that_exists(path: str) -> None:
    validator = jsonschema_rs.validator_for(dict(_subschemas(_SCHEMA))[path])
    taken = [port for port in range(100_000) if validator.is_valid(_PORTS[path].format(port))]
    assert taken == list(range(1, 65536))
    assert not validator.is_valid(_PORTS[path].format("080"))


def test_every_pattern_with_a_port_is_tried() -> None:
    withs = {path for path, schema in _subschemas(_SCHEMA) if "6553" in str(schema.get("pattern"))}
    assert withs == set(_PORTS)
    assert not re.search(r":\[[01]-9\](\[0-9\])?\{[01],[45]\}", (CHART / "values.schema.json").read_text())


def test_as_part_of_another_chart_the_values_that_helm_adds_are_taken() -> None:
    assert render("minimal", {"global": {"anything": 1}}).one("Deployment")


_NAME = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "a\nb",
            "a: b",
            "{{ .Values }}",
            "a # b",
            '"',
            "'",
            "[a]",
            "{a: b}",
            "*",
            "&a",
            "- a",
            "..",
            "a\u2028b",
            "-a",
            "A",
            "a_b",
        ]
    ),
)
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@settings(max_examples=300, deadline=None)
@given(_NAME)
def test_only_a_name_of_kubernetes_is_taken_for_one(name: str) -> None:
    validator = jsonschema_rs.validator_for({**_SCHEMA["definitions"]["name"]})
    assert validator.is_valid(name) is bool(_DNS_NAME.fullmatch(name))
