"""Handshakes in memory: what the contexts accept, and how a faulty file is told."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal

import pytest

from sallyport.runtime import tls
from sallyport.runtime.problems import ConfigError
from tests.support.pki import authority, other_authority


@pytest.fixture
def server(tmp_path: Path) -> tuple[Path, Path]:
    return authority().server().write(tmp_path, "server")


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_bytes(authority().pem)
    return path


def _shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> ssl.SSLObject:
    """Both sides of a handshake without a socket; raises what either side raises."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(up, down, server_side=True)
    theirs = client.wrap_bio(down, up, server_hostname=name)
    for _ in range(10):
        done = 0
        for side in (theirs, ours):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
        if done == 2:
            return ours
    raise AssertionError("the handshake doesn't end")


def _context(
    server: tuple[Path, Path], ca: Path | None, wanted: Literal["none", "optional", "required"]
) -> ssl.SSLContext:
    return tls.server_context(*server, ca, wanted)


def test_only_tls_1_3_and_http_1_1_are_spoken(server: tuple[Path, Path], ca: Path) -> None:
    ours = _shake(_context(server, None, "none"), tls.client_context(ca))
    assert ours.version() == "TLSv1.3"
    assert ours.selected_alpn_protocol() == "http/1.1"
    old = ssl.create_default_context(cafile=ca)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        _shake(_context(server, None, "none"), old)


@pytest.mark.parametrize("context", ["server", "client"])
def test_certificates_are_checked_strictly(server: tuple[Path, Path], ca: Path, context: str) -> None:
    made = _context(server, ca, "required") if context == "server" else tls.client_context(ca)
    assert made.verify_flags & ssl.VERIFY_X509_STRICT
    assert made.security_level >= 2
    assert made.minimum_version == made.maximum_version == ssl.TLSVersion.TLSv1_3


def test_n5_a_required_client_certificate_is_required_and_an_optional_one_is_verified(
    server: tuple[Path, Path], ca: Path, tmp_path: Path
) -> None:
    good = authority().client().write(tmp_path, "good")
    foreign = other_authority().client().write(tmp_path, "foreign")
    for wanted in ("required", "optional"):
        ours = _shake(_context(server, ca, wanted), tls.client_context(ca, *good))
        assert ours.getpeercert(binary_form=True)
        with pytest.raises(ssl.SSLError):
            _shake(_context(server, ca, wanted), tls.client_context(ca, *foreign))
    assert _shake(_context(server, ca, "optional"), tls.client_context(ca)).getpeercert(binary_form=True) is None
    with pytest.raises(ssl.SSLError):
        _shake(_context(server, ca, "required"), tls.client_context(ca))


def test_n5_a_client_believes_only_its_ca_and_the_name_it_asked_for(
    server: tuple[Path, Path], ca: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(other_authority().pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(_context(server, None, "none"), tls.client_context(other))
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(_context(server, None, "none"), tls.client_context(ca), "elsewhere.test")


def test_n7_faulty_files_stop_the_start_and_say_what_to_do(server: tuple[Path, Path], ca: Path, tmp_path: Path) -> None:
    certificate, key = server
    _, other_key = other_authority().server().write(tmp_path, "other")
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    faults: list[tuple[str, tuple[Path, Path], Path | None]] = [
        ("doesn't exist", (certificate, tmp_path / "gone"), ca),
        ("correct the path", (tmp_path / "gone", key), ca),
        ("is not the key of", (certificate, other_key), ca),
        ("can't be used", (empty, key), ca),
        ("is missing", server, None),
        ("no usable CA", server, empty),
        ("holds no CA certificate", server, certificate),
    ]
    for message, pair, client_ca in faults:
        with pytest.raises(ConfigError, match=message):
            _context(pair, client_ca, "required")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        _context(server, ca, "required")
