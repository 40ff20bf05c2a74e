"""Every setting of the services and of the catalog has its place in the values, or a reason why it has none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from sallyport.contract.catalog import Catalog
from sallyport.pdp.settings import PdpSettings
from sallyport.pep.settings import PepSettings
from sallyport.runtime import strict_json
from tests.chart.rendering import CHART, MADE, PROFILES, Object, parse, render

_SCHEMA: Final[Any] = strict_json.parse((CHART / "values.schema.json").read_bytes())

# Setting -> the value that sets it, lists and maps left out of both paths.
_PEP: Final = {
    "listen": "listenAddress",
    "management": "listenAddress",
    "resource": "resource",
    "also_known_as": "alsoKnownAs",
    "tls.orchestrators.spiffe": "orchestrators.spiffe",
    "tls.orchestrators.dns": "orchestrators.dns",
    "tls.orchestrators.forward_identity.issuer": "orchestrators.forwardIdentity.issuer",
    "tls.orchestrators.forward_identity.orgs": "orchestrators.forwardIdentity.orgs",
    "tls.orchestrators.forward_identity.roles": "orchestrators.forwardIdentity.roles",
    "tls.management_clients.spiffe": "monitoring.prometheus.spiffe",
    "tls.management_clients.dns": "monitoring.prometheus.dns",
    "pdp.address": "pdp.socket",
    "pdp.deadline_ms": "pdp.deadlineMs",
    "issuers.name": "issuers.name",
    "issuers.issuer": "issuers.issuer",
    "issuers.jwks": "issuers.jwks",
    "issuers.algorithms": "issuers.algorithms",
    "issuers.orgs": "issuers.orgs",
    "issuers.roles.claim": "issuers.roles.claim",
    "issuers.roles.map": "issuers.roles.map",
    "issuers.token_types": "issuers.token_types",
    "issuers.leeway_seconds": "issuers.leeway_seconds",
    "issuers.risk_claim": "issuers.risk_claim",
    "files.root": "files.claim",
    "database.url": "database.url",
    "database.password_file": "database.passwordSecret",
    "eras": "eras",
    "limits.body_bytes": "limits.bodyBytes",
    "limits.connections": "limits.connections",
    "limits.streams": "limits.streams",
    "limits.streams_per_caller": "limits.streamsPerCaller",
    "limits.drain_seconds": "stopSeconds.drain",
    "origins": "origins",
    "telemetry.otlp_endpoint": "logging.otlpEndpoint",
    "assertion.key": "assertion.keys",
    "assertion.issuer": "assertion.issuer",
    "assertion.ttl_seconds": "assertion.ttlSeconds",
    "egress.destination": "upstreams.url",
    "egress.networks": "upstreams.networks",
}
_PDP: Final = {
    "listen": "pdp.socket",
    "health": "listenAddress",
    "metrics": "listenAddress",
    "reload.seconds": "policies.reloadSeconds",
    "reload.tests": "policies.tests",
    "reload.operator_key": "policies.operatorKeySecret",
    "limits.deadline_ms": "pdp.deadlineMs",
    "limits.concurrency": "pdp.concurrency",
}
_CATALOG: Final = {
    "upstreams.credential": "upstreams.credential.header",
    "upstreams.client_certificate": "upstreams.clientCertificate.secret",
}
_PARTS: Final = {part: f"catalog.{part}" for part in ("prompts", "resources", "servers")}  # of the catalog, as they are

# Setting, or the part of one -> why no value sets it.
_MOUNTED: Final = "a path inside the container; which Secret, ConfigMap or claim is mounted there is a value"
_AUDIT: Final = dict.fromkeys((f"audit.{name}" for name in ("directory", "signing_key", "masking_key")), _MOUNTED)
_PEP_FIXED: Final = {
    **_AUDIT,
    **dict.fromkeys(("tls.certificate", "tls.key", "tls.client_ca", "pdp.hop_key", "policies", "upstreams"), _MOUNTED),
    "tls.client_certificate": "nothing comes in but orchestrators by mTLS",
    "limits.header_count": "nothing stands between orchestrator and gate that would add headers",
    "limits.header_bytes": "a token of the 8 KiB that are taken at most leaves as much again",
    "limits.json_depth": "deeper arguments are an attack, no tool",
    "limits.receive_seconds": "orchestrators are near; longer would be for slow attackers only",
    "limits.handshake_seconds": "orchestrators are near; longer would be for slow attackers only",
}
_PDP_FIXED: Final = {
    **_AUDIT,
    **dict.fromkeys(("policies", "hop_key"), _MOUNTED),
    "reload.poll_ms": "the kubelet takes a minute to bring a change; half a second is nothing beside it",
    "limits.message_bytes": "whatever the contract allows fits",
    "telemetry.otlp_endpoint": "the PDP connects to nobody; the PEP's spans hold the decision's time",
    "authzen": "all of it: for gateways that aren't ours, through a door of its own, which the pod hasn't",
}

Leaf = tuple[str, FieldInfo]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _leaves(model: type[BaseModel], path: str = "") -> Iterator[Leaf]:
    """Each setting that isn't made of settings, by its path."""
    for name, field in model.model_fields.items():
        within = list(_models(field.annotation))
        for each in within:
            yield from _leaves(each, f"{path}{name}.")
        if not within:
            yield path + name, field


def _is_part(setting: str, of: str) -> bool:
    return setting == of or setting.startswith(f"{of}.")


def _catalog_places() -> dict[str, str]:
    """The values take the catalog's entries as they are; of upstreams only some are called otherwise."""
    found = {}
    for setting, _ in _leaves(Catalog):
        part, _, rest = setting.partition(".")
        found[setting] = _CATALOG.get(setting, f"{_PARTS.get(part, part)}.{rest}")
    return found


def _inside(schema: Any, root: Any) -> Any:
    """Past references, lists, maps, and the several ways to write something."""
    if "$ref" in schema:
        kept = root.get("definitions") or root["$defs"]
        return _inside(kept[schema["$ref"].rpartition("/")[2]], root)
    maps = schema.get("patternProperties", {}).values()
    for each in (schema.get("items"), schema.get("additionalProperties"), *maps):
        if isinstance(each, dict):
            return _inside(each, root)
    ways = [_inside(each, root) for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))]
    return {"properties": {key: each for way in ways for key, each in way.get("properties", {}).items()}, **schema}


def _described(path: str, root: Any) -> Any:
    """What a schema says of the value at a path; None: nothing."""
    schema = root
    for key in path.split("."):
        schema = _inside(schema, root)["properties"].get(key)
        if schema is None:
            return None
    return schema


def _bounds(schema: Any, root: Any) -> Object:
    """What a number may be, or of what words it must be one."""
    if "$ref" in schema:
        kept = root.get("definitions") or root["$defs"]
        return _bounds(kept[schema["$ref"].rpartition("/")[2]], root)
    found = {key: schema[key] for key in ("minimum", "maximum") if key in schema}
    if "enum" in schema:
        found["enum"] = sorted(schema["enum"])
    for each in filter(None, (schema.get("items"), *schema.get("anyOf", ()))):
        found |= _bounds(each, root)
    return found


def _told(settings: Any, path: str) -> list[Any]:
    """What stands at a path, wherever lists branch."""
    key, _, rest = path.partition(".")
    if isinstance(settings, list):
        return [found for each in settings for found in _told(each, path)]
    if not isinstance(settings, dict) or key not in settings:
        return []
    return _told(settings[key], rest) if rest else [settings[key]]


_SERVICES: Final[Mapping[str, tuple[type[BaseModel], Mapping[str, str], Mapping[str, str]]]] = {
    "pep": (PepSettings, _PEP, _PEP_FIXED),
    "pdp": (PdpSettings, _PDP, _PDP_FIXED),
    "catalog": (Catalog, _catalog_places(), {}),
}


@pytest.mark.parametrize("service", _SERVICES)
def test_each_setting_has_one_place_in_the_values_or_one_reason_why_not(service: str) -> None:
    model, places, fixed = _SERVICES[service]
    settings = {setting for setting, _ in _leaves(model)}
    told = {setting: [of for of in (*places, *fixed) if _is_part(setting, of)] for setting in settings}
    assert {setting: found for setting, found in told.items() if len(found) != 1} == {}
    assert [of for of in (*places, *fixed) if not any(_is_part(setting, of) for setting in settings)] == []


@pytest.mark.parametrize("service", _SERVICES)
def test_each_place_is_in_the_schema(service: str) -> None:
    _, places, _ = _SERVICES[service]
    assert {setting: value for setting, value in places.items() if _described(value, _SCHEMA) is None} == {}


@pytest.mark.parametrize("service", _SERVICES)
def test_a_value_has_the_bounds_of_its_setting_and_the_words(service: str) -> None:
    model, places, _ = _SERVICES[service]
    root = model.model_json_schema()
    bounds = {setting: _bounds(_described(setting, root), root) for setting in places}
    if service == "pep":
        bounds["limits.streams"]["minimum"] = 0  # none: the PEP chooses
    found = {
        setting: _bounds(_described(places[setting], _SCHEMA), _SCHEMA) for setting, told in bounds.items() if told
    }
    assert found == {setting: told for setting, told in bounds.items() if told}


@pytest.mark.parametrize("service", ["pep", "pdp"])
def test_each_place_leads_to_its_setting(service: str) -> None:
    model, places, _ = _SERVICES[service]
    _arrives(model, places, [render(profile).settings(service) for profile in PROFILES])


def test_whatever_is_said_of_an_upstream_is_in_the_catalog() -> None:
    catalog = next(parse(render("everything", MADE).policy_set()["catalog.yaml"]))
    settings = [setting for setting in _catalog_places() if _is_part(setting, "upstreams")]
    _arrives(Catalog, settings, {"upstreams": list(catalog["upstreams"].values())})


def test_an_upstream_that_may_see_nothing_of_clients_is_no_upstream_that_may_see_all() -> None:
    upstream = {"name": "crm", "url": "https://crm.example.org/mcp", "network": {"cidrs": ["192.0.2.7/32"]}}
    rendered = render("minimal", {"upstreams": [{**upstream, "capabilities": []}]})
    assert next(parse(rendered.policy_set()["catalog.yaml"]))["upstreams"]["crm"]["capabilities"] == []


def _arrives(model: type[BaseModel], settings: Iterable[str], rendered: Any) -> None:
    """That somewhere each is another than without the values."""
    fields = dict(_leaves(model))
    for setting in settings:
        default = to_jsonable_python(fields[setting].get_default(call_default_factory=True), fallback=str)
        found = _told(rendered, setting)
        assert [each for each in found if each != default], (setting, found)
