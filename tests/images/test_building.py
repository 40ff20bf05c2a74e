"""What a build takes in, and that the same source gives the same image."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Final

import pytest

from tests.images import engine
from tests.images.image import Image, Layer, opened

_ROOT: Final = Path(__file__).resolve().parents[2]
_PARTS: Final = (
    *("Dockerfile.pep", "Dockerfile.pdp", ".dockerignore", "LICENSE", "proto", "deploy/images"),
    *("services/runtime", "services/audit", "services/pdp", "services/pep", "services/cli"),
)
_DECOYS: Final = (
    *(".git/config", ".env", "tls.key", "notes.py", "tests/conftest.py", "services/pep/tests/test_it.py"),
    *("services/pep/tls.pem", "services/pep/src/tls.key", "services/pep/src/sallyport/pep/tls.key"),
    *("services/pdp/src/sallyport/pdp/.env", "services/pdp/src/sallyport/pdp/set.json", "proto/src/.git/config"),
    *("services/audit/src/sallyport_audit.egg-info/PKG-INFO", "deploy/images/id_ed25519", "deploy/helm/values.yaml"),
    *("services/runtime/src/sallyport/runtime/__pycache__/tls.cpython-313.pyc", "services/cli/requirements.txt"),
    *("services/pdp/src/sallyport/pdp/core", "services/pep/src/sallyport/pep/audit/id_ed25519", "proto/src/id_rsa"),
    *("services/pdp/src/sallyport/pdp/build/leak.py", "services/pep/src/sallyport/pep/__pycache__/leak.py"),
    *("services/audit/src/sallyport_audit.egg-info/leak.py", "services/pdp/build/lib/sallyport/pdp/leak.py"),
)
_ALLOWED: Final = re.compile(
    r"LICENSE|(proto|services/(runtime|audit|pdp|pep))/(pyproject\.toml|src/sallyport/.*(\.py|/py\.typed))"
    r"|services/(pdp|pep)/requirements\.txt|deploy/images/(requirements\.txt|install\.sh|prune\.sh|precompile\.py)"
)


def test_a_build_sees_the_sources_and_no_key_no_test_and_no_history(images: dict[str, Image], tmp_path: Path) -> None:
    tree = _copy(tmp_path / "tree")
    for decoy in _DECOYS:
        (tree / decoy).parent.mkdir(parents=True, exist_ok=True)
        (tree / decoy).write_text("not for an image")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    out = tmp_path / "out"
    engine.docker("build", "--quiet", "--file", str(tmp_path / "Dockerfile"), "--output", str(out), str(tree))
    seen = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"services/pep/src/sallyport/pep/__main__.py", "proto/src/sallyport/contract/seal.py"} <= seen
    assert not {name for name in seen if not _ALLOWED.fullmatch(name) or name in _DECOYS}


@pytest.mark.timeout(900)  # a whole build without a cache
def test_the_same_source_built_again_elsewhere_gives_the_same_layers_byte_by_byte(image: Image, tmp_path: Path) -> None:
    tree, name = _copy(tmp_path / "tree"), f"sallyport-test:{uuid.uuid4().hex[:12]}"
    bases = [f"--build-arg={base}={os.environ[base]}" for base in ("BUILD_BASE", "RUN_BASE") if os.environ.get(base)]
    dockerfile = str(tree / f"Dockerfile.{image.service}")
    engine.docker("build", "--quiet", "--no-cache", *bases, "--tag", name, "--file", dockerfile, str(tree))
    (tmp_path / "again").mkdir()
    try:
        with opened(image.service, name, tmp_path / "again") as again:
            unequal = [_differences(one, other) for one, other in zip(image.own, again.own, strict=True)]
            assert unequal == [set()] * len(image.own)
            assert again.about["RootFS"] == image.about["RootFS"]
    finally:
        engine.run("rmi", "--force", name)


def _differences(one: Layer, other: Layer) -> set[str]:
    """Files first, as they say more than a digest."""
    names = one.entries.keys() | other.entries.keys()
    return {name for name in names if _told(one, name) != _told(other, name)}


def _told(layer: Layer, name: str) -> tuple[object, ...]:
    entry = layer.entries.get(name)
    if entry is None:
        return ()
    content = layer.read(name) if entry.isreg() else b""
    return (entry.mode, entry.uid, entry.gid, entry.mtime, entry.type, entry.linkname, content)


def _copy(tree: Path) -> Path:
    """Another place, and other times than those of the first build."""
    for part in _PARTS:
        source, target = _ROOT / part, tree / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, target)
    return tree
