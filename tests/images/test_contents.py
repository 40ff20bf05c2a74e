"""What is in an image, and above all what isn't: read from its layers, file by file."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import stat
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.requirements import Requirement

from tests.images.image import SERVICES, SITE, Image, normal

_ROOT: Final = Path(__file__).resolve().parents[2]
_EPOCH: Final = 315532800
_CONTRACT: Final = ("proto", "services/runtime", "services/audit")
# No shell, nothing that installs, fetches, compiles or opens connections.
_TOOLS: Final = frozenset(
    (
        *("sh", "bash", "dash", "ash", "zsh", "busybox", "toybox", "env", "xargs", "find", "perl", "awk", "sed"),
        *(
            "apt",
            "apt-get",
            "dpkg",
            "apk",
            "pip",
            "pip3",
            "pip3.13",
            "uv",
            "curl",
            "wget",
            "nc",
            "ncat",
            "socat",
            "ssh",
        ),
        *("gcc", "cc", "ld", "as", "strip", "gdb", "strace", "su", "sudo", "mount", "unshare", "nsenter"),
    )
)


def test_there_is_no_shell_no_package_manager_and_no_other_tool(image: Image) -> None:
    assert not {name for name, entry in image.files.items() if PurePosixPath(name).name in _TOOLS and not entry.isdir()}


def test_nothing_that_can_be_started_is_added_but_a_link_to_python(image: Image) -> None:
    assert not {name for name, entry in image.added.items() if entry.isreg() and entry.mode & 0o111}
    links = {name: entry.linkname for name, entry in image.added.items() if not entry.isreg() and not entry.isdir()}
    assert links == {"app/bin/python3.13": "/usr/bin/python3.13"}
    assert "usr/bin/python3.13" in image.files


def test_what_is_added_stands_in_app_and_in_pythons_bytecode_folders_alone(image: Image) -> None:
    files = {name for name, entry in image.added.items() if not entry.isdir()}
    elsewhere = {name for name in files if not name.startswith(("app/bin/", f"{SITE}/")) and "__pycache__" not in name}
    assert elsewhere == {"app/pyvenv.cfg", "app/share/LICENSE", "app/share/sbom.cdx.json"}
    bytecode = {name for name in files if name.startswith("usr/")}
    assert bytecode
    assert all(name.startswith("usr/lib/python3.13/") and name.endswith(".pyc") for name in bytecode)


def test_everything_belongs_to_root_and_nobody_else_can_write_it(image: Image) -> None:
    assert not {name for name, entry in image.added.items() if (entry.uid, entry.gid) != (0, 0)}
    others = {
        name: entry for name, entry in image.files.items() if not entry.issym() and (entry.uid or entry.mode & 0o022)
    }
    shared = {
        name for name, entry in others.items() if entry.isdir() and entry.mode & stat.S_ISVTX
    }  # /tmp and its like
    assert set(others) - shared <= {"home/nonroot"}  # the base's, and the root is read-only at run time


def test_everything_added_can_be_read_by_whoever_runs_it(image: Image) -> None:
    assert not {name for name, entry in image.added.items() if entry.mode & 0o444 != 0o444}


def test_nothing_gives_more_rights_to_whoever_starts_it(image: Image) -> None:
    raised = {
        name for name, entry in image.files.items() if entry.isreg() and entry.mode & (stat.S_ISUID | stat.S_ISGID)
    }
    capable = {name for name, entry in image.files.items() if any("capability" in key for key in entry.pax_headers)}
    assert not raised | capable


def test_every_time_is_the_same_fixed_one(image: Image) -> None:
    assert not {name for name, entry in image.added.items() if entry.mtime != _EPOCH}


def test_our_code_is_this_services_own_and_what_both_share(image: Image) -> None:
    parts = {PurePosixPath(name).parts for name in image.added if name.startswith(f"{SITE}/sallyport/")}
    assert {part[5] for part in parts} == {"audit", "authz", "contract", "runtime", image.service}


def test_every_source_of_the_service_is_there_byte_by_byte(image: Image) -> None:
    """Also shows that the allow-list of the build's context leaves nothing out."""
    sources = [_ROOT / folder / "src" for folder in (*_CONTRACT, f"services/{image.service}")]
    expected = {str(path.relative_to(source)): path for source in sources for path in source.glob("sallyport/**/*.py")}
    built = {name.removeprefix(f"{SITE}/") for name in image.added if name.startswith(f"{SITE}/sallyport/")}
    assert {name for name in built if name.endswith(".py")} == set(expected)
    changed = {name for name, path in expected.items() if image.read(f"{SITE}/{name}") != path.read_bytes()}
    assert not changed, "the image isn't of this source: run make images"


def test_what_is_installed_is_what_the_services_requirements_pin_and_nothing_else(image: Image) -> None:
    pinned = _pinned(_ROOT / "services" / image.service / "requirements.txt")
    own = {f"sallyport-{name}" for name in ("audit", "contract", "runtime", image.service)}
    installed = image.distributions()
    assert set(installed) == set(pinned) | own
    assert {name: image.version(installed[name]) for name in pinned} == pinned


def test_no_service_has_what_only_the_other_needs(images: dict[str, Image]) -> None:
    pep, pdp = (set(images[service].distributions()) for service in SERVICES)
    assert {"cedarpy", "sallyport-pdp"} <= pdp - pep
    assert {"fastapi", "starlette", "uvicorn", "sqlalchemy", "asyncpg", "sallyport-pep"} <= pep - pdp
    assert not (pep | pdp) & {"kubernetes", "mcp", "sallyport-cli", "pip", "setuptools", "cyclonedx-bom", "pytest"}


def test_every_file_of_a_package_is_one_that_the_package_brought(image: Image) -> None:
    """Bytecode is ours, and libraries lost their symbols; all else has the hash that the package's RECORD says."""
    recorded: dict[str, str] = {}
    for folder in image.distributions().values():
        lines = image.read(f"{folder}/RECORD").decode().splitlines()
        recorded |= {f"{SITE}/{row[0]}": row[1] for row in csv.reader(lines)}
    files = {name for name, entry in image.added.items() if entry.isreg() and name.startswith(f"{SITE}/")}
    files = {name for name in files if not name.endswith(".pyc")}
    assert files <= set(recorded)
    hashed = {name for name in files if recorded[name] and ".so" not in PurePosixPath(name).suffixes}
    assert len(hashed) > 1000
    assert not {name for name in hashed if _hash(image.read(name)) != recorded[name]}


def test_every_module_that_the_service_imports_has_its_bytecode(image: Image) -> None:
    """Python looks at no time and no hash of the source: flags 0b01 of PEP 552."""
    names = [f"{SITE}/sallyport/{image.service}/__pycache__/command.cpython-313.pyc"]
    names += [f"{SITE}/grpc/__pycache__/__init__.cpython-313.pyc", "usr/lib/python3.13/__pycache__/ssl.cpython-313.pyc"]
    assert {image.read(name)[4:8] for name in names} == {b"\x01\x00\x00\x00"}


def test_the_bill_of_materials_names_everything_installed(image: Image) -> None:
    bill = json.loads(image.read("app/share/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    about = bill["metadata"]["component"]
    named = {normal(item["name"]): item["version"] for item in [about, *bill["components"]]}
    assert named == {name: image.version(folder) for name, folder in image.distributions().items()}
    assert normal(about["name"]) == f"sallyport-{image.service}"
    assert all(item["purl"].startswith("pkg:pypi/") for item in bill["components"])
    references = {about["bom-ref"], *(item["bom-ref"] for item in bill["components"])}
    assert {item["ref"] for item in bill["dependencies"]} == references


def test_the_bill_of_materials_is_the_same_for_the_same_source(image: Image) -> None:
    bill = json.loads(image.read("app/share/sbom.cdx.json"))
    assert "serialNumber" not in bill
    assert bill["metadata"]["timestamp"] == "1980-01-01T00:00:00+00:00"


def test_debians_packages_are_listed_where_scanners_look(image: Image) -> None:
    listed = {PurePosixPath(name).name for name in image.files if name.startswith("var/lib/dpkg/status.d/")}
    assert {"libc6", "python3.13-minimal"} <= listed


def _pinned(path: Path) -> dict[str, str]:
    lines = [line.rstrip(" \\") for line in path.read_text().splitlines() if line and not line.startswith((" ", "#"))]
    wanted = [Requirement(line) for line in lines]
    here = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux"}
    return {
        normal(item.name): str(item.specifier).removeprefix("==")
        for item in wanted
        if item.marker is None or item.marker.evaluate(here)
    }


def _hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
