"""The records of all replicas, read from their claims by the auditor's tool in the PEP's own image."""

from __future__ import annotations

import uuid
from typing import Any

from tests.cluster import kube, place
from tests.cluster.conftest import Place

# 0 is whole; a live stream's unsigned last second is a warning. Every stream of an ended process is closed or accounted for.
_VERIFY = """
import subprocess, sys
audit = ["/app/bin/python3.13", "-I", "-m", "sallyport.audit"]
asked = [["verify", f"/record/{service}", "--keys", "/keys"] for service in ("pep", "pdp")]
codes = [subprocess.run([*audit, *each]).returncode for each in asked]
both = subprocess.run([*audit, "reconcile", "/record/pep", "/record/pdp", "--keys", "/keys"]).returncode
sys.exit(max(*codes, 0 if both == 6 else both))  # 6: nobody has asked this replica yet
"""


def verify(gate: Place) -> None:
    """AssertionError with the verifier's own words unless every record is whole, and both witnesses tell the same."""
    public = {f"{name}.pub": (gate.directory / "audit-keys" / f"{name}.pub").read_bytes() for name in ("pep", "pdp")}
    gate.cluster.apply(place.secret(place.GATE, "audit-public-keys", public))
    said = {claim: _read(gate, claim) for claim in claims(gate)}
    for claim, ran in said.items():
        assert ran.code == 0, f"{claim}: {ran.out}"
    assert not all("nothing to compare" in ran.out for ran in said.values())


def claims(gate: Place) -> list[str]:
    found = gate.cluster.core.list_namespaced_persistent_volume_claim(place.GATE).items
    return sorted(str(claim.metadata.name) for claim in found)


def _read(gate: Place, claim: str) -> kube.Ran:
    name = f"auditor-{uuid.uuid4().hex[:8]}"
    labels = {"app": "auditor"}
    body: Any = place.pod(place.GATE, name, labels, [], of="pep", secrets={"/keys": "audit-public-keys"})
    body["spec"]["restartPolicy"] = "Never"
    body["spec"]["volumes"].append({"name": "record", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    (main,) = body["spec"]["containers"]
    main["volumeMounts"].append({"name": "record", "mountPath": "/record", "readOnly": True})
    main["command"] = ["/app/bin/python3.13", "-I", "-c", _VERIFY]
    with kube.removed(gate.cluster, body):
        kube.until("the auditor is done", lambda: _ended(gate, name))
        pod = gate.cluster.core.read_namespaced_pod(name, place.GATE)
        code = kube.container(pod, "main").state.terminated.exit_code
        return kube.Ran(int(code), gate.cluster.logs(place.GATE, name))


def _ended(gate: Place, name: str) -> bool:
    return gate.cluster.core.read_namespaced_pod(name, place.GATE).status.phase in {"Succeeded", "Failed"}
