"""What `k8s pull` takes out of a cluster, and what it doesn't trust there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s import policy_maps, pulling
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.objects import ConfigMap, Pod
from sallyport.cli.k8s.policy_maps import MARKER, Stored
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents

_NAMES = {part: f"gate-{part}" for part in ("policies", "roles", "agents", "resources", "catalog")}


def _stored(files: Mapping[str, bytes]) -> Stored:
    maps = {name: ConfigMap(name, "1", {}) for name in _NAMES.values()}
    return Stored(_NAMES, {**maps, "gate-policies": ConfigMap("gate-policies", "1", files)})


def test_a_whole_set_is_pulled() -> None:
    files = {"a.cedar": b"x", ".hidden_1-b.md": b"y"}
    assert pulling.files(_stored(files)) == files


def test_half_a_push_is_not_pulled() -> None:
    with pytest.raises(Complaint, match=r"push.*cut off or is under way") as raised:
        pulling.files(_stored({"a.cedar": b"x", MARKER: b"y"}))
    assert raised.value.code == Exit.FAILED
    assert "push again" in raised.value.next_step
    assert "wait" in raised.value.next_step


@pytest.mark.parametrize(
    "name", ["", ".", "..", "..data", "../x", "/etc/x", "a/b", "a\nb", "a\0b", "é", "a b", "x" * 254]
)
def test_a_key_that_is_no_plain_file_name_is_no_file(name: str) -> None:
    with pytest.raises(Complaint, match="gate-policies") as raised:
        pulling.files(_stored({"a.cedar": b"x", name: b"y"}))
    assert raised.value.wrong.isprintable()


def test_pushing_what_a_cut_off_push_left_names_the_cause() -> None:
    files = {"a.cedar": b"x", MARKER: b"y"}
    given = Contents(MappingProxyType(files), mounted_dir.revision(files))
    with pytest.raises(Complaint, match=r"push-under-way\.cedar.*cut-off push") as raised:
        policy_maps.compose(given, _stored({}))
    assert "pull" in raised.value.next_step


def test_the_next_command_leads_to_the_same_release() -> None:
    pod = Pod("p", ready=True, restarts=0, created=datetime.now(UTC), ending=False, waiting="", annotations={},
              owner=None)  # fmt: skip
    gate = Gate("h", "gate", (pod,))
    assert gates.pointing(gate, None, None) == ("-n", "h", "--release", "gate")
    given = gates.pointing(gate, "blue", Path("/k"))
    assert given == ("-n", "h", "--release", "gate", "--context", "blue", "--kubeconfig", "/k")
