"""What `sallyport init` makes, and what it refuses to touch."""

from __future__ import annotations

import ipaddress
import json
import sqlite3
import ssl
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from sallyport.cli import configs, pki, samples, shipped
from sallyport.cli.commands.init import make
from sallyport.cli.complaint import Complaint
from sallyport.runtime import strict_yaml
from tests.support.laptop import here, init

PRIVATE = (
    "ca/ca.key",
    "server/tls.key",
    "issuer/signing.key",
    "assertion/signing.key",
    "audit/signing.key",
    "audit/masking.key",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init(tmp_path_factory.mktemp("init") / "laptop")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_makes_every_path_that_the_design_names(made: Path) -> None:
    names = {entry.name for entry in made.iterdir()}
    configs = {"pep.yaml", "pdp.yaml", "catalog.yaml", ".gitignore"}
    assert names == configs | {"policies", "pki", "files", "data", "audit", "run", "upstreams"}
    assert (made / "catalog.yaml").is_symlink()
    assert (made / "catalog.yaml").read_bytes() == (made / "policies" / "catalog.yaml").read_bytes()
    assert not list((made / "audit").iterdir())


def test_n7_private_keys_are_their_owners_alone(made: Path) -> None:
    assert {name: mode(made / "pki" / name) for name in PRIVATE} == dict.fromkeys(PRIVATE, 0o600)
    assert {mode(made / name) for name in ("pki", "audit", "run", "files", "data")} == {0o700}
    others = {path for path in (made / "pki").rglob("*") if path.is_file() and mode(path) & 0o077}
    assert {path.name for path in others} == {"ca.crt", "tls.crt", "jwks.json", "signing.pub"}


def test_n7_inside_a_git_work_tree_no_key_is_offered_for_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    init(tmp_path / "gate")
    command = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b""
    assert (tmp_path / "gate" / ".gitignore").read_text().startswith("# ")


def test_n7_two_directories_share_no_secret(made: Path, tmp_path: Path) -> None:
    other = init(tmp_path / "other")
    for name in (*PRIVATE, "ca/ca.crt", "issuer/jwks.json", "audit/signing.pub"):
        assert (made / "pki" / name).read_bytes() != (other / "pki" / name).read_bytes()


def test_the_server_certificate_covers_loopback_and_passes_strict_verification(made: Path) -> None:
    certificate = x509.load_pem_x509_certificate((made / "pki/server/tls.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert addresses == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    shake_hands(made)


def shake_hands(made: Path) -> None:
    """A TLS handshake in memory, with the strict flags on."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made / "pki/server/tls.crt", made / "pki/server/tls.key")
    client = ssl.create_default_context(cafile=str(made / "pki/ca/ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    far = server.wrap_bio(to_server, to_client, server_side=True)
    near = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    done = {near: False, far: False}
    while not all(done.values()):
        for side in (near, far):
            try:
                side.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                continue


def test_the_jwks_holds_the_public_half_only(made: Path) -> None:
    (jwk,) = json.loads((made / "pki/issuer/jwks.json").read_bytes())["keys"]
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert (jwk["kty"], jwk["crv"], jwk["alg"]) == ("EC", "P-256", "ES256")


def test_the_audit_key_pair_belongs_together(made: Path) -> None:
    private = serialization.load_pem_private_key((made / "pki/audit/signing.key").read_bytes(), None)
    public = serialization.load_pem_public_key((made / "pki/audit/signing.pub").read_bytes())
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(private.sign(b"x"), b"x")


def test_the_key_id_is_the_thumbprint_of_rfc_7638(made: Path) -> None:
    (jwk,) = json.loads((made / "pki/issuer/jwks.json").read_bytes())["keys"]
    key = serialization.load_pem_private_key((made / "pki/issuer/signing.key").read_bytes(), None)
    assert jwk["kid"] == pki.key_id(key.public_key())  # type: ignore[arg-type]
    assert len(jwk["kid"]) == 43


def test_the_sample_tables_are_those_that_the_policies_know(made: Path) -> None:
    resources = strict_yaml.parse((made / "policies/resources.yaml").read_bytes(), "resources.yaml").value
    with closing(sqlite3.connect(made / "data/sample.db")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        notes = [note for (note,) in connection.execute("SELECT note FROM salaries")]
        counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    assert tables == set(resources["resources"]["Table"])  # type: ignore[index,call-overload,arg-type]
    assert samples.CANARY in notes
    assert all(counts)


def test_the_sample_people_own_files(made: Path) -> None:
    for name, text in samples.FILES.items():
        assert (made / "files" / name).read_text() == text
    assert {path.name for path in (made / "files").iterdir()} == {"alice", "bob"}


@pytest.mark.parametrize("text", [configs.PEP, configs.PDP])
def test_the_configuration_files_are_strict_yaml_and_explain_themselves(text: str) -> None:
    strict_yaml.parse(text.encode(), "x.yaml")
    assert text.startswith("# The policy")


def test_init_refuses_a_directory_that_holds_anything(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Complaint, match="not empty"):
        make(tmp_path, shipped.find())
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


def test_init_refuses_a_hidden_file_and_a_plain_file_too(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").touch()
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(Complaint):
            make(tmp_path / name, shipped.find())
    assert (tmp_path / "file").read_text() == "mine"


def test_a_second_init_says_what_to_do_and_exits_2(made: Path) -> None:
    before = (made / "pki/ca/ca.key").read_bytes()
    run = here("init", made)
    assert run.returncode == 2
    assert run.stdout == ""
    assert "not empty" in run.stderr
    assert "next:" in run.stderr
    assert "Traceback" not in run.stderr
    assert (made / "pki/ca/ca.key").read_bytes() == before


def test_a_failing_init_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(samples, "write", full)
    with pytest.raises(OSError, match="No space"):
        make(tmp_path / "laptop", shipped.find())
    assert not list((tmp_path / "laptop").iterdir())


def test_a_policy_that_names_a_missing_tool_is_left_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in shipped.find().iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    (source / "gone.cedar").write_text('@id("g") permit (principal, action == Action::"no_such_tool", resource);')
    (source / "kept.cedar").write_text(
        '// Action::"no_such_tool"\n@id("k") forbid (principal, action == Action::"tools/list", resource is Tool);'
    )
    assert make(tmp_path / "laptop", source) == ("gone.cedar",)
    names = {path.name for path in (tmp_path / "laptop" / "policies").iterdir()}
    assert "kept.cedar" in names
    assert "gone.cedar" not in names


def test_the_file_in_the_way_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    for name in ("f", "f/x", "f/x/y"):
        run = here("init", tmp_path / name)
        assert run.returncode == 2
        assert f"error: {tmp_path / 'f'} is a file" in run.stderr


def test_a_place_where_nothing_can_be_made_is_said_in_words() -> None:
    run = here("init", "/proc/x")
    assert (run.returncode, run.stdout) == (2, "")
    assert "/proc/x can't be made" in run.stderr
    assert "Errno" not in run.stderr
    assert "next:" in run.stderr
