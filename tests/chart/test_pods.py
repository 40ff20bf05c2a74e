"""Every pod of the chart, those of `helm test` too: sealed as `restricted` asks, and ended without a failed call."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.chart.live import cluster, living
from tests.chart.pod_security import violations
from tests.chart.rendering import NAME, PROFILES, Pod, parse, profile_values, render, template


def _set(spec: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    place: Any = spec
    for step in way:
        place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
    place[last] = value


def _volume(pod: Pod, name: str) -> dict[str, Any]:
    return next(volume for volume in pod.spec["volumes"] if volume["name"] == name)


def _mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_meets_pod_security_restricted(profile: str) -> None:
    assert {pod.owner: violations(pod.spec) for pod in render(profile).pods() if violations(pod.spec)} == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hostNetwork", True),
        ("hostPID", True),
        ("volumes", [{"name": "host", "hostPath": {"path": "/"}}]),
        ("securityContext.runAsUser", 0),
        ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
        ("securityContext.seLinuxOptions", {"type": "spc_t"}),
        ("securityContext.appArmorProfile", {"type": "Unconfined"}),
        ("containers.0.securityContext", {}),
        ("containers.0.securityContext.runAsNonRoot", False),
        ("containers.0.securityContext.privileged", True),
        ("containers.0.securityContext.allowPrivilegeEscalation", True),
        ("containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ("containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}),
        ("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}),
        ("containers.0.securityContext.procMount", "Unmasked"),
        ("initContainers.0.securityContext.privileged", True),
        ("initContainers.0.ports", [{"containerPort": 1, "hostPort": 1}]),
        ("containers.0.livenessProbe.httpGet.host", "example.org"),
    ],
)
def test_the_check_of_restricted_sees_each_thing_that_it_forbids(path: str, value: Any) -> None:
    spec = copy.deepcopy(render("minimal").gate.spec)
    _set(spec, path, value)
    assert violations(spec)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_root_is_read_only_and_every_container_has_bounds(profile: str) -> None:
    for pod in render(profile).pods():
        for container in pod.containers:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, pod.owner
            assert container["resources"]["limits"]["memory"], pod.owner


@pytest.mark.parametrize("profile", PROFILES)
def test_no_pod_has_a_token_unless_workload_identity_is_asked_for(profile: str) -> None:
    asked = profile_values(profile)["serviceAccount"]["token"]
    rendered = render(profile)
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    assert rendered.gate.spec["automountServiceAccountToken"] is asked
    others = [pod for pod in rendered.pods() if pod.owner != rendered.gate.owner]
    assert [pod.owner for pod in others if pod.spec.get("automountServiceAccountToken") is not False] == []
    tokens = [
        source for pod in rendered.pods() for volume in pod.spec.get("volumes", []) for source in _sources(volume)
    ]
    assert not [source for source in tokens if "serviceAccountToken" in source]


def _sources(volume: dict[str, Any]) -> list[dict[str, Any]]:
    return list((volume.get("projected") or {}).get("sources", []))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pdp_is_a_native_sidecar_that_is_up_before_the_pep_and_outlives_it(profile: str) -> None:
    spec = render(profile).gate.spec
    first, *others = [(each["name"], each.get("restartPolicy")) for each in spec["initContainers"]]
    assert first == ("pdp", "Always")
    assert set(others) <= {("samples", None)}  # it ends before the PEP starts
    assert [each["name"] for each in spec["containers"]] == ["pep"]
    assert spec["initContainers"][0]["startupProbe"]  # without one the PEP would start beside it, not after it


@pytest.mark.parametrize("profile", PROFILES)
def test_probes_ask_for_the_process_to_restart_and_for_the_snapshot_to_serve(profile: str) -> None:
    gate = render(profile).gate
    pep, pdp = gate.container("pep"), gate.container("pdp")
    asked = {kind: pdp[f"{kind}Probe"]["grpc"] for kind in ("startup", "liveness", "readiness")}
    service = "sallyport.authz.v1.AuthorizationService"
    assert {kind: each["service"] for kind, each in asked.items()} == {
        "startup": "",
        "liveness": "",
        "readiness": service,
    }
    got = {kind: pep[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: each["path"] for kind, each in got.items()} == {
        "startup": "/live",
        "liveness": "/live",
        "readiness": "/ready",
    }
    assert {each["scheme"] for each in got.values()} == {"HTTPS"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_slow_start_has_a_minute_or_more_before_it_is_given_up(profile: str) -> None:
    probes = {each["name"]: each["startupProbe"] for each in render(profile).gate.lasting}
    given = {name: each["periodSeconds"] * each["failureThreshold"] for name, each in probes.items()}
    assert {name for name, seconds in given.items() if seconds >= 60} == {"pep", "pdp"}


@pytest.mark.parametrize("profile", PROFILES)
def test_replicas_spread_over_nodes_and_zones_and_start_even_where_they_cannot(profile: str) -> None:
    rendered = render(profile)
    selector = {"matchLabels": rendered.one("Service")["spec"]["selector"]}
    assert rendered.gate.spec["topologySpreadConstraints"] == [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_pod_that_is_not_ready_is_still_found_for_its_metrics_and_not_for_calls(profile: str) -> None:
    rendered = render(profile)
    assert rendered.one("Service", f"{NAME}-pods")["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in rendered.one("Service")["spec"]


def test_an_upgrade_of_a_deployment_adds_a_pod_before_it_takes_one_away() -> None:
    strategy = render("minimal").one("Deployment")["spec"]["strategy"]
    assert strategy == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


@pytest.mark.parametrize("profile", PROFILES)
def test_ports_agree_between_containers_probes_services_policies_and_settings(profile: str) -> None:
    rendered = render(profile)
    gate = rendered.gate
    named = {port["name"]: port["containerPort"] for each in gate.containers for port in each.get("ports", [])}
    assert named == {"mcp": 8443, "management": 8444, "pdp-health": 7352, "pdp-metrics": 7353}
    probes = [each[f"{kind}Probe"] for each in gate.lasting for kind in ("startup", "liveness", "readiness")]
    assert {probe["grpc"]["port"] for probe in probes if "grpc" in probe} == {named["pdp-health"]}
    assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} == {"management"}
    own = {port["name"] for port in gate.container("pep")["ports"]}
    for service, ports in ((NAME, {"mcp"}), (f"{NAME}-pods", {"management", "pdp-metrics"})):
        offered = rendered.one("Service", service)["spec"]["ports"]
        assert {port["name"]: port["port"] for port in offered} == {name: named[name] for name in ports}
        for (
            port
        ) in offered:  # by name only where a container has it: the ports of init containers have none to a Service
            assert port["targetPort"] == named[port["name"]] or port["targetPort"] == port["name"] in own
    pep, pdp = rendered.settings("pep"), rendered.settings("pdp")
    listening = {
        "mcp": pep["listen"],
        "management": pep["management"],
        "pdp-health": pdp["health"],
        "pdp-metrics": pdp["metrics"],
    }
    assert {name: int(address.rpartition(":")[2]) for name, address in listening.items()} == named
    host = profile_values(profile)["listenAddress"]
    assert {address.rpartition(":")[0] for address in listening.values()} == {host}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_pod_waits_for_the_endpoints_then_drains_and_has_time_left(profile: str) -> None:
    rendered = render(profile)
    pep = rendered.gate.container("pep")
    wait = pep["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = rendered.settings("pep")["limits"]["drain_seconds"]
    assert wait == profile_values(profile)["stopSeconds"]["endpoints"]
    assert drain == profile_values(profile)["stopSeconds"]["drain"]
    assert wait + drain + 10 <= rendered.gate.spec["terminationGracePeriodSeconds"]  # the record is closed after it
    assert "lifecycle" not in rendered.gate.container("pdp")  # the kubelet ends a sidecar after the containers


@pytest.mark.parametrize("profile", PROFILES)
def test_a_disruption_budget_leaves_somebody_and_lets_a_drain_end(profile: str) -> None:
    rendered = render(profile)
    for budget in rendered.all("PodDisruptionBudget"):
        assert 1 <= budget["spec"]["maxUnavailable"] < profile_values(profile)["replicas"]
        assert budget["spec"]["selector"]["matchLabels"].items() <= dict(rendered.gate.labels).items()
    assert bool(rendered.all("PodDisruptionBudget")) is (profile != "minimal")


@pytest.mark.parametrize("profile", ["production", "everything"])
def test_a_pod_that_serves_nobody_never_holds_up_a_drain(profile: str) -> None:
    assert render(profile).one("PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_an_autoscaler_owns_the_number_of_replicas() -> None:
    rendered = render("everything")
    scaler = rendered.one("HorizontalPodAutoscaler")["spec"]
    assert rendered.one("StatefulSet")["spec"]["replicas"] == 3  # none would be one, for a while
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": NAME}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 12)


@pytest.mark.parametrize(("profile", "replicas"), [("everything", 7), ("production", 3)])
def test_an_upgrade_keeps_the_autoscalers_number_and_sets_its_own_without_one(profile: str, replicas: int) -> None:
    with cluster(living("StatefulSet", NAME, spec={"replicas": 7})) as url:
        done = template(profile, upgrade=True, cluster=url)
    assert done.returncode == 0, done.stderr
    (found,) = (each for each in parse(done.stdout) if each["kind"] == "StatefulSet")
    assert found["spec"]["replicas"] == replicas


@pytest.mark.parametrize("profile", PROFILES)
def test_both_containers_see_one_policy_volume_whole_and_live(profile: str) -> None:
    gate = render(profile).gate
    mounts = [_mounts(gate.container(name))["/etc/sallyport/policies"] for name in ("pep", "pdp")]
    assert mounts[0] == mounts[1] == {"name": "policies", "mountPath": "/etc/sallyport/policies", "readOnly": True}
    sources = _volume(gate, "policies")["projected"]["sources"]
    assert all(set(source) == {"configMap"} and set(source["configMap"]) == {"name"} for source in sources)  # no items
    assert len({source["configMap"]["name"] for source in sources}) == 5


@pytest.mark.parametrize("profile", PROFILES)
def test_secrets_are_for_the_group_alone_and_nothing_else_is_written_to(profile: str) -> None:
    gate = render(profile).gate
    for volume in gate.spec["volumes"]:
        if "secret" in volume or any("secret" in source for source in _sources(volume)):
            assert (volume.get("secret") or volume["projected"])["defaultMode"] == 0o440, volume["name"]
    writable = {
        (container["name"], path)
        for container in gate.containers
        for path, mount in _mounts(container).items()
        if not mount.get("readOnly")
    }
    may = {("pdp", "/run/sallyport"), ("pdp", "/var/lib/sallyport/audit"), ("pep", "/var/lib/sallyport/audit")}
    if profile == "minimal":
        may |= {("pep", "/srv/files"), ("samples", "/srv/files")}
    assert writable == may


@pytest.mark.parametrize("profile", PROFILES)
def test_each_service_holds_its_own_keys_only_and_every_mount_has_its_volume(profile: str) -> None:
    rendered = render(profile)
    gate = rendered.gate
    claims = [
        each["metadata"]["name"]
        for each in rendered.all("StatefulSet")
        for each in each["spec"]["volumeClaimTemplates"]
    ]
    volumes = [volume["name"] for volume in gate.spec["volumes"]] + claims
    assert len(volumes) == len(set(volumes))
    mounted = {name: {mount["name"] for mount in gate.container(name)["volumeMounts"]} for name in ("pep", "pdp")}
    assert mounted["pep"] | mounted["pdp"] == set(volumes)
    assert mounted["pep"] & mounted["pdp"] == {"settings", "policies", "run", "audit"}
    assert {"tls", "client-ca", "pep-audit-keys"} <= mounted["pep"]
    audit = {name: _mounts(gate.container(name))["/var/lib/sallyport/audit"]["subPath"] for name in ("pep", "pdp")}
    assert audit == {"pep": "pep", "pdp": "pdp"}  # each its own folder: neither can touch the other witness


@pytest.mark.parametrize("profile", PROFILES)
def test_the_record_outlives_the_release_whenever_it_persists(profile: str) -> None:
    rendered = render(profile)
    if profile_values(profile)["audit"]["persistence"]["enabled"]:
        spec = rendered.one("StatefulSet")["spec"]
        assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        assert spec["podManagementPolicy"] == "Parallel"
        assert spec["serviceName"] == rendered.one("Service", f"{NAME}-pods")["metadata"]["name"]
        assert not rendered.all("Deployment")
    else:
        assert not rendered.all("StatefulSet")
        assert _volume(rendered.gate, "audit") == {"name": "audit", "emptyDir": {}}


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_runs_an_image_whose_name_may_mean_other_bytes_tomorrow(profile: str) -> None:
    for pod in render(profile).pods():
        for container in pod.containers:
            image = container["image"]
            assert "@sha256:" in image or image.rpartition(":")[2] not in {"", "latest"}, pod.owner
