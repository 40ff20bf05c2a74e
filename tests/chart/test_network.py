"""Exactly the doors that the values list: the catalog, the allowlist, the policies and the mounts can't drift apart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.contract.catalog import Catalog
from sallyport.pep.egress.allowed import Allowed
from sallyport.pep.settings import EgressEntry
from sallyport.runtime import settings as models
from sallyport.runtime import strict_yaml
from tests.chart import edges
from tests.chart.edges import Edge
from tests.chart.rendering import (
    NAME,
    PROFILES,
    RELEASE,
    Object,
    Rendered,
    is_test,
    parse,
    profile_values,
    render,
    template,
)

_NETWORK_POSITION = {"app.kubernetes.io/instance": RELEASE, "sallyport.io/egress": "pep"}


@pytest.mark.parametrize("profile", PROFILES)
def test_exactly_the_listed_edges_exist(profile: str) -> None:
    rendered, values = render(profile), profile_values(profile)
    labels = rendered.gate.labels
    assert edges.opened(rendered, labels, "ingress") == edges.listed_in(values)
    assert edges.opened(rendered, labels, "egress") | edges.named(rendered, labels) == edges.listed_out(values)


@pytest.mark.parametrize("profile", PROFILES)
def test_each_direction_is_closed_by_a_policy_of_its_own_even_without_the_floor(profile: str) -> None:
    rendered = render(profile)
    for direction in ("ingress", "egress"):
        assert edges.selecting(rendered, rendered.gate.labels, direction)


def test_ipv6_networks_are_doors_like_any_other() -> None:
    rendered = render("everything")
    assert Edge("2001:db8:7::/64", 9443) in edges.opened(rendered, rendered.gate.labels, "egress")
    assert "[2001:db8:7::1]:9443" in rendered.settings("pep")["egress"]


def test_a_name_leads_where_the_values_say_or_its_service_is_or_its_door_is_open_and_else_into_the_world() -> None:
    listed = {entry.destination: entry.networks for entry in _allowlist(render("everything"))}
    services = ("10.96.0.0/12", "fd00:10:96::/112")
    assert listed == {
        "crm.crm.svc:8443": services,
        "headless.crm.svc.k8s.example.org:8443": ("10.0.0.0/8", "fd00:10:64::/48"),
        "collector.observability.svc:4318": services,
        "wiki.example.org:443": ("203.0.112.0/20",),
        "weather.example.com:443": (),
        "[2001:db8:7::1]:9443": (),
        "postgres.data.svc:5432": (),  # its driver looks names up by itself, so nothing would be checked
    }


def test_two_upstreams_of_one_server_are_one_destination() -> None:
    one = {"name": "one", "url": "https://crm.example.org/a", "network": {"cidrs": ["203.0.112.0/20"]}}
    rendered = render("minimal", {"upstreams": [one, {**one, "name": "two", "url": "https://crm.example.org:443/b"}]})
    assert [str(entry) for entry in _allowlist(rendered)] == [
        '{destination: "crm.example.org:443", networks: ["203.0.112.0/20"]}'
    ]


def _allowlist(rendered: Rendered) -> list[EgressEntry]:
    """As the PEP reads it."""
    return [EgressEntry.model_validate_json(json.dumps(each)) for each in rendered.settings("pep")["egress"]]


def test_cilium_lets_the_listed_host_names_be_asked_for_and_no_others() -> None:
    rendered = render("everything")
    labels = rendered.gate.labels
    assert edges.named(rendered, labels) == {Edge("weather.example.com", 443)}
    assert edges.asked(rendered, labels) == {"weather.example.com"}
    assert not render("production").all("CiliumNetworkPolicy")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_pod_in_the_peps_network_position_has_its_doors_out_and_gets_no_calls(profile: str) -> None:
    rendered = render(profile)
    assert edges.opened(rendered, _NETWORK_POSITION, "egress") == edges.opened(rendered, rendered.gate.labels, "egress")
    assert edges.opened(rendered, _NETWORK_POSITION, "ingress") == set()
    gate = rendered.gate
    for service in (each for each in rendered.everything if each["kind"] == "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        assert not edges.selects(selector, _NETWORK_POSITION)
        assert edges.selects(selector, gate.labels) is not is_test(service)
        chosen = {pod.owner for pod in rendered.pods() if edges.selects(selector, pod.labels)}
        assert (gate.owner in chosen) is (chosen == {gate.owner})


@pytest.mark.parametrize("profile", PROFILES)
def test_what_helm_test_opens_it_opens_for_its_own_pods(profile: str) -> None:
    rendered = render(profile)
    for policy in (each for each in rendered.everything if each["kind"] == "NetworkPolicy" and is_test(each)):
        selector = policy["spec"]["podSelector"]
        chosen = {pod.owner for pod in rendered.pods() if edges.selects(selector, pod.labels)}
        assert chosen, policy["metadata"]["name"]
        assert rendered.gate.owner not in chosen
        assert selector["matchLabels"], policy["metadata"]["name"]


@pytest.mark.parametrize("profile", PROFILES)
def test_what_helm_test_opens_nobody_can_guess_the_label_of(profile: str) -> None:
    one, other = render(profile), tuple(parse(template(profile).stdout))
    assert set(_doors(one.everything)) == set(_doors(other)) == {"canary", "witness", "stranger", "bystander"}
    for role, door in _doors(one.everything).items():
        assert re.fullmatch(r"[a-z]+-[0-9a-f]{16}", door)
        assert door != _doors(other)[role]
    marks = [door.partition("-")[2] for door in _doors(one.everything).values()]
    assert len(set(marks)) == len(marks)  # who sees the stranger's doesn't know the witness'


def _doors(objects: Iterable[Object]) -> dict[str, str]:
    """By role: the one label by which a policy of `helm test` selects."""
    policies = [each for each in objects if each["kind"] == "NetworkPolicy" and is_test(each)]
    selectors = [each["spec"]["podSelector"]["matchLabels"] for each in policies]
    assert all(set(each) == {"sallyport.io/test-door"} for each in selectors)
    return {door.partition("-")[0]: door for each in selectors for door in each.values()}


@pytest.mark.parametrize("profile", PROFILES)
def test_whatever_helm_test_makes_can_be_found_by_one_label(profile: str) -> None:
    rendered = render(profile)
    for each in (each for each in rendered.everything if is_test(each)):
        assert each["metadata"]["labels"]["sallyport.io/test"] == NAME, each["metadata"]["name"]
    assert "sallyport.io/test" not in rendered.gate.labels


@pytest.mark.parametrize("profile", PROFILES)
def test_every_door_is_commented_with_who_goes_where(profile: str) -> None:
    rendered = render(profile)
    for name in edges.destinations(profile_values(profile)):
        assert f"# PEP --> {name}\n" in rendered.text
    for orchestrator in profile_values(profile)["orchestrators"]:
        assert f"# orchestrator {orchestrator['name']} --> PEP\n" in rendered.text


@pytest.mark.parametrize("profile", PROFILES)
def test_every_upstream_is_in_catalog_allowlist_policy_and_mounts(profile: str) -> None:
    _agree(render(profile), profile_values(profile))


_LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda label: label != "svc")
_V4 = st.ip_addresses(v=4, network="203.0.0.0/8").map(str)
_V6 = st.ip_addresses(v=6, network="2001:db8::/32").map(str)
_DNS = st.lists(_LABEL, min_size=1, max_size=3).map(".".join)
_HOST = _DNS | _V4 | _V6.map(lambda host: f"[{host}]")
_PODS = st.fixed_dictionaries(
    {
        "namespace": _LABEL,
        "podLabels": st.dictionaries(st.sampled_from(["app", "example.org/tier"]), _LABEL, min_size=1),
    }
)
_V4_NETWORK = st.builds(lambda host, bits: f"{host}/{bits}", _V4, st.just(32)) | st.just("203.0.112.0/20")
_V6_NETWORK = st.builds(lambda host, bits: f"{host}/{bits}", _V6, st.just(128)) | st.just("2001:db8:1::/48")
_CIDRS = st.lists(_V4_NETWORK | _V6_NETWORK, min_size=1, max_size=3, unique=True).map(lambda cidrs: {"cidrs": cidrs})


@st.composite
def _upstream(draw: st.DrawFn) -> dict[str, Any]:
    host, port = draw(_HOST), draw(st.none() | st.integers(1, 65535))
    by_name = st.just({"fqdn": host}) if _is_name(host) else st.nothing()
    own = {"credential": {"header": "x-api-key"}, "ca": {}, "clientCertificate": {}}
    found: dict[str, Any] = {
        "name": draw(_LABEL),
        "url": f"https://{host}{'' if port is None else f':{port}'}{draw(st.sampled_from(['', '/', '/mcp', '/a/b~c']))}",
        "network": draw(_PODS | _CIDRS | by_name),
    }
    if _is_name(host) and ("namespace" in found["network"] or draw(st.booleans())):
        found["networks"] = draw(st.lists(_V4_NETWORK | _V6_NETWORK, min_size=1, max_size=3, unique=True))
    for part in draw(st.sets(st.sampled_from(sorted(own)))):
        secret = draw(_LABEL | st.sampled_from(["123", "true", "null", "1e3", "0x10", "on", "1.0"]))
        found[part] = own[part] | {"secret": secret}
    return found


def _is_name(host: str) -> bool:
    return host[0].isalpha()


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(_upstream(), max_size=5, unique_by=(lambda each: each["name"], lambda each: edges.address(each["url"])))
)
def test_whatever_the_upstreams_are_the_four_agree(upstreams: list[dict[str, Any]]) -> None:
    _agree(
        render("minimal", {"upstreams": upstreams, "cilium": True}),
        {**profile_values("minimal"), "upstreams": upstreams},
    )


def _agree(rendered: Rendered, values: dict[str, Any]) -> None:
    labels = rendered.gate.labels
    catalog: Any = strict_yaml.parse(
        rendered.one("ConfigMap", f"{NAME}-catalog")["data"]["catalog.yaml"].encode(), "catalog"
    ).value
    assert catalog.get("upstreams", {}) == {each["name"]: _entry(each) for each in values["upstreams"]}
    allowlist = _allowlist(rendered)
    assert {entry.destination: list(entry.networks) for entry in allowlist} == edges.leads_to(values)
    assert [entry.destination for entry in allowlist] == sorted({entry.destination for entry in allowlist})
    assert all(Allowed.of(entry).destination == entry.destination for entry in allowlist)
    assert edges.opened(rendered, labels, "egress") | edges.named(rendered, labels) == edges.listed_out(values)
    mounted = {each["name"]: _files(each) for each in values["upstreams"] if _files(each)}
    assert _mounted(rendered) == mounted
    assert rendered.settings("pep").get("upstreams") == ("/etc/sallyport/upstreams" if mounted else None)


def _entry(upstream: dict[str, Any]) -> dict[str, Any]:
    """What the catalog says of an upstream."""
    keys = ("url", "era", "audience", "limits", "assertion", "capabilities")
    found: dict[str, Any] = {key: upstream[key] for key in keys if key in upstream}
    if "credential" in upstream:
        found["credential"] = upstream["credential"].get("header", "authorization")
    return found | ({"client_certificate": True} if "clientCertificate" in upstream else {})


_File = tuple[str, str, str, str]  # kind and name of the object, its key, and how the file is called


def _files(upstream: dict[str, Any]) -> set[_File]:
    found: set[_File] = set()
    for kind in {"secret", "configMap"} & set(ca := upstream.get("ca", {})):
        found.add((kind, ca[kind], ca.get("key", "ca.crt"), "ca.crt"))
    if credential := upstream.get("credential"):
        found.add(("secret", credential["secret"], credential.get("key", "credential"), "credential"))
    if certificate := upstream.get("clientCertificate"):
        found |= {("secret", certificate["secret"], key, key) for key in ("tls.crt", "tls.key")}
    return found


def _mounted(rendered: Rendered) -> dict[str, set[_File]]:
    """By upstream: which objects are seen in its folder, under which name."""
    volumes = {volume["name"]: volume for volume in rendered.gate.spec["volumes"]}
    folder = "/etc/sallyport/upstreams/"
    found: dict[str, set[_File]] = {}
    for mount in rendered.gate.container("pep")["volumeMounts"]:
        if mount["mountPath"].startswith(folder):
            found[mount["mountPath"].removeprefix(folder)] = {
                (kind, source["name"], item["key"], item["path"])
                for each in volumes[mount["name"]]["projected"]["sources"]
                for kind, source in each.items()
                for item in source["items"]
            }
    return found


def test_the_pep_reads_the_whole_catalog_of_upstreams_that_the_chart_writes() -> None:
    text = render("everything").one("ConfigMap", f"{NAME}-catalog")["data"]["catalog.yaml"]
    catalog, values = models.load_model(Catalog, text.encode(), "catalog.yaml"), profile_values("everything")
    assert {upstream.era for upstream in catalog.upstreams.values()} == {"auto", "2026-07-28", "2025-11-25"}
    crm = catalog.upstreams["crm"]
    assert (crm.credential, crm.client_certificate, crm.assertion) == ("x-api-key", True, True)
    assert (crm.audience, crm.limits.model_dump()) == ("https://crm.example.org", values["upstreams"][0]["limits"])
    assert [prompt.model_dump(exclude_unset=True, mode="json") for prompt in catalog.prompts] == values["catalog"][
        "prompts"
    ]
    assert [entry.model_dump(exclude_unset=True, mode="json") for entry in catalog.resources] == values["catalog"][
        "resources"
    ]
    assert {name: one.model_dump(exclude_unset=True, mode="json") for name, one in catalog.servers.items()} == values[
        "catalog"
    ]["servers"]
