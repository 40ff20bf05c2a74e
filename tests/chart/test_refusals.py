"""What must not be installed stops the render: unsafe values by a sentence that names the key and says what to do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.chart.rendering import profile_values, refusal, render

_PLANNER = profile_values("production")["orchestrators"][0]
_COMPANY = profile_values("production")["issuers"][0]
_UPSTREAM = {"name": "crm", "url": "https://crm.example.org/mcp", "network": {"cidrs": ["192.0.2.7/32"]}}
_OWN = {"name": "own", "provider": {"upstream": "crm"}, "input": {"type": "object"}}
_DATABASE = {
    "url": "postgresql://sallyport@db.example.org/app",
    "caSecret": "ca",
    "network": {"cidrs": ["192.0.2.7/32"]},
}
_IGNORE = {"tests": "ignore"}


def _but(whole: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with other parts; one that is None is left out."""
    changed = {**copy.deepcopy(whole), **changes}
    return {key: value for key, value in changed.items() if value is not None}


def _to(cidr: str) -> dict[str, Any]:
    return {"upstreams": [_but(_UPSTREAM, network={"cidrs": [cidr]})]}


_WIDE = "that is the internet, not an allowlist. Name the servers' own addresses."
_NODE = "a tool could fetch the node's credentials there."

# Each unsafe value, over the production profile, and words of the sentence that must be said.
_UNSAFE: dict[str, tuple[dict[str, Any], str]] = {
    "nobody may call": ({"orchestrators": []}, "orchestrators is empty"),
    "a caller without a name": (
        {"orchestrators": [_but(_PLANNER, spiffe=None)]},
        'orchestrator "planner": give exactly one of spiffe and dns',
    ),
    "a caller with two names": (
        {"orchestrators": [_but(_PLANNER, dns="planner.example.org")]},
        'orchestrator "planner": give exactly one of spiffe and dns',
    ),
    "a whole namespace may call": (
        {"orchestrators": [_but(_PLANNER, **{"from": {"namespace": "agents", "podLabels": {}}})]},
        'from.podLabels is empty, so every pod of namespace "agents" could connect. Name the pods',
    ),
    "one caller twice": ({"orchestrators": [_PLANNER, _but(_PLANNER, name="other")]}, "orchestrators (spiffe, dns)"),
    "one caller's name twice": (
        {"orchestrators": [_PLANNER, _but(_PLANNER, spiffe="spiffe://example.org/b")]},
        'orchestrators: "planner" stands there twice',
    ),
    "authentication off": (
        {"issuers": []},
        "issuers is empty and no orchestrator forwards identity: authentication would be off",
    ),
    "an issuer without keys": ({"issuers": [_but(_COMPANY, jwks={})]}, 'issuer "company": jwks needs exactly one of'),
    "an issuer with keys from two places": (
        {"issuers": [_but(_COMPANY, jwks={"configMap": "a", "secret": "b"})]},
        'issuer "company": jwks needs exactly one of',
    ),
    "an issuer's private key": (
        {"issuers": [_but(_COMPANY, jwks={"inline": '{"keys": [{"kty": "EC", "d": "x"}]}'})]},
        'issuer "company": jwks.inline holds a private or symmetric key',
    ),
    "an issuer twice": (
        {"issuers": [_COMPANY, _but(_COMPANY, issuer="https://b.example.org")]},
        'issuers: "company" stands there twice',
    ),
    "an issuer that is also an orchestrator's": (
        {"orchestrators": [_but(_PLANNER, forwardIdentity={"issuer": "company", "orgs": ["acme"]})]},
        'issuer "company" is also an orchestrator\'s forwardIdentity.issuer',
    ),
    "no client CA": ({"tls": {"clientCaSecret": ""}}, "tls.clientCaSecret is missing"),
    "no certificate": ({"tls": {"secret": ""}}, "tls: give exactly one of tls.secret and tls.certManager.enabled"),
    "two certificates": (
        {"tls": {"certManager": {"enabled": True, "issuerRef": {"name": "x"}}}},
        "tls: give exactly one of tls.secret and tls.certManager.enabled",
    ),
    "cert-manager without issuer": (
        {"tls": {"secret": "", "certManager": {"enabled": True}}},
        "tls.certManager.issuerRef.name is missing",
    ),
    "no audit key": ({"audit": {"pepKeySecret": ""}}, "audit.pepKeySecret and audit.pdpKeySecret are both needed"),
    "one key for two witnesses": (
        {"audit": {"pepKeySecret": "one", "pdpKeySecret": "one"}},
        "audit.pepKeySecret and audit.pdpKeySecret are the same",
    ),
    "metrics for nobody in particular": (
        {"monitoring": {"serviceMonitor": True}},
        "monitoring.serviceMonitor needs monitoring.prometheus.clientSecret",
    ),
    "a scraper with two names": (
        {"monitoring": {"prometheus": {"dns": "p.example.org"}}},
        "monitoring.prometheus needs from",
    ),
    "an upstream anywhere": (
        {"upstreams": [_but(_UPSTREAM, network={})]},
        "crm: network needs exactly one of namespace",
    ),
    "an upstream without network": (
        {"upstreams": [_but(_UPSTREAM, network=None)]},
        "crm: network needs exactly one of namespace",
    ),
    "an upstream in two places": (
        {
            "upstreams": [
                _but(_UPSTREAM, network={"namespace": "a", "podLabels": {"a": "b"}, "cidrs": ["192.0.2.7/32"]})
            ]
        },
        "crm: network needs exactly one of namespace",
    ),
    "no addresses": (
        {"upstreams": [_but(_UPSTREAM, network={"cidrs": []})]},
        "crm: network needs exactly one of namespace",
    ),
    "a whole namespace may be reached": (
        {"upstreams": [_but(_UPSTREAM, network={"namespace": "crm"})]},
        'crm: network.podLabels is empty, so all of namespace "crm" could be reached. Name the pods',
    ),
    "a host name without Cilium": (
        {"upstreams": [_but(_UPSTREAM, network={"fqdn": "crm.example.org"})]},
        "crm: network.fqdn needs cilium: true",
    ),
    "another host name than the url's": (
        {"cilium": True, "upstreams": [_but(_UPSTREAM, network={"fqdn": "evil.example.org"})]},
        'crm: network.fqdn is "evil.example.org" and the url\'s host "crm.example.org": they must be the same',
    ),
    "an upstream twice": (
        {"upstreams": [_UPSTREAM, _but(_UPSTREAM, url="https://b.example.org")]},
        'upstreams: "crm" stands there twice',
    ),
    "the internet": (_to("0.0.0.0/0"), _WIDE),
    "half the internet": (_to("128.0.0.0/1"), _WIDE),
    "all private addresses": (_to("10.0.0.0/8"), _WIDE),
    "the IPv6 internet": (_to("::/0"), _WIDE),
    "much of the IPv6 internet": (_to("2000::/3"), _WIDE),
    "the metadata service": (_to("169.254.169.254/32"), _NODE),
    "what is around it": (_to("169.254.0.0/16"), _NODE),
    "the metadata service by IPv6": (_to("fd00:ec2::254/128"), _NODE),
    "another cloud's by IPv6": (_to("fd20:ce::254/128"), _NODE),
    "another cloud's": (_to("168.63.129.16/32"), _NODE),
    "a third cloud's": (_to("100.100.100.200/32"), _NODE),
    "link-local IPv6": (_to("fe80::/64"), _NODE),
    "the end of link-local IPv6": (_to("febf:ffff::/64"), _NODE),
    "IPv4 in IPv6's clothes": (_to("0:0:0:0:0:ffff:a9fe:a9fe/128"), _NODE),
    "the same, shorter": (_to("::ffff:a9fe:a9fe/128"), _NODE),
    "loopback": (_to("127.0.0.1/32"), _NODE),
    "loopback by IPv6": (_to("::1/128"), _NODE),
    "loopback by IPv6, longer": (_to("0:0:0:0:0:0:0:1/128"), _NODE),
    "traces to the internet": (
        {"logging": {"otlpEndpoint": "https://o.example.org:4317", "network": {"cidrs": ["0.0.0.0/0"]}}},
        f'logging: network "0.0.0.0/0" is wider than /16: {_WIDE}',
    ),
    "a floating tag": ({"images": {"pep": {"tag": "latest"}}}, 'images.pep.tag is "latest"'),
    "a branch for a tag": ({"images": {"pdp": {"tag": "Main"}}}, 'images.pdp.tag is "Main"'),
    "root": ({"runAsUser": 0}, "runAsUser is root: nothing here needs it"),
    "no tools": ({"tools": [], "policies": _IGNORE}, "tools is empty"),
    "a tool that nobody knows": (
        {"tools": ["read_files"], "policies": _IGNORE},
        'tools: "read_files" is not a hosted tool; shipped are database_query',
    ),
    "a tool of an upstream that isn't listed": (
        {"tools": [_OWN], "policies": _IGNORE},
        'tools: "own" names the upstream "crm"',
    ),
    "a tool twice": (
        {"tools": ["describe_table", "describe_table"], "policies": _IGNORE},
        'tools: "describe_table" stands there twice',
    ),
    "two tools that look the same": (
        {"tools": ["describe_table", _but(_OWN, name="Describe_Table", provider={"hosted": "x"})], "policies": _IGNORE},
        'tools: "describe_table" stands there twice',
    ),
    "tables of no database": (
        {"database": {"url": None, "passwordSecret": None, "caSecret": None, "network": None}},
        "database.url isn't set",
    ),
    "a database that anybody could be": ({"database": {"caSecret": None}}, "database.caSecret is missing"),
    "TLS weakened in the url": (
        {"database": {"url": f"{_DATABASE['url']}?sslmode=disable"}},
        "database.url has parameters",
    ),
    "a password in the url": (
        {"database": {"url": "postgresql://me:secret@db.example.org/app"}},
        "database.url holds a password, which everybody who may read the ConfigMap would see",
    ),
    "a record that dies with the pod": ({"audit": {"persistence": {"enabled": False}}}, "audit.persistence is off"),
    "one replica": ({"replicas": 1}, "replicas is 1: a node's end would be an outage"),
    "a drain that ends all": (
        {"podDisruptionBudget": {"maxUnavailable": 3}},
        "podDisruptionBudget.maxUnavailable is 3 of 3 replicas",
    ),
    "more replicas than the most": (
        {"replicas": 3, "autoscaling": {"enabled": True, "maxReplicas": 2}},
        "autoscaling.maxReplicas is 2 and replicas, the fewest, is 3",
    ),
    "files that each replica loses": (
        {"tools": ["list_files"], "policies": _IGNORE},
        "files.claim is empty and a file tool is listed",
    ),
    "tests required where there are none": (
        {"tools": [_but(_OWN, provider={"hosted": "x"})]},
        "policies.tests is require and no shipped test fits these tools",
    ),
    "one ConfigMap for two parts": (
        {"policies": {"existing": {"roles": "one", "agents": "one"}}},
        'policies.existing: the ConfigMap "one" is given for two parts',
    ),
    "the catalog's ConfigMap for the operators": (
        {"policies": {"existing": {"roles": "gate-sallyport-catalog"}}},
        'policies.existing: the ConfigMap "gate-sallyport-catalog" is given for two parts',
    ),
    "everybody may change policies": (
        {"policies": {"operators": [{"kind": "Group", "name": "system:authenticated"}]}},
        'policies.operators names "system:authenticated": anybody could change the policies',
    ),
    "a label that Services select": ({"podLabels": {"app.kubernetes.io/component": "other"}}, "podLabels:"),
    "a label that policies select": ({"podLabels": {"sallyport.io/egress": "none"}}, "podLabels:"),
    "an annotation that the commands read": (
        {"podAnnotations": {"sallyport.io/policy-configmaps": "{}"}},
        "podAnnotations:",
    ),
}


@pytest.mark.parametrize(("values", "sentence"), _UNSAFE.values(), ids=_UNSAFE)
def test_an_unsafe_value_is_refused_with_its_sentence(values: dict[str, Any], sentence: str) -> None:
    said = refusal("production", values)
    assert "Sallyport isn't installed like this:" in said
    told = [line for line in said.splitlines() if line.startswith("- ")]
    assert sum(sentence in line for line in told) == len(told) == 1, said  # this one, and no other


def test_all_that_is_wrong_is_told_at_once() -> None:
    values = {
        "orchestrators": [],
        "issuers": [],
        "tools": [],
        "runAsUser": 0,
        "replicas": 1,
        "podDisruptionBudget": {"enabled": False},
        "tls": {"clientCaSecret": ""},
        "audit": {"pepKeySecret": "", "persistence": {"enabled": False}},
        "images": {"pep": {"tag": "latest"}},
        "policies": _IGNORE,
        **_to("0.0.0.0/0"),
    }
    said = refusal("production", values)
    assert len([line for line in said.splitlines() if line.startswith("- ")]) == 10, said


def test_the_chart_alone_installs_nothing_and_says_what_is_missing() -> None:
    said = refusal("", {})
    for key in ("orchestrators", "issuers", "tls.clientCaSecret", "tls:", "audit.pepKeySecret", "files.claim"):
        assert f"- {key}" in said, said


@pytest.mark.parametrize("release", ["1gate", "gate.one"])
def test_a_release_whose_services_name_would_be_refused_is_refused(release: str) -> None:
    assert f'the release\'s name is "{release}"' in refusal("minimal", {}, release=release)


def test_a_whole_namespace_may_not_scrape() -> None:
    scraper = {"spiffe": "spiffe://example.org/prometheus", "from": {"namespace": "monitoring", "podLabels": {}}}
    said = refusal("minimal", {"monitoring": {"prometheus": scraper}})
    assert (
        'monitoring.prometheus: from.podLabels is empty, so every pod of namespace "monitoring" could connect' in said
    )


def test_a_trial_may_do_what_loses_only_its_own_records() -> None:
    assert render("minimal", {"replicas": 1, "podDisruptionBudget": {"enabled": True}}).all("PodDisruptionBudget")
