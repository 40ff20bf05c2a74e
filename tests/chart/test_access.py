"""What the chart lets anybody do at the API server: read the gate's own policies, and for named people to change them."""

from __future__ import annotations

import pytest

from tests.chart.rendering import NAME, PROFILES, profile_values, render

_MAPS = {f"{NAME}-{part}" for part in ("policies", "roles", "agents", "resources", "catalog")}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_gates_own_account_may_get_its_policies_by_name_and_nothing_else(profile: str) -> None:
    rendered = render(profile)
    rules = rendered.one("Role")["rules"]
    assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rules] == [
        ([""], ["configmaps"], ["get"])
    ]
    volume = next(each for each in rendered.gate.spec["volumes"] if each["name"] == "policies")
    assert set(rules[0]["resourceNames"]) == {source["configMap"]["name"] for source in volume["projected"]["sources"]}
    bound = rendered.one("RoleBinding")
    assert bound["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": "gates"}]
    assert bound["roleRef"]["name"] == rendered.one("Role")["metadata"]["name"]


@pytest.mark.parametrize("profile", PROFILES)
def test_no_role_has_a_wildcard_reads_a_secret_or_reaches_beyond_its_namespace(profile: str) -> None:
    rendered = render(profile)
    assert not [each for each in rendered.objects if each["kind"].startswith("ClusterRole")]
    for role in rendered.all("Role"):
        for rule in role["rules"]:
            assert "*" not in {*rule["verbs"], *rule["resources"], *rule["apiGroups"], *rule.get("resourceNames", ())}
            assert not {"secrets", "pods/exec", "pods/attach", "serviceaccounts/token"} & set(rule["resources"])
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_the_named_operators_may_edit_all_parts_but_the_catalog() -> None:
    rendered = render("production")
    written = [
        rule
        for rule in rendered.one("Role", f"{NAME}-policy-operator")["rules"]
        if {"update", "patch"} & set(rule["verbs"])
    ]
    assert {name for rule in written for name in rule["resourceNames"]} == _MAPS - {f"{NAME}-catalog"}
    assert {resource for rule in written for resource in rule["resources"]} == {"configmaps"}
    subjects = rendered.one("RoleBinding", f"{NAME}-policy-operator")["subjects"]
    assert subjects == profile_values("production")["policies"]["operators"]


def test_without_operators_there_is_no_role_to_edit_policies() -> None:
    assert f"{NAME}-policy-operator" not in {role["metadata"]["name"] for role in render("minimal").all("Role")}


def test_the_certificate_is_for_every_name_that_a_caller_may_know() -> None:
    rendered = render("everything")
    spec = rendered.one("Certificate")["spec"]
    assert set(spec["dnsNames"]) >= {
        f"{NAME}.gates.svc",
        f"{NAME}.gates.svc.k8s.example.org",
        "gate.example.org",
        "gate.internal",
    }
    assert spec["issuerRef"] == {"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert spec["privateKey"] == {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}
    volume = next(each for each in rendered.gate.spec["volumes"] if each["name"] == "tls")
    assert volume["secret"]["secretName"] == spec["secretName"] == f"{NAME}-tls"
    assert not render("production").all("Certificate")
