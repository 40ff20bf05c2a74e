"""pep.yaml and pdp.yaml as rendered, read by the services' own loaders; a change of them restarts, one of policies doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sallyport.pdp import settings as pdp_settings
from sallyport.pep import settings as pep_settings
from tests.chart.rendering import NAME, PROFILES, Rendered, profile_values, render


def _written(rendered: Rendered, service: str, folder: Path) -> Path:
    path = folder / f"{service}.yaml"
    path.write_text(rendered.one("ConfigMap", f"{NAME}-settings")["data"][path.name])
    return path


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pep_reads_what_the_chart_writes(profile: str, tmp_path: Path) -> None:
    values = profile_values(profile)
    read = pep_settings.load(_written(render(profile), "pep", tmp_path))
    assert read.tls.client_certificate == "required"
    assert [peer.spiffe or peer.dns for peer in read.tls.orchestrators] == [
        each.get("spiffe") or each["dns"] for each in values["orchestrators"]
    ]
    assert [issuer.name for issuer in read.issuers] == [each["name"] for each in values["issuers"]]
    assert read.resource == (values["resource"] or f"https://{NAME}.gates.svc:8443/mcp")
    assert read.pdp.deadline_ms == values["pdp"]["deadlineMs"]
    limits = values["limits"]
    assert (read.limits.connections, read.limits.body_bytes) == (limits["connections"], limits["bodyBytes"])
    assert read.limits.stream_places == (limits["streams"] or limits["connections"] // 2)
    assert read.limits.streams_per_caller == limits["streamsPerCaller"]
    assert ([*read.eras], [*read.origins]) == (values["eras"], values["origins"])
    assert read.limits.drain_seconds == values["stopSeconds"]["drain"]
    assert read.telemetry.otlp_endpoint == values["logging"].get("otlpEndpoint", "")


def test_the_pep_has_the_tools_rooms_that_its_tools_need_and_no_others(tmp_path: Path) -> None:
    rooms = {}
    for profile in PROFILES:
        read = pep_settings.load(_written(render(profile), "pep", tmp_path))
        rooms[profile] = (read.files is not None, read.database is not None)
    assert rooms == {"minimal": (True, False), "production": (False, True), "everything": (True, True)}


def test_the_database_is_asked_by_tls_that_knows_it_and_with_a_password_from_a_file(tmp_path: Path) -> None:
    read = pep_settings.load(_written(render("production"), "pep", tmp_path)).database
    assert read is not None
    assert read.url.endswith("?sslmode=verify-full&sslrootcert=/etc/sallyport/database/ca.crt")
    assert str(read.password_file) == "/etc/sallyport/database/password"


def test_an_orchestrator_may_speak_for_others_only_as_far_as_its_values_say(tmp_path: Path) -> None:
    planner, desk = pep_settings.load(_written(render("everything"), "pep", tmp_path)).tls.orchestrators
    assert planner.forward_identity is None
    assert desk.forward_identity is not None
    assert (desk.forward_identity.issuer, desk.forward_identity.orgs) == ("desk", ("acme", "globex"))
    assert desk.forward_identity.roles == {"engineer": "developer"}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pdp_reads_what_the_chart_writes_and_meets_the_pep(profile: str, tmp_path: Path) -> None:
    values, rendered = profile_values(profile), render(profile)
    pdp = pdp_settings.load(_written(rendered, "pdp", tmp_path))
    pep = pep_settings.load(_written(rendered, "pep", tmp_path))
    assert (
        pdp.listen
        == pep.pdp.address
        == ("unix:/run/sallyport/pdp.sock" if values["pdp"]["socket"] else "127.0.0.1:7351")
    )
    assert pdp.limits.concurrency == values["pdp"]["concurrency"]
    assert (pdp.hop_key, pdp.policies) == (pep.pdp.hop_key, pep.policies)
    assert (pdp.reload.tests, pdp.reload.seconds) == (values["policies"]["tests"], values["policies"]["reloadSeconds"])
    assert (pdp.reload.operator_key is None) is (not values["policies"]["operatorKeySecret"])


@pytest.mark.parametrize("profile", PROFILES)
def test_every_path_in_the_settings_is_in_a_volume_of_that_container(profile: str) -> None:
    rendered = render(profile)
    for service in ("pep", "pdp"):
        mounted = [mount["mountPath"] for mount in rendered.gate.container(service)["volumeMounts"]]
        for path in _paths(rendered.settings(service)):
            within = any(path == each or path.startswith(f"{each}/") for each in mounted)
            # The folder of folders: each upstream's is a volume of its own.
            assert within or any(each.startswith(f"{path}/") for each in mounted), (service, path)
        for key in ("signing_key", "masking_key"):
            assert key.replace("_", ".") in _shown(rendered, service, "/etc/sallyport/audit-keys")


def _paths(value: Any) -> Iterator[str]:
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _paths(each)
    if isinstance(value, str) and value.removeprefix("unix:").startswith("/"):
        yield value.removeprefix("unix:")


def _shown(rendered: Rendered, container: str, folder: str) -> list[str]:
    """The files that a Secret shows in a folder of a container."""
    mount = next(each for each in rendered.gate.container(container)["volumeMounts"] if each["mountPath"] == folder)
    volume = next(each for each in rendered.gate.spec["volumes"] if each["name"] == mount["name"])
    return [item["path"] for item in volume["secret"]["items"]]


def test_every_issuers_keys_are_the_file_that_the_settings_name() -> None:
    rendered = render("everything")
    volume = next(each for each in rendered.gate.spec["volumes"] if each["name"] == "issuers")
    sources = [next(iter(source.values())) for source in volume["projected"]["sources"]]
    assert [(source["name"], source["items"][0]["key"]) for source in sources] == [
        ("company-jwks", "keys.json"),
        ("partner-jwks", "jwks.json"),
        (f"{NAME}-issuers", "robots.json"),
    ]
    files = [f"/etc/sallyport/issuers/{source['items'][0]['path']}" for source in sources]
    assert files == [each["jwks"] for each in rendered.settings("pep")["issuers"]]
    assert rendered.one("ConfigMap", f"{NAME}-issuers")["data"] == {
        "robots.json": profile_values("everything")["issuers"][2]["jwks"]["inline"]
    }


def test_the_gates_word_to_upstreams_has_every_key_that_the_values_name_and_the_first_signs(tmp_path: Path) -> None:
    rendered = render("everything")
    read = pep_settings.load(_written(rendered, "pep", tmp_path)).assertion
    assert read is not None
    assert (read.issuer, read.ttl_seconds) == ("https://gate.example.org", 30)
    assert list(map(str, read.key)) == [f"/etc/sallyport/assertion/{key}" for key in ("this-year.key", "next-year.key")]
    assert _shown(rendered, "pep", "/etc/sallyport/assertion") == ["this-year.key", "next-year.key"]
    assert pep_settings.load(_written(render("production"), "pep", tmp_path)).assertion is None


_OWN = {"name": "notes", "provider": {"hosted": "list_files"}, "input": {"type": "object"}}


def test_a_change_of_a_setting_restarts_the_pods() -> None:
    before, after = (render("minimal", {"limits": {"connections": number}}).gate for number in (512, 513))
    assert before.annotations["checksum/settings"] != after.annotations["checksum/settings"]


def test_a_change_of_the_catalog_reaches_the_pods_that_run() -> None:
    def gate(description: str) -> Rendered:
        return render("minimal", {"tools": ["list_files", {**_OWN, "description": description}]}, upgrade=True)

    before, after = gate("Notes of today."), gate("Notes of yesterday.")
    assert before.one("ConfigMap", f"{NAME}-catalog") != after.one("ConfigMap", f"{NAME}-catalog")
    assert before.one("Deployment") == after.one("Deployment")
    fewer = render("minimal", {"tools": ["list_files", "read_file"]}, upgrade=True)
    assert fewer.one("Deployment") == render("minimal", upgrade=True).one("Deployment")
