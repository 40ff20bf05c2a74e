"""What runs in the pod, in which order, and what it may: on a namespace that enforces Pod Security `restricted`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from tests.cluster import kube, place
from tests.cluster.conftest import Place

PYTHON = ("/app/bin/python3.13", "-I", "-c")
BOTH = pytest.mark.parametrize("name", ["pep", "pdp"])
STATUS = """
import json
from collections.abc import Sequence
lines = (line.partition(":") for line in open("/proc/self/status"))
print(json.dumps({key: value.strip() for key, _, value in lines}))
"""


def pods(gate: Place) -> Sequence[Any]:
    return gate.cluster.pods(place.GATE, place.SELECTOR)


def fresh(gate: Place) -> Sequence[Any]:
    """Those whose containers run for the first time: another test may have killed one of the others'."""
    found = [pod for pod in pods(gate) if not any(kube.container(pod, name).restart_count for name in ("pep", "pdp"))]
    assert found
    return found


def run(gate: Place, name: str, program: str) -> kube.Ran:
    """Python in a container of the gate itself: what an attacker who got that far could do."""
    return gate.cluster.exec(place.GATE, pods(gate)[0].metadata.name, *PYTHON, program, container=name)


def test_the_pdp_has_started_before_the_pep_starts(gate: Place) -> None:
    for pod in fresh(gate):
        pdp, pep = (kube.container(pod, name).state.running.started_at for name in ("pdp", "pep"))
        assert isinstance(pdp, datetime)
        assert pdp <= pep


def test_each_replica_has_a_record_of_its_own_that_outlives_it(gate: Place) -> None:
    claims = [volume.persistent_volume_claim for pod in pods(gate) for volume in pod.spec.volumes]
    names = [claim.claim_name for claim in claims if claim]
    assert len(set(names)) == 3
    assert gate.cluster.get("apps/v1", "StatefulSet", place.RELEASE, place.GATE).spec.podManagementPolicy == "Parallel"


@BOTH
def test_k6_a_container_has_no_capability_no_new_privileges_and_a_filter_of_system_calls(
    gate: Place, name: str
) -> None:
    status = json.loads(run(gate, name, STATUS).out)
    assert status["Uid"].split() == ["65532"] * 4
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"  # a filter, as seccomp(2) counts


@BOTH
@pytest.mark.parametrize(
    "path", ["/written", "/app/written", "/etc/written", "/tmp/written", "/etc/sallyport/policies/x"]
)
def test_k6_nothing_but_the_records_can_be_written(gate: Place, name: str, path: str) -> None:
    ran = run(gate, name, f"open({path!r}, 'w')")
    assert ran.code != 0
    assert "Read-only file system" in ran.out or "Permission denied" in ran.out or "No such file" in ran.out, ran.out


def test_the_pep_can_write_neither_the_pdps_records_nor_the_hop_key(gate: Place) -> None:
    ran = run(gate, "pep", "import os; print(sorted(os.listdir('/var/lib/sallyport/audit')))")
    assert "pdp-" not in ran.out, ran.out
    assert "pep-" in ran.out
    assert "Read-only" in run(gate, "pep", "open('/run/sallyport/hop.key', 'w')").out


@BOTH
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", "/bin/busybox", "sh"])
def test_k6_there_is_no_shell(gate: Place, name: str, shell: str) -> None:
    ran = gate.cluster.exec(place.GATE, pods(gate)[0].metadata.name, shell, "-c", "true", container=name)
    assert ran.code != 0
    assert "failed to exec in container" in ran.out or "no such file" in ran.out, ran.out


@BOTH
def test_k6_there_is_no_token_of_the_service_account(gate: Place, name: str) -> None:
    ran = run(gate, name, "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'))")
    assert ran.out.strip() == "False"


@BOTH
def test_k6_the_api_server_is_out_of_reach(gate: Place, name: str) -> None:
    program = """
import socket
for address, seconds in ((("kubernetes.default.svc", 443), 3), (("{database}", 5432), 30)):
    try:
        socket.create_connection(address, timeout=seconds).close()
        print("open")
    except OSError as error:
        print("closed")
""".replace("{database}", f"postgres.{place.DATA}.svc")
    assert run(gate, name, program).out.split() == ["closed", "open"]  # the probe can connect where a door is open


def test_no_variable_of_the_environment_tells_of_other_services(gate: Place) -> None:
    ran = run(gate, "pep", "import os; print(sorted(os.environ))")
    assert "_SERVICE_HOST" not in ran.out.replace("KUBERNETES_SERVICE_HOST", "")
