"""What must not be installed stops the render: unsafe values by a sentence that names the key and says what to do."""

from __future__ import annotations

import copy
import ipaddress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.pep.upstream import credentials
from sallyport.runtime import addresses
from tests.chart.rendering import CHART, profile_values, refusal, render, template

_PLANNER = profile_values("production")["orchestrators"][0]
_COMPANY = profile_values("production")["issuers"][0]
_UPSTREAM = {"name": "crm", "url": "https://crm.example.org/mcp", "network": {"cidrs": ["192.0.2.7/32"]}}
_OWN = {"name": "own", "provider": {"upstream": "crm"}, "input": {"type": "object"}, "pin": "a" * 64}
_PROMPT = {"name": "apology", "upstream": "crm", "pin": "b" * 64}
_TERMS = {"uri": "crm://terms", "upstream": "crm"}
_SERVICE = {
    "name": "crm",
    "url": "https://crm.crm.svc:8443/mcp",
    "network": {"namespace": "crm", "podLabels": {"app": "crm"}},
    "ca": {"secret": "crm-ca"},
}
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


def _at(host: str) -> dict[str, Any]:
    return {"upstreams": [_but(_UPSTREAM, url=f"https://{host}/mcp")]}


def _to(cidr: str) -> dict[str, Any]:
    return {"upstreams": [_but(_UPSTREAM, network={"cidrs": [cidr]})]}


def _found_in(network: str) -> dict[str, Any]:
    return {"upstreams": [_but(_UPSTREAM, networks=[network])]}


def _catalog(**parts: Any) -> dict[str, Any]:
    return {"upstreams": [_UPSTREAM], "catalog": parts}


_WIDE = "that is the internet, not an allowlist. Name the servers' own addresses."
_NODE = "a tool could fetch the node's credentials there."

# Each unsafe value, over the production profile, and words of the sentence that must be said.
_UNSAFE: dict[str, tuple[dict[str, Any], str]] = {
    "streams on every connection": (
        {"limits": {"connections": 64, "streams": 64}},
        "limits.streams is 64 of 64 connections: streams could take them all, and no call would find one. Give fewer.",
    ),
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
        {"upstreams": [_but(_UPSTREAM, network={"namespace": "crm"}, networks=["10.0.0.0/8"])]},
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
        {"upstreams": [_UPSTREAM, _but(_UPSTREAM, url="https://b.example.org/mcp")]},
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
    "multicast": (_to("224.0.0.1/32"), _NODE),
    "the end of multicast": (_to("239.255.0.0/16"), _NODE),
    "what nobody has": (_to("240.0.0.0/16"), _NODE),
    "broadcast": (_to("255.255.255.255/32"), _NODE),
    "this network": (_to("0.0.0.0/32"), _NODE),
    "multicast by IPv6": (_to("ff02::1/128"), _NODE),
    "IPv4 behind NAT64": (_to("64:ff9b::a9fe:a9fe/128"), _NODE),
    "IPv4 behind a NAT64 of one's own": (_to("64:ff9b:1::/48"), _NODE),
    "IPv4 behind 6to4": (_to("2002:a9fe:a9fe::/48"), _NODE),
    "IPv4 behind Teredo": (_to("2001::a9fe:a9fe/128"), _NODE),
    "IPv4 as IPv6 once was": (_to("::a9fe:a9fe/128"), _NODE),
    "a third": (_to("192.0.0.192/32"), _NODE),
    "a cloud's metadata service among others": (_to("168.63.129.0/24"), _NODE),
    "a cloud's metadata service by a longer mask": (_to("100.100.100.201/31"), _NODE),
    "a whole /16 with one in it": (_to("192.0.2.1/16"), _NODE),
    "a url of the metadata service": (_at("169.254.169.254"), 'crm: the url\'s host "169.254.169.254" is'),
    "a url of a cloud's metadata service": (_at("168.63.129.16"), 'the url\'s host "168.63.129.16" is'),
    "a url of the node's own": (_at("127.0.0.2"), 'the url\'s host "127.0.0.2" is'),
    "a url of the pod's own": (_at("localhost"), 'the url\'s host "localhost" is'),
    "a url that ends there": (_at("a.localhost"), 'the url\'s host "a.localhost" is'),
    "a url of a metadata service's name": (_at("metadata.google.internal"), 'host "metadata.google.internal" is'),
    "a url of the pod's own by IPv6": (_at("[::1]:8443"), 'the url\'s host "::1" is'),
    "a url of the pod's own, in full": (_at("[0000:0:0:0:0:0:0:0001]"), 'host "0000:0:0:0:0:0:0:0001" is'),
    "a url behind NAT64": (_at("[0064:ff9b::a9fe:a9fe]"), 'the url\'s host "0064:ff9b::a9fe:a9fe" is'),
    "a url of an address as one number": (_at("2852039166"), 'host "2852039166" is a number'),
    "a url of an address in octal": (_at("0177.0.0.1"), 'host "0177.0.0.1" is a number'),
    "a url of an address in hexadecimal": (_at("0x7f.1"), 'host "0x7f.1" is a number'),
    "a database of the pod's own": ({"database": {"url": "postgresql://me@127.0.0.1/app"}}, "database: the url's host"),
    "traces to the pod's own": (
        {"logging": {"otlpEndpoint": "http://localhost:4318", "network": {"cidrs": ["192.0.2.7/32"]}}},
        "logging: the url's host",
    ),
    "traces to the internet": (
        {"logging": {"otlpEndpoint": "https://o.example.org:4317", "network": {"cidrs": ["0.0.0.0/0"]}}},
        f'logging: network "0.0.0.0/0" is wider than /16: {_WIDE}',
    ),
    "an upstream by plain http": (
        {"upstreams": [_but(_UPSTREAM, url="http://crm.example.org/mcp")]},
        "crm: the url is plain http: whoever is in between could read each answer, and write others",
    ),
    "a credential over plain http": (
        {"upstreams": [_but(_UPSTREAM, url="http://crm.example.org/mcp", credential={"secret": "a"})]},
        "could read each answer and the credential, and write others. Give its https url.",
    ),
    "a CA that is nowhere": ({"upstreams": [_but(_UPSTREAM, ca={})]}, "crm: ca needs exactly one of secret and"),
    "a CA in two places": (
        {"upstreams": [_but(_UPSTREAM, ca={"secret": "a", "configMap": "b"})]},
        "crm: ca needs exactly one of secret and configMap",
    ),
    "a Service that the world's CAs are to vouch for": (
        {"upstreams": [_but(_SERVICE, ca=None)], "cluster": {"serviceNetworks": ["10.96.0.0/12"]}},
        "crm: ca is missing: no public CA vouches for the name of a Service",
    ),
    "an upstream that is told for whom without a key": (
        {"upstreams": [_but(_UPSTREAM, assertion=True)]},
        "crm: assertion is true and assertion.secret is missing",
    ),
    "a word that is nobody's": ({"assertion": {"secret": "a"}}, "assertion needs both secret and issuer, or neither"),
    "a word without a key": (
        {"assertion": {"issuer": "https://gate.example.org"}},
        "assertion needs both secret and issuer, or neither",
    ),
    "a key of the record for upstreams": (
        {"assertion": {"secret": "sallyport-audit-pep", "keys": ["signing.key"], "issuer": "https://g.example.org"}},
        'assertion.secret is "sallyport-audit-pep", which holds keys for something else',
    ),
    "the gate's own key for upstreams": (
        {"assertion": {"secret": "sallyport-tls", "keys": ["tls.key"], "issuer": "https://g.example.org"}},
        'assertion.secret is "sallyport-tls", which holds keys for something else',
    ),
    "a word that looks like a token": (
        {"assertion": {"secret": "a", "issuer": "https://id.example.org"}},
        'assertion.issuer is also that of issuer "company"',
    ),
    "a Service anywhere": (
        {"upstreams": [_SERVICE]},
        "crm: the url's host \"crm.crm.svc\" is a Service's and cluster.serviceNetworks is empty",
    ),
    "a Service by its whole name anywhere": (
        {"upstreams": [_but(_SERVICE, url="https://crm.crm.svc.cluster.local/mcp")]},
        "Look it up with `kubectl get servicecidrs`",
    ),
    "a collector anywhere": (
        {
            "logging": {
                "otlpEndpoint": "http://collector.observability.svc:4318",
                "network": {"namespace": "observability", "podLabels": {"app": "collector"}},
            }
        },
        "logging: the url's host \"collector.observability.svc\" is a Service's and cluster.serviceNetworks is empty",
    ),
    "pods by a name of the world": (
        {"upstreams": [_but(_SERVICE, url="https://crm.crm:8443/mcp")]},
        "crm: network names pods and the url's host \"crm.crm\" is no Service's name",
    ),
    "networks of an address": (
        {"upstreams": [_but(_UPSTREAM, url="https://192.0.2.7/mcp", networks=["192.0.2.0/24"])]},
        'crm: networks are for names, and the url\'s host "192.0.2.7" is where it is',
    ),
    "an IPv6 address in another spelling": (_at("[2001:db8:0::1]"), 'host "2001:db8:0::1" is spelled otherwise'),
    "a name that ends in no letter": (_at("crm.1b"), 'the url\'s host "crm.1b" is no name'),
    "a name found in half the internet": (_found_in("128.0.0.0/1"), 'crm: networks: network "128.0.0.0/1" is wider'),
    "a name found in much of the IPv6 internet": (
        _found_in("2000::/3"),
        "is wider than /8: whoever answers for the name",
    ),
    "a name found at the metadata service": (_found_in("169.254.169.254/32"), "nothing that a tool needs is there"),
    "a name found in the pod": (_found_in("127.0.0.0/8"), "nothing that a tool needs is there"),
    "a network by one of its addresses": (_found_in("10.1.2.3/16"), "has bits beyond its length"),
    "a network by half of it": (_found_in("10.8.0.0/12"), "has bits beyond its length"),
    "an IPv6 network by one of its addresses": (_found_in("fd00:10:96::1/112"), "has bits beyond its length"),
    "an IPv6 network by a part of a digit": (_found_in("2001:dba::/30"), "has bits beyond its length"),
    "an IPv6 network spelled out": (_found_in("fd00:10:96:0:0:0:0:0/112"), "Write fd00:10:96::/112."),
    "an IPv6 network with the shorter zeros left out": (
        _found_in("2001:db8::1:0:0:0/80"),
        "Write 2001:db8:0:0:1::/80.",
    ),
    "an IPv6 network of too many groups": (_found_in("fd00:1:2:3:4::5:6:7/112"), "it has too many or too few groups"),
    "addresses of a door in another spelling": (_to("10.1.2.3/16"), 'crm: network "10.1.2.3/16" has bits beyond'),
    "Services everywhere": (
        {"cluster": {"serviceNetworks": ["0.0.0.0/0"]}},
        'cluster.serviceNetworks: network "0.0.0.0/0" is wider than /8',
    ),
    "one server in two networks": (
        {"upstreams": [_UPSTREAM, _but(_UPSTREAM, name="two", network={"cidrs": ["192.0.2.8/32"]})]},
        "crm and two lead to crm.example.org:443 by different networks",
    ),
    "a tool that nobody approved": (
        {"tools": [_but(_OWN, pin=None)], "upstreams": [_UPSTREAM], "policies": _IGNORE},
        'tools: "own" has no pin: nobody said that its definition is what it should be',
    ),
    "a prompt that nobody approved": (
        _catalog(prompts=[_but(_PROMPT, pin=None)]),
        "Run `sallyport catalog pull` and `sallyport catalog approve`, and take over the entry that they write.",
    ),
    "a prompt of an upstream that isn't listed": (
        {"catalog": {"prompts": [_PROMPT]}},
        'catalog.prompts: "apology" names the upstream "crm"',
    ),
    "a resource of an upstream that isn't listed": (
        {"catalog": {"resources": [_TERMS]}},
        'catalog.resources: "crm://terms" names the upstream "crm"',
    ),
    "a resource that is nothing": (_catalog(resources=[{"upstream": "crm"}]), "needs exactly one of uri, template and"),
    "a resource that is two things": (
        _catalog(resources=[_but(_TERMS, prefix="crm://")]),
        'catalog.resources: an entry of "crm" needs exactly one of uri, template and prefix',
    ),
    "two prompts that look the same": (
        _catalog(prompts=[_PROMPT, _but(_PROMPT, name="Apology")]),
        'catalog.prompts: "apology" stands there twice',
    ),
    "a resource twice": (_catalog(resources=[_TERMS, _TERMS]), 'catalog.resources: "crm://terms" stands there twice'),
    "a set with a tool that isn't served": (
        {"catalog": {"servers": {"sales": {"tools": ["read_file"]}}}},
        'catalog.servers: "sales" names "read_file", which isn\'t among the tools that are served',
    ),
    "a set with a prompt that isn't served": (
        {"catalog": {"servers": {"sales": {"prompts": ["describe_table"]}}}},
        'catalog.servers: "sales" names "describe_table", which isn\'t among the prompts',
    ),
    "a set with a resource that isn't served": (
        _catalog(resources=[_TERMS], servers={"sales": {"resources": ["crm://term"]}}),
        'catalog.servers: "sales" names "crm://term", which isn\'t among the resources',
    ),
    "a floating tag": ({"images": {"pep": {"tag": "latest"}}}, 'images.pep.tag is "latest"'),
    "a branch for a tag": ({"images": {"pdp": {"tag": "Main"}}}, 'images.pdp.tag is "Main"'),
    "a channel for a tag": ({"images": {"pdp": {"tag": "stable"}}}, 'images.pdp.tag is "stable"'),
    "a commit that moves": ({"images": {"pep": {"tag": "HEAD"}}}, 'images.pep.tag is "HEAD"'),
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
    "the settings for the operators": (
        {"policies": {"existing": {"policies": "gate-sallyport-settings"}}},
        'policies.existing: the ConfigMap "gate-sallyport-settings" is the gate\'s own',
    ),
    "the token keys for the operators": (
        {"policies": {"existing": {"agents": "gate-sallyport-issuers"}}},
        'policies.existing: the ConfigMap "gate-sallyport-issuers" is the gate\'s own',
    ),
    "an issuer's keys for the operators": (
        {"policies": {"existing": {"resources": "company-jwks"}}},
        'policies.existing: the ConfigMap "company-jwks" is the gate\'s own',
    ),
    "the record as the files of tools": (
        {"files": {"claim": "audit-gate-sallyport-12"}},
        'files.claim is "audit-gate-sallyport-12", the record of a pod',
    ),
    "Kubernetes' own may change policies": (
        {"policies": {"operators": [{"kind": "Group", "name": "system:masters"}]}},
        'policies.operators names "system:masters"',
    ),
    "all accounts of a namespace may change policies": (
        {"policies": {"operators": [{"kind": "Group", "name": "system:serviceaccounts:ci"}]}},
        'policies.operators names "system:serviceaccounts:ci"',
    ),
    "a caller by a label of the gate's": (
        {
            "orchestrators": [
                _but(_PLANNER, **{"from": {"namespace": "a", "podLabels": {"sallyport.io/egress": "pep"}}})
            ]
        },
        'orchestrator "planner": from.podLabels: "sallyport.io/egress" is the chart\'s own',
    ),
    "everybody may change policies": (
        {"policies": {"operators": [{"kind": "Group", "name": "system:authenticated"}]}},
        'policies.operators names "system:authenticated": anybody could change the policies',
    ),
    "a label that Services select": ({"podLabels": {"app.kubernetes.io/component": "other"}}, "podLabels:"),
    "a label that policies select": ({"podLabels": {"sallyport.io/egress": "none"}}, "podLabels:"),
    "an annotation that takes AppArmor off": (
        {"podAnnotations": {"container.apparmor.security.beta.kubernetes.io/pep": "unconfined"}},
        "podAnnotations:",
    ),
    "an annotation that takes seccomp off": (
        {"podAnnotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}},
        "podAnnotations:",
    ),
    "a label of that kind": ({"podLabels": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}, "podLabels:"),
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


@pytest.mark.parametrize(
    "header", ["host", "transfer-encoding", "content-type", "mcp-session-id", "te", "cookie", "sallyport-identity"]
)
def test_a_credential_in_a_header_that_says_something_else_is_refused(header: str) -> None:
    said = refusal("minimal", {"upstreams": [_but(_UPSTREAM, credential={"header": header, "secret": "a"})]})
    assert f'crm: credential.header is "{header}", which frames, routes or already says something else' in said


def test_the_headers_that_are_taken_are_those_that_the_pep_would_refuse() -> None:
    written = (CHART / "templates" / "_validate_upstreams.tpl").read_text()
    assert f'"^({credentials._TAKEN.pattern})$"' in written


def test_a_gate_may_serve_prompts_or_resources_alone() -> None:
    for parts in ({"prompts": [_PROMPT]}, {"resources": [_TERMS]}):
        values = {"tools": [], **_catalog(**parts), "tests": {"permitted": {}}}
        assert (
            "tools: []" in render("minimal", values).one("ConfigMap", "gate-sallyport-catalog")["data"]["catalog.yaml"]
        )


_RIGHT = [
    "10.0.0.0/8",
    "10.8.0.0/13",
    "172.16.0.0/12",
    "203.0.113.7/32",
    "fd00::/8",
    "fd00:10:96::/112",
    "fc00:8000::/17",
]
_RIGHT += ["2001:db8::/29", "2001:db8:0:0:1::/80", "2001:db8::1:0:0/96", "2001:db8:0:1:1:1:1:1/128", "2001:db8::7/128"]


@pytest.mark.parametrize("network", _RIGHT)
def test_a_network_as_the_pep_would_spell_it_is_taken(network: str) -> None:
    assert addresses.subnet(network) == network
    assert network in render("minimal", _found_in(network)).text


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.ip_addresses(v=6, network="2001:db8::/32"), st.integers(32, 128), st.booleans(), st.booleans())
def test_whatever_network_is_written_the_chart_takes_those_that_the_pep_takes(
    address: ipaddress.IPv6Address, bits: int, cut: bool, sparse: bool
) -> None:
    number = int(address) & ~(0xFFFF << 48 if sparse else 0)
    number = number >> (128 - bits) << (128 - bits) if cut else number
    network = f"{ipaddress.IPv6Address(number)}/{bits}"
    done = template("minimal", _found_in(network))
    assert (done.returncode == 0) is _is_subnet(network), (network, done.stderr)


def _is_subnet(network: str) -> bool:
    try:
        return addresses.subnet(network) == network
    except ValueError:
        return False


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


@pytest.mark.parametrize("release", ["123", "1gate", "gate.one"])
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


@pytest.mark.parametrize("cidr", ["168.63.129.17/32", "100.100.0.1/32", "192.0.2.7/32", "10.1.0.0/16", "2001:db8::/48"])
def test_what_is_only_near_a_metadata_service_may_be_named(cidr: str) -> None:
    assert f'cidr: "{cidr}"' in render("minimal", _to(cidr)).text


def test_a_digest_makes_any_tag_good() -> None:
    assert render("minimal", {"images": {"pep": {"tag": "stable", "digest": f"sha256:{'1' * 64}"}}}).all("Deployment")
