"""A kubeconfig that is none is told in one sentence, and its content isn't."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import gate as gates

_GOOD = {
    "apiVersion": "v1", "kind": "Config", "current-context": "one",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "secret"}}],
    "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "h"}}],
}  # fmt: skip


def _changed(**parts: object) -> bytes:
    return yaml.safe_dump({**_GOOD, **parts}).encode()


def test_a_good_one_names_its_namespace(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(_changed())
    assert gates.connect(tmp_path / "config", None).namespace == "h"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"7", b"secret", b"a: [secret", b"\xff\xfe\x00secret", bytes(range(256)), b"{}", b"\tsecret: x",
        b"root:x:0:0:secret:/root:/bin/bash\nbin:x:1:1::/:/bin/false\n", b"[" * 5000,
        _changed(contexts=7), _changed(contexts=[7]), _changed(contexts=[{"name": "one"}]),
        _changed(contexts=[{"name": "one", "context": None}]), _changed(contexts=[{}]), _changed(clusters=None),
        _changed(clusters=[{"name": "c", "cluster": {"server": 7}}]), _changed(users=[{"name": "u", "user": 7}]),
        _changed(clusters=[{"name": "c", "cluster": {"server": "https://x", "certificate-authority-data": "secre"}}]),
        _changed(contexts=[{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": ["h"]}}]),
    ],
)  # fmt: skip
def test_what_is_no_kubeconfig_is_a_complaint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config").write_bytes(content)
    with pytest.raises(Complaint, match="no cluster is known") as raised:
        gates.connect(tmp_path / "config", None)
    assert "--kubeconfig" in raised.value.next_step
    assert "\n" not in raised.value.wrong
    assert "secret" not in raised.value.wrong


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "/nowhere/at/all", "/dev/null"])
def test_a_path_to_anything_else_is_a_complaint(path: str) -> None:
    with pytest.raises(Complaint, match="no cluster is known"):
        gates.connect(Path(path), None)
