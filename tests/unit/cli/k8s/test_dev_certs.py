"""What `sallyport k8s dev-certs` makes, as the gate, Kubernetes and Helm take it."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sallyport.audit.signer import load_keys
from sallyport.cli.commands import k8s_dev_certs
from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import first_values
from sallyport.cli.k8s.names import Names
from sallyport.pep.authn import build
from sallyport.pep.settings import PepSettings
from sallyport.runtime import peer_names, tls
from sallyport.runtime.peer_names import PeerName
from tests.support.laptop import here
from tests.support.tokens import caller, request

NAMES = Names("gate", "prod", "agents", "spiffe://sallyport.test/orchestrator")
GATE = "gate-sallyport.prod.svc"
PRIVATE = (
    "ca/ca.key", "server/tls.key", "orchestrator/tls.key", "prometheus/tls.key", "issuer/signing.key", "masking.key",
    "audit-pep/signing.key", "audit-pdp/signing.key", "operator.key", "test.token", "manifests.yaml",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs") / "dev"
    k8s_dev_certs.make(directory, NAMES, 8, namespaces=False)
    return directory


def documents(directory: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((directory / "manifests.yaml").read_text()))


def secret(directory: Path, name: str) -> Mapping[str, bytes]:
    (found,) = (each for each in documents(directory) if each["metadata"]["name"] == f"gate-sallyport-{name}")
    return {key: base64.b64decode(value) for key, value in found["data"].items()}


def values(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((directory / "values.yaml").read_text())
    return found


def shake(made: Path, client: ssl.SSLContext, name: str) -> bytes:
    """A handshake in memory with the PEP's own server context; the client's certificate as the server sees it."""
    server = tls.server_context(made / "server/tls.crt", made / "server/tls.key", made / "ca/ca.crt", "required")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    far = server.wrap_bio(to_server, to_client, server_side=True)
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    done = {near: False, far: False}
    while not all(done.values()):
        for side in (near, far):
            try:
                side.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                continue
    seen = far.getpeercert(binary_form=True)
    assert seen is not None
    return seen


@pytest.mark.parametrize("name", ["gate-sallyport", f"{GATE}", f"{GATE}.cluster.local", "gate-sallyport.prod"])
def test_the_orchestrator_reaches_the_gate_by_every_name_of_its_service(made: Path, name: str) -> None:
    holder = made / "orchestrator"
    client = tls.client_context(made / "ca/ca.crt", holder / "tls.crt", holder / "tls.key")
    seen = shake(made, client, name)
    assert peer_names.find(seen, [PeerName(spiffe=NAMES.orchestrator_id)], time.time()) is not None
    assert peer_names.find(seen, [PeerName(spiffe=NAMES.prometheus_id)], time.time()) is None


def test_prometheus_reaches_each_pod_and_is_not_the_orchestrator(made: Path) -> None:
    holder = made / "prometheus"
    client = tls.client_context(made / "ca/ca.crt", holder / "tls.crt", holder / "tls.key")
    seen = shake(made, client, "gate-sallyport-0.gate-sallyport-pods.prod.svc")
    assert peer_names.find(seen, [PeerName(spiffe="spiffe://sallyport.test/prometheus")], time.time()) is not None
    assert peer_names.find(seen, [PeerName(spiffe=NAMES.orchestrator_id)], time.time()) is None


@pytest.mark.parametrize(
    "name", ["localhost", "other.prod.svc", "gate-sallyport.other.svc", "a.b.gate-sallyport-pods.prod.svc"]
)
def test_the_gate_has_no_other_name(made: Path, name: str) -> None:
    holder = made / "orchestrator"
    client = tls.client_context(made / "ca/ca.crt", holder / "tls.crt", holder / "tls.key")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(made, client, name)


def test_a_server_certificate_is_no_client_certificate(made: Path) -> None:
    client = tls.client_context(made / "ca/ca.crt", made / "server/tls.crt", made / "server/tls.key")
    with pytest.raises(ssl.SSLError):
        shake(made, client, GATE)


def pep_settings(made: Path) -> PepSettings:
    """As the chart renders it: the issuer as values.yaml says, with its keys in a file."""
    (issuer,) = values(made)["issuers"]
    jwks = made.parent / "issuer.json"
    jwks.write_text(issuer.pop("jwks")["inline"])
    return PepSettings.model_validate_json(
        json.dumps(
            {
                "listen": "127.0.0.1:0",
                "management": "127.0.0.1:0",
                "resource": NAMES.resource,
                "tls": {"certificate": "c", "key": "k"},
                "pdp": {"address": "127.0.0.1:1", "hop_key": "h"},
                "policies": "p",
                "issuers": [issuer | {"jwks": str(jwks)}],
                "audit": {"directory": "a", "signing_key": "s", "masking_key": "m"},
                "files": {"root": "f"},
                "database": {"url": "sqlite:///d"},
            }
        )
    )


def test_the_pep_knows_alice_by_the_test_token(made: Path) -> None:
    token = secret(made, "test-token")["token"].decode()
    assert (made / "test.token").read_text().strip() == token
    found = caller(build(pep_settings(made), time.time).identify(request(token)))
    assert (found.user, found.agent, found.org, found.roles) == ("alice", "coding-bot", "acme", ("developer",))
    assert found.expires_at == pytest.approx(time.time() + 8 * 3600, abs=120)


def test_the_resource_is_what_the_chart_says_it_is(made: Path) -> None:
    assert NAMES.resource == "https://gate-sallyport.prod.svc:8443/mcp"
    assert "resource" not in values(made)  # the chart's default is the same


def test_n7_private_files_are_their_owners_alone(made: Path) -> None:
    modes = {name: stat.S_IMODE((made / name).stat().st_mode) for name in PRIVATE}
    assert modes == dict.fromkeys(PRIVATE, 0o600)
    others = {path.name for path in made.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077}
    assert others == {
        "ca.crt",
        "tls.crt",
        "jwks.json",
        "pep.pub",
        "pdp.pub",
        ".gitignore",
        "made-for.json",
        "values.yaml",
    }


def test_n7_no_private_key_stands_in_a_file_for_all(made: Path) -> None:
    public = [path for path in made.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    text = b"".join(path.read_bytes() for path in public)
    assert b"PRIVATE KEY" not in text
    for name in ("masking.key", "operator.key", "test.token"):
        assert (made / name).read_bytes().strip() not in text


def test_n7_inside_a_git_work_tree_no_key_is_offered_for_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    k8s_dev_certs.make(tmp_path / "dev", NAMES, 1, namespaces=False)
    command = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b""


def test_the_secrets_are_of_the_kinds_and_names_that_the_chart_mounts(made: Path) -> None:
    found = {
        (each["metadata"]["namespace"], each["metadata"]["name"].removeprefix("gate-sallyport-")): (
            each["type"],
            set(each["data"]),
        )
        for each in documents(made)
    }
    pair = {"tls.crt", "tls.key"}
    assert found == {
        ("prod", "tls"): ("kubernetes.io/tls", pair),
        ("prod", "client-ca"): ("Opaque", {"ca.crt"}),
        ("prod", "audit-pep"): ("Opaque", {"signing.key", "masking.key"}),
        ("prod", "audit-pdp"): ("Opaque", {"signing.key", "masking.key"}),
        ("prod", "operator"): ("Opaque", {"operator.key"}),
        ("prod", "metrics-client"): ("kubernetes.io/tls", pair | {"ca.crt"}),
        ("agents", "orchestrator"): ("kubernetes.io/tls", pair | {"ca.crt"}),
        ("agents", "test-token"): ("Opaque", {"token"}),
    }
    assert {each["kind"] for each in documents(made)} == {"Secret"}


def test_the_two_witnesses_sign_apart_and_mask_alike(made: Path) -> None:
    pep, pdp = secret(made, "audit-pep"), secret(made, "audit-pdp")
    assert pep["signing.key"] != pdp["signing.key"]
    assert pep["masking.key"] == pdp["masking.key"] == (made / "masking.key").read_bytes()
    assert secret(made, "operator") == {"operator.key": (made / "operator.key").read_bytes()}
    assert (made / "operator.key").read_bytes() != (made / "masking.key").read_bytes()
    for service, keys in (("pep", pep), ("pdp", pdp)):
        private = serialization.load_pem_private_key(keys["signing.key"], None)
        public = serialization.load_pem_public_key((made / f"audit-keys/{service}.pub").read_bytes())
        public.verify(private.sign(b"x"), b"x")  # type: ignore[union-attr,call-arg]
    assert len(load_keys([made / "audit-keys"])) == 2


def test_the_ca_key_stays_out_of_the_cluster(made: Path) -> None:
    key = (made / "ca/ca.key").read_bytes()
    assert all(key not in base64.b64decode(value) for each in documents(made) for value in each["data"].values())


def test_values_name_the_secrets_that_the_manifests_make(made: Path) -> None:
    found = values(made)
    named = {
        found["tls"]["secret"], found["tls"]["clientCaSecret"], found["audit"]["pepKeySecret"],
        found["audit"]["pdpKeySecret"], found["policies"]["operatorKeySecret"],
        found["monitoring"]["prometheus"]["clientSecret"], found["tests"]["orchestratorSecret"],
        found["tests"]["tokenSecret"],
    }  # fmt: skip
    assert named == {each["metadata"]["name"] for each in documents(made)}
    (orchestrator,) = found["orchestrators"]
    assert orchestrator["spiffe"] == NAMES.orchestrator_id
    assert orchestrator["from"]["namespace"] == "agents"
    assert found["profile"] == "trial"


def test_namespaces_are_made_only_where_it_is_asked_for(tmp_path: Path) -> None:
    k8s_dev_certs.make(tmp_path / "dev", NAMES, 1, namespaces=True)
    kinds = [(each["kind"], each["metadata"]["name"]) for each in documents(tmp_path / "dev")]
    assert kinds[:2] == [("Namespace", "prod"), ("Namespace", "agents")]


def test_n7_two_directories_share_no_secret(made: Path, tmp_path: Path) -> None:
    k8s_dev_certs.make(tmp_path / "dev", NAMES, 8, namespaces=False)
    for name in (*PRIVATE, "ca/ca.crt", "issuer/jwks.json", "audit-keys/pep.pub", "audit-keys/pdp.pub"):
        assert (made / name).read_bytes() != (tmp_path / "dev" / name).read_bytes(), name


def test_a_directory_that_holds_anything_is_refused(made: Path) -> None:
    before = (made / "ca/ca.key").read_bytes()
    run = here("k8s", "dev-certs", made)
    assert run.returncode == 2
    assert "not empty" in run.stderr
    assert "next:" in run.stderr
    assert (made / "ca/ca.key").read_bytes() == before


def test_renewing_the_token_changes_nothing_but_the_token(tmp_path: Path) -> None:
    directory = tmp_path / "dev"
    k8s_dev_certs.make(directory, NAMES, 1, namespaces=False)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    old = secret(directory, "test-token")["token"].decode()
    run = here("k8s", "dev-certs", directory, "--renew-token", "--token-hours", "30")
    assert run.returncode == 0, run.stderr
    changed = {path.name for path, data in before.items() if path.read_bytes() != data}
    assert changed == {"test.token", "manifests.yaml"}
    new = secret(directory, "test-token")["token"].decode()
    assert new != old
    found = caller(build(pep_settings(directory), time.time).identify(request(new)))
    assert found.expires_at == pytest.approx(time.time() + 30 * 3600, abs=120)
    assert stat.S_IMODE((directory / "manifests.yaml").stat().st_mode) == 0o600


def test_a_token_is_renewed_only_where_dev_certs_was(tmp_path: Path) -> None:
    run = here("k8s", "dev-certs", tmp_path, "--renew-token")
    assert run.returncode == 2
    assert "wasn't made by dev-certs" in run.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--release", "Gate"), "--release 'Gate'"),
        (("--namespace", "a.b"), "--namespace 'a.b'"),
        (("--orchestrator-namespace", "x" * 64), "--orchestrator-namespace"),
        (("--orchestrator-id", "planner"), "not a SPIFFE id"),
        (("--orchestrator-id", "spiffe://sallyport.test/x\nevil: true"), "not a SPIFFE id"),
        (("--orchestrator-id", "spiffe://sallyport.test/prometheus"), "Prometheus's"),
    ],
)
def test_a_name_that_no_cluster_takes_is_refused_before_a_key_is_made(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    run = here("k8s", "dev-certs", tmp_path / "dev", *change)
    assert run.returncode == 2
    assert said in run.stderr
    assert not (tmp_path / "dev").exists()


def test_it_says_what_these_keys_are_and_what_to_run_next(tmp_path: Path) -> None:
    run = here("k8s", "dev-certs", tmp_path / "dev")
    assert run.returncode == 0, run.stderr
    assert "development keys" in run.stderr
    lines = [line.strip() for line in run.stdout.splitlines()]
    wanted = ("kubectl create namespace", "kubectl apply -n sallyport -f deploy/networkpolicies", "kubectl apply --server",
              "helm install sallyport deploy/helm/sallyport", "helm test")  # fmt: skip
    places = [next(i for i, line in enumerate(lines) if line.startswith(words)) for words in wanted]
    assert places == sorted(places)


def test_a_write_that_fails_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(first_values, "encode", full)
    with pytest.raises(OSError, match="No space"):
        k8s_dev_certs.make(tmp_path / "dev", NAMES, 1, namespaces=False)
    assert not list((tmp_path / "dev").iterdir())


@pytest.mark.parametrize(
    ("release", "whole"),
    [
        ("sallyport", "sallyport"),
        ("my-sallyport-2", "my-sallyport-2"),
        ("gate", "gate-sallyport"),
        ("g" * 30, f"{'g' * 30}-sallyport"),
        ("g" * 50, "ggggggggggggggggggggggggggggggg-4475b9ab"),
    ],
)
def test_the_full_name_is_the_charts(release: str, whole: str) -> None:
    """Beyond 40 characters it is cut and told apart by a digest, as the chart's own tests say."""
    assert Names(release, "ns", "other", "spiffe://a/b").fullname == whole


def test_the_server_certificate_names_the_service_and_its_pods(made: Path) -> None:
    certificate = x509.load_pem_x509_certificate((made / "server/tls.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "gate-sallyport", "gate-sallyport.prod", GATE, f"{GATE}.cluster.local", "*.gate-sallyport-pods.prod.svc",
    }  # fmt: skip


def test_a_stranger_to_the_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Complaint, match="not what"):
        Names.decode(b'{"release": "x"}', "made-for.json")
