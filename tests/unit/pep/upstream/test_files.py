"""An upstream's files are swapped while it is used: what is whole is taken, what is broken never."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sallyport.pep.upstream.files import Files, Held
from sallyport.runtime.problems import ConfigError
from tests.support import pki
from tests.support.mounted import Mount
from tests.support.pki import Authority, Pair
from tests.support.stopwatch import own_garbage

OURS = pki.authority()
THEIRS = pki.other_authority()


def mount(tmp_path: Path, **files: bytes) -> Mount:
    found = Mount(tmp_path / "crm")
    if files:
        found.put(**files)
    return found


def follow(tmp_path: Path, *, client_certificate: bool = False) -> tuple[Files, Held]:
    files = Files(tmp_path)
    return files, files.follow("crm", client_certificate=client_certificate)


def look(files: Files) -> None:
    """Twice: a change is taken at the second look that sees it."""
    files.look()
    files.look()


@asynccontextmanager
async def upstream(
    authority: Authority, *, name: str = "localhost", ask: bool = False, versions: tuple[ssl.TLSVersion, ...] = ()
) -> AsyncIterator[tuple[list[bytes | None], int]]:
    """Who came, by certificate."""
    came: list[bytes | None] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.write(b"hello")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    context = authority.server_context(authority.server((name,), ()), ssl.CERT_REQUIRED if ask else ssl.CERT_NONE)
    if versions:
        context.minimum_version, context.maximum_version = versions
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield came, server.sockets[0].getsockname()[1]


async def greeted(held: Held, port: int, name: str = "localhost") -> str:
    """The version spoken. Raises ssl.SSLError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=held.tls, server_hostname=name)
    try:
        assert await reader.read() == b"hello"
        version: str = writer.get_extra_info("ssl_object").version()
        return version
    finally:
        writer.transport.abort()


def test_without_files_the_systems_cas_are_believed_and_nothing_is_shown(tmp_path: Path) -> None:
    for directory in (None, tmp_path):
        held = Files(directory).follow("crm", client_certificate=False)
        assert held.credential is None
        assert held.tls.check_hostname
        assert held.tls.verify_mode is ssl.CERT_REQUIRED


async def test_a_new_credential_is_used_for_the_next_request(tmp_path: Path) -> None:
    secret = mount(tmp_path, credential=b"Bearer one\n", ca_crt=OURS.pem)
    files, held = follow(tmp_path)
    context = held.tls
    assert held.credential == "Bearer one"
    secret.put(credential=b"Bearer two", ca_crt=OURS.pem)
    look(files)
    assert held.credential == "Bearer two"
    assert held.tls is context  # so that connections needn't end for it


@pytest.mark.parametrize(
    "broken", [b"", b"\n", b"one\ntwo", b"one\r\n", b"one\r\nx: y", b"one\0", "schlüssel".encode(), b" one", b"one ",
               b"x" * 8193]
)  # fmt: skip
def test_n8_a_credential_that_is_not_one_visible_line_is_refused_and_the_last_one_serves(
    tmp_path: Path, broken: bytes
) -> None:
    secret = mount(tmp_path, credential=b"one")
    files, held = follow(tmp_path)
    secret.put(credential=broken)
    look(files)
    assert held.credential == "one"
    assert "the last good one serves" in files.warnings()["crm"]
    assert "two" not in files.warnings()["crm"]  # N7: what a secret holds isn't told
    secret.put(credential=b"two")
    look(files)
    assert (held.credential, files.warnings()) == ("two", {})
    secret.put(credential=broken)
    with pytest.raises(ConfigError, match="credential"):
        Files(tmp_path).follow("crm", client_certificate=False)


def test_n5_a_credential_that_is_taken_away_is_gone(tmp_path: Path) -> None:
    secret = mount(tmp_path, credential=b"one", ca_crt=OURS.pem)
    files, held = follow(tmp_path)
    secret.put(ca_crt=OURS.pem)
    (secret.path / "credential").unlink()
    look(files)
    assert held.credential is None


def test_n7_a_credential_that_others_may_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "crm"
    folder.mkdir()
    (folder / "credential").write_bytes(b"one")
    (folder / "credential").chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        follow(tmp_path)


async def test_the_upstreams_own_ca_is_the_only_one_believed_and_the_name_is_checked(tmp_path: Path) -> None:
    mount(tmp_path, ca_crt=OURS.pem)
    _, held = follow(tmp_path)
    async with upstream(OURS) as (_, port):
        assert await greeted(held, port) == "TLSv1.3"
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await greeted(held, port, "crm.test")
    async with upstream(THEIRS) as (_, port):
        with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
            await greeted(held, port)


async def test_tls_1_2_is_the_oldest_that_is_spoken(tmp_path: Path) -> None:
    mount(tmp_path, ca_crt=OURS.pem)
    _, held = follow(tmp_path)
    async with upstream(OURS, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)) as (_, port):
        assert await greeted(held, port) == "TLSv1.2"
    assert held.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert all("ECDHE" in each["name"] or each["protocol"] == "TLSv1.3" for each in held.tls.get_ciphers())


async def test_n30_a_new_ca_is_believed_from_the_next_connection_on_and_the_old_one_no_longer(tmp_path: Path) -> None:
    secret = mount(tmp_path, ca_crt=OURS.pem)
    files, held = follow(tmp_path)
    async with upstream(OURS) as (_, before), upstream(THEIRS) as (_, after):
        assert await greeted(held, before)
        secret.put(ca_crt=THEIRS.pem)
        look(files)
        assert await greeted(held, after)
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeted(held, before)


@pytest.mark.parametrize("broken", [b"", b"rubbish", OURS.pem[:-200], OURS.server().certificate_pem])
async def test_n30_a_broken_ca_never_serves(tmp_path: Path, broken: bytes) -> None:
    secret = mount(tmp_path, ca_crt=OURS.pem)
    files, held = follow(tmp_path)
    secret.put(ca_crt=broken)
    look(files)
    assert "TLS of upstream crm" in files.warnings()["crm"]
    async with upstream(OURS) as (_, port):
        assert await greeted(held, port)


async def test_n5_a_ca_that_is_taken_away_leaves_no_wider_belief(tmp_path: Path) -> None:
    secret = mount(tmp_path, ca_crt=OURS.pem, credential=b"one")
    files, held = follow(tmp_path)
    context = held.tls
    secret.put(credential=b"two")  # ca.crt is a link now that leads nowhere
    look(files)
    assert held.tls is context
    assert "ca.crt" in files.warnings()["crm"]
    (secret.path / "ca.crt").unlink()
    look(files)
    assert held.tls is context
    assert "more would be believed" in files.warnings()["crm"]
    assert held.credential == "two"  # the one doesn't wait for the other


@pytest.mark.parametrize("name", ["ca.crt", "credential"])
def test_n5_a_link_that_leads_nowhere_is_no_absent_file(tmp_path: Path, name: str) -> None:
    mount(tmp_path, tls_crt=OURS.pem)
    (tmp_path / "crm" / name).symlink_to(Path("..data", name))
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        follow(tmp_path)


async def test_a_client_certificate_is_shown_where_the_catalog_says_so_and_renewed(tmp_path: Path) -> None:
    first, second = OURS.client("spiffe://test/gate"), OURS.client("spiffe://test/gate")
    secret = mount(tmp_path, ca_crt=OURS.pem, **material(first))
    files, held = follow(tmp_path, client_certificate=True)
    async with upstream(OURS, ask=True) as (came, port):
        await greeted(held, port)
        secret.put(ca_crt=OURS.pem, **material(second))
        look(files)
        await greeted(held, port)
    assert came == [first.certificate_der, second.certificate_der]
    silent = files.follow("crm", client_certificate=False)
    async with upstream(OURS) as (came, port):
        await greeted(silent, port)
    assert came == [None]


def test_a_certificate_with_the_key_of_another_never_serves(tmp_path: Path) -> None:
    first, second = OURS.client(), OURS.client()
    secret = mount(tmp_path, **material(first))
    files, held = follow(tmp_path, client_certificate=True)
    context = held.tls
    secret.put(tls_crt=second.certificate_pem, tls_key=first.key_pem)
    look(files)
    assert held.tls is context
    assert "is not the key of" in files.warnings()["crm"]


def test_a_certificate_that_must_be_shown_must_be_there(tmp_path: Path) -> None:
    mount(tmp_path, ca_crt=OURS.pem)
    with pytest.raises(ConfigError, match=r"tls\.crt"):
        follow(tmp_path, client_certificate=True)
    with pytest.raises(ConfigError, match="isn't set"):
        Files(None).follow("crm", client_certificate=True)


def test_an_expired_client_certificate_is_told(tmp_path: Path) -> None:
    mount(tmp_path, **material(OURS.client()))
    files = Files(tmp_path, clock=lambda: time.time() + 3 * 86_400)
    held = files.follow("crm", client_certificate=True)
    assert "our client certificate expired" in files.warnings()["crm"]
    del held


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a folder"):
        Files(tmp_path).follow(name, client_certificate=False)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    mount(tmp_path, ca_crt=OURS.pem + b"\n" * (1 << 20))
    with pytest.raises(ConfigError, match="larger than"):
        follow(tmp_path)


@pytest.fixture
def alone() -> Iterator[None]:
    """Others' garbage has warnings of its own."""
    with own_garbage():
        yield


@pytest.mark.usefixtures("alone")
def test_those_of_an_upstream_are_one_and_forgotten_with_it(tmp_path: Path) -> None:
    secret = mount(tmp_path, credential=b"one")
    files, held = follow(tmp_path)
    assert files.follow("crm", client_certificate=False) is held
    secret.put(credential=b"")
    look(files)
    assert files.warnings()
    del held
    gc.collect()
    assert files.warnings() == {}


async def test_they_are_followed_until_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.pep.upstream.files._POLL", 0.01)
    secret = mount(tmp_path, credential=b"one")
    files, held = follow(tmp_path)
    watch = asyncio.create_task(files.watch())
    secret.put(credential=b"two")
    async with asyncio.timeout(60):
        while held.credential != "two":  # noqa: ASYNC110 — files tell nobody
            await asyncio.sleep(0.01)
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch


def material(pair: Pair) -> dict[str, bytes]:
    return {"tls_crt": pair.certificate_pem, "tls_key": pair.key_pem}
