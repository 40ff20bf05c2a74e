"""A string in the values stays that string: it begins no line, no key, no template and no other type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import NAME, Object, profile_values, refusal, render

_EVIL = (
    "a\nb: c",
    'a"}, {b: "c',
    "{{ .Release.Name }}",
    "a #b",
    "a\n---\nkind: Pod",
    "a: b",
)
_PLANNER = profile_values("minimal")["orchestrators"][0]
_COMPANY = profile_values("minimal")["issuers"][0]
_CRM = {"name": "crm", "url": "https://crm.example.org", "network": {"cidrs": ["192.0.2.7/32"]}}


def _places(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Wherever a string of the values goes into a manifest, with this text in it."""
    yield "orchestrator", {"orchestrators": [{**_PLANNER, "name": text}]}
    yield "spiffe", {"orchestrators": [{**_PLANNER, "spiffe": f"spiffe://example.org/{text}"}]}
    yield "namespace", {"orchestrators": [{**_PLANNER, "from": {"namespace": text, "podLabels": {"a": "b"}}}]}
    yield "label", {"orchestrators": [{**_PLANNER, "from": {"namespace": "a", "podLabels": {text: "b"}}}]}
    yield "label value", {"orchestrators": [{**_PLANNER, "from": {"namespace": "a", "podLabels": {"a": text}}}]}
    yield "issuer", {"issuers": [{**_COMPANY, "name": text}]}
    yield "issuer's url", {"issuers": [{**_COMPANY, "issuer": f"https://a/{text}"}]}
    yield "jwks map", {"issuers": [{**_COMPANY, "jwks": {"configMap": text}}]}
    yield "jwks key", {"issuers": [{**_COMPANY, "jwks": {"configMap": "a", "key": text}}]}
    yield "tls", {"tls": {"secret": text}}
    yield "client CA", {"tls": {"clientCaSecret": text}}
    yield "audit", {"audit": {"pepKeySecret": text}}
    yield "claim", {"files": {"claim": text}}
    yield "size", {"audit": {"persistence": {"size": text}}}
    yield "registry", {"images": {"registry": text}}
    yield "repository", {"images": {"pep": {"repository": text}}}
    yield "tag", {"images": {"pep": {"tag": text}}}
    yield "pull secret", {"images": {"pullSecrets": [text]}}
    yield "resource", {"resource": f"https://{text}/mcp"}
    yield "origin", {"origins": [f"https://{text}"]}
    yield "priority", {"priorityClassName": text}
    yield "domain", {"clusterDomain": text}
    yield "policies", {"policies": {"existing": {"policies": text}}}
    yield "tool", {"tools": [text]}
    yield "pod label", {"podLabels": {"a": text}}
    yield "annotation", {"podAnnotations": {text: "a"}}
    yield "test secret", {"tests": {"tokenSecret": text}}
    yield "outside", {"tests": {"outside": [f"{text}:443"]}}
    yield from _places_behind(text)


def _places_behind(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of what is behind the gate."""
    yield "upstream", {"upstreams": [{**_CRM, "name": text}]}
    yield "url", {"upstreams": [{**_CRM, "url": f"https://crm.example.org/{text}"}]}
    yield "host", {"upstreams": [{**_CRM, "url": f"https://crm{text}/"}]}
    yield "cidr", {"upstreams": [{**_CRM, "network": {"cidrs": [text]}}]}
    yield "fqdn", {"upstreams": [{**_CRM, "network": {"fqdn": text}}]}
    yield "networks", {"upstreams": [{**_CRM, "networks": [text]}]}
    yield "CA", {"upstreams": [{**_CRM, "ca": {"secret": text}}]}
    yield "CA map", {"upstreams": [{**_CRM, "ca": {"configMap": text}}]}
    yield "CA key", {"upstreams": [{**_CRM, "ca": {"secret": "a", "key": text}}]}
    yield "credential", {"upstreams": [{**_CRM, "credential": {"secret": text}}]}
    yield "credential's key", {"upstreams": [{**_CRM, "credential": {"secret": "a", "key": text}}]}
    yield "header", {"upstreams": [{**_CRM, "credential": {"secret": "a", "header": text}}]}
    yield "client certificate", {"upstreams": [{**_CRM, "clientCertificate": {"secret": text}}]}
    yield "assertion", {"assertion": {"secret": text}}
    yield "assertion's key", {"assertion": {"secret": "a", "keys": [text]}}
    yield "assertion's issuer", {"assertion": {"issuer": f"https://a/{text}"}}
    yield "service network", {"cluster": {"serviceNetworks": [text]}}
    yield "server", {"catalog": {"servers": {text: {}}}}
    yield "server's resource", {"catalog": {"servers": {"a": {"resources": [text]}}}}
    yield "prompt", {"catalog": {"prompts": [{"name": text, "upstream": "crm"}]}}
    yield "uri", {"catalog": {"resources": [{"uri": f"crm://{text}", "upstream": "crm"}]}}
    yield "template", {"catalog": {"resources": [{"template": f"crm://{text}", "upstream": "crm"}]}}
    yield "prefix", {"catalog": {"resources": [{"prefix": f"crm://{text}", "upstream": "crm"}]}}


@pytest.mark.parametrize("place", [place for place, _ in _places("")])
def test_a_text_that_would_become_yaml_is_refused_before_it_does(place: str) -> None:
    said = [refusal("minimal", dict(_places(text))[place]) for text in _EVIL[:2]]
    assert all("values don't meet the specifications of the schema" in each for each in said)


def test_every_evil_text_is_refused_where_it_would_stand_in_a_comment() -> None:
    for text in _EVIL:
        assert "/orchestrators/0/name" in refusal("minimal", dict(_places(text))["orchestrator"])


_TEXTS = ("123", "true", "null", "1e3", "0x10", "on", "y", "1.5", "0")


@pytest.mark.parametrize("text", _TEXTS)
def test_a_name_that_looks_like_another_type_stays_a_name(text: str) -> None:
    plain = text.replace(".", "0")  # where no dot may stand
    values = {
        "orchestrators": [{**_PLANNER, "name": plain, "from": {"namespace": plain, "podLabels": {"app": text}}}],
        "tls": {"secret": text, "clientCaSecret": text},
        "audit": {
            "pepKeySecret": text,
            "pdpKeySecret": "other",
            "persistence": {"enabled": True, "storageClass": text},
        },
        "issuers": [{**_COMPANY, "name": text, "jwks": {"secret": text, "key": text}}],
        "upstreams": [
            {
                **_CRM,
                "ca": {"configMap": text, "key": text},
                "credential": {"header": plain, "secret": text, "key": text},
                "clientCertificate": {"secret": text},
            }
        ],
        "assertion": {"secret": f"{text}-a", "keys": [text], "issuer": "https://gate.example.org"},
        "files": {"claim": text},
        "images": {"pullSecrets": [text], "pep": {"repository": "123", "tag": f"{text}.1"}},
        "policies": {"existing": {"policies": text}, "operatorKeySecret": text},
        "podLabels": {"own": text},
        "podAnnotations": {"own": text},
        "nodeSelector": {"own": text},
        "priorityClassName": text,
        "serviceAccount": {"annotations": {"own": text}},
        "monitoring": {"labels": {"own": text}},
        "tests": {"orchestratorSecret": text, "tokenSecret": text, "otherNamespace": plain},
    }
    rendered = render("minimal", values)
    assert {path for each in rendered.everything for path in _untyped(each)} == set()
    assert rendered.gate.spec["priorityClassName"] == text
    assert rendered.gate.spec["imagePullSecrets"] == [{"name": text}]


_STRINGS = {
    "name",
    "secretName",
    "claimName",
    "key",
    "path",
    "image",
    "storageClassName",
    "namespace",
    "serviceAccountName",
}
_STRING_MAPS = {"labels", "annotations", "matchLabels", "nodeSelector", "selector"}


def _untyped(value: Any, path: str = "") -> Iterator[str]:
    """Where Kubernetes wants a string and the manifest has something else."""
    if isinstance(value, list):
        for each in value:
            yield from _untyped(each, f"{path}[]")
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _STRINGS and not isinstance(inner, str):
                yield f"{path}.{key}"
            in_map = path.rpartition(".")[2] in _STRING_MAPS
            if in_map and not isinstance(inner, str | dict):
                yield f"{path}.{key}"
            yield from _untyped(inner, f"{path}.{key}")


@pytest.mark.parametrize("profile", ["production", "everything"])
def test_a_release_named_like_another_type_is_still_a_name(profile: str) -> None:
    for release in ("true", "null", "y"):
        rendered = render(profile, release=release)
        assert {path for each in rendered.everything for path in _untyped(each)} == set()


def test_what_a_tool_says_of_itself_is_only_ever_text() -> None:
    tools = [_tool(number, text) for number, text in enumerate(_EVIL)]
    rendered = render("minimal", {"tools": tools})
    assert len(rendered.everything) == len(render("minimal").everything)
    catalog = rendered.one("ConfigMap", f"{NAME}-catalog")["data"]["catalog.yaml"]
    assert catalog.count("\n- ") + catalog.startswith("- ") <= len(tools)
    assert "gate-sallyport" not in catalog  # nothing in it was run as a template


def _tool(number: int, text: str) -> Object:
    schema = {"type": "object", "description": text, "properties": {text: {"type": "string", "default": text}}}
    return {"name": f"t{number}", "description": text, "provider": {"hosted": "list_files"}, "input": schema}
