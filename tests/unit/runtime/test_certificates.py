"""A listener's files as the kubelet swaps them: taken together, or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sallyport.runtime import certificates, tls
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError
from tests.support.mounted import Tls
from tests.support.pki import Authority, Pair, authority, other_authority

OURS, THEIRS = authority(), other_authority()
PAST, COMING = Authority("Past CA", begins=-3, ends=-1), Authority("Coming CA", begins=1, ends=3)
DAY = 86_400


@pytest.fixture
def mount(tmp_path: Path) -> Tls:
    made = Tls(tmp_path / "tls")
    made.put_tls(OURS.server(), OURS)
    return made


def following(mount: Tls) -> Followed[Certificates]:
    return certificates.follow(mount.certificate, mount.key, mount.ca, ("required", "optional"))


def looked_at(followed: Followed[Certificates]) -> bool:
    """As often as a change needs."""
    followed.look()
    return followed.look()


def test_n30_a_swapped_secret_is_taken_whole(mount: Tls) -> None:
    followed = following(mount)
    first = followed.value
    mount.put_tls(OURS.server(ends=7), OURS)
    assert looked_at(followed)
    assert followed.value is not first
    assert set(followed.value.contexts) == {"required", "optional"}
    assert followed.value.ends == pytest.approx(time.time() + 7 * DAY, abs=60)
    assert not looked_at(followed)


def secret(certificate: bytes | None = None, key: bytes | None = None, ca: bytes | None = None) -> dict[str, bytes]:
    """A good one but for what is given."""
    good = OURS.server()
    return {
        "tls_crt": good.certificate_pem if certificate is None else certificate,
        "tls_key": good.key_pem if key is None else key,
        "ca_crt": OURS.pem if ca is None else ca,
    }


def of(pair: Pair) -> dict[str, bytes]:
    return secret(pair.certificate_pem, pair.key_pem)


@pytest.mark.parametrize(
    ("files", "why"),
    [  # what the Secret holds, and what is said of it
        (secret(key=OURS.server().key_pem), "is not the key of"),
        (secret(certificate=b""), "can't be used"),
        (secret(certificate=OURS.server().certificate_pem[:300]), "can't be used"),
        (secret(key=b"\0garbage" * 99), "can't be used"),
        (secret(key=b""), "is empty"),
        (secret(ca=b"\n"), "no usable CA"),
        (secret(ca=OURS.pem + THEIRS.pem[:300]), "no usable CA"),
        (secret(ca=OURS.server().certificate_pem), "holds no CA certificate"),
        ({"tls_crt": OURS.server().certificate_pem, "ca_crt": OURS.pem}, "doesn't exist"),
        (of(OURS.server(begins=-3, ends=-1)), "expired on"),
        (of(OURS.server(begins=1, ends=3)), "isn't valid before"),
        (of(OURS.issue("server", dns=("localhost",), ips=("127.0.0.1", "::1"))), "lacks serverAuth"),
        (of(OURS.server(dns=())), "lacks localhost, which"),
        (of(OURS.server(dns=("other",), ips=("127.0.0.1",))), "lacks ::1, localhost, which"),
        (secret(ca=PAST.pem), "holds no client CA that is valid now"),
        (secret(ca=PAST.pem + COMING.pem), "holds no client CA that is valid now"),
        (secret(certificate=OURS.server().certificate_pem * 2000), "is larger than 1048576 bytes"),
        (secret(ca=OURS.pem * 2000), "is larger than 1048576 bytes"),
    ],
    ids=["pair-of-two", "no-certificate", "half-of-it", "garbage-key", "empty-key", "no-ca", "half-a-ca", "leaf-for-ca",
         "no-key", "expired", "not-yet", "for-clients", "no-dns-name", "two-names-lost", "past-ca", "no-ca-now", "huge",
         "huge-ca"],
)  # fmt: skip
def test_n30_what_is_broken_is_not_taken_and_its_mending_is(mount: Tls, files: dict[str, bytes], why: str) -> None:
    followed = following(mount)
    good = followed.value
    mount.put(**files)
    assert not looked_at(followed)
    assert followed.value is good
    assert why in followed.failure
    assert str(mount.path) in followed.failure
    mount.put_tls(OURS.server(), OURS)
    assert looked_at(followed)
    assert not followed.failure


def test_what_is_too_large_is_refused_before_it_is_taken_apart(mount: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    followed, made = following(mount), []
    monkeypatch.setattr(tls, "server_context", lambda *files: made.append(files))
    mount.put(**secret(ca=OURS.pem * 2000))
    assert not looked_at(followed)
    assert "is larger than 1048576 bytes" in followed.failure
    assert not made


def test_n7_a_key_that_others_may_read_is_not_taken(mount: Tls) -> None:
    followed = following(mount)
    mount.put_tls(OURS.server(), OURS)
    mount.key.chmod(0o644)
    assert not looked_at(followed)
    assert "chmod 600" in followed.failure


def test_a_pipe_in_a_files_place_is_refused_without_waiting_for_it(mount: Tls) -> None:
    followed = following(mount)
    mount.ca.unlink()
    os.mkfifo(mount.ca)
    assert not looked_at(followed)
    assert "is no regular file" in followed.failure


def test_a_half_written_copy_of_plain_files_is_not_taken(tmp_path: Path) -> None:
    certificate, key = OURS.server().write(tmp_path, "tls")
    followed = certificates.follow(certificate, key, None, ("none",))
    renewed = OURS.server()
    certificate.write_bytes(renewed.certificate_pem)  # the key comes a moment later
    assert not looked_at(followed)
    assert f"{key}: is not the key of {certificate}" in followed.failure
    key.write_bytes(renewed.key_pem)
    assert looked_at(followed)
    assert not followed.failure


def test_a_start_with_an_expired_certificate_says_so(tmp_path: Path) -> None:
    followed = certificates.follow(*OURS.server(begins=-3, ends=-1).write(tmp_path, "tls"), None, ("none",))
    warning = followed.value.warning(time.time())
    assert f"{tmp_path}/tls.crt: expired on " in warning
    assert "renew it" in warning


def test_what_ends_is_told_by_when_it_ends(mount: Tls) -> None:
    value = following(mount).value
    assert value.ends == pytest.approx(time.time() + DAY, abs=60)
    assert value.clients_end == OURS.pair.certificate.not_valid_after_utc.timestamp()
    assert value.warning(time.time()) == ""
    assert "expired on" in value.warning(value.ends)
    assert "client CA 'Test CA' expired on" in value.warning(value.clients_end)


def test_n30_a_renewed_certificate_is_taken_whatever_stands_behind_it(mount: Tls) -> None:
    followed, leaf, old_cross_sign = following(mount), OURS.server(ends=7), OURS.server(begins=-3, ends=-1)
    mount.put(**secret(leaf.certificate_pem + old_cross_sign.certificate_pem, leaf.key_pem))
    assert looked_at(followed)
    assert followed.value.ends == leaf.certificate.not_valid_after_utc.timestamp()
    warning = followed.value.warning(time.time())
    assert f"{mount.certificate}: a certificate behind the first expired on" in warning


def test_n30_names_may_be_added_and_a_wildcard_stands_for_a_name(mount: Tls) -> None:
    mount.put_tls(OURS.server(dns=("a.gate.test", "B.gate.test")), OURS)
    followed = following(mount)
    mount.put_tls(OURS.server(dns=("A.gate.test", "*.gate.test")), OURS)
    assert looked_at(followed)
    mount.put_tls(OURS.server(dns=("a.gate.test", "b.c.gate.test")), OURS)
    assert not looked_at(followed)
    assert "lacks *.gate.test, which" in followed.failure


def test_n30_a_name_may_go_once_what_serves_has_expired(tmp_path: Path) -> None:
    certificate, key = OURS.server(begins=-3, ends=-1).write(tmp_path, "tls")
    followed = certificates.follow(certificate, key, None, ("none",))
    OURS.server(dns=("other",)).write(tmp_path, "tls")
    assert looked_at(followed)


def test_a_certificate_for_all_uses_is_taken(mount: Tls) -> None:
    followed, pair = following(mount), OURS.server(usage=None)
    mount.put_tls(pair, OURS)
    assert looked_at(followed)
    assert not followed.value.warning(time.time())


def test_a_start_with_a_certificate_for_clients_says_so(tmp_path: Path) -> None:
    pair = OURS.issue("server", dns=("localhost",))
    value = certificates.follow(*pair.write(tmp_path, "tls"), None, ("none",)).value
    assert "its extended key usage lacks serverAuth" in value.warning(time.time())


def test_n30_a_client_ca_that_is_not_valid_now_is_told_beside_good_ones(mount: Tls) -> None:
    followed = following(mount)
    mount.put_tls(OURS.server(), OURS, PAST, COMING)
    assert looked_at(followed)
    warning = followed.value.warning(time.time())
    assert "client CA 'Past CA' expired on" in warning
    assert "client CA 'Coming CA' isn't valid before" in warning
    assert "Test CA" not in warning


def test_what_is_not_valid_is_logged_at_the_start_and_when_it_is_taken(mount: Tls) -> None:
    with capture_logs() as logs:
        mount.put_tls(OURS.server(), OURS, PAST)
        followed = following(mount)
        mount.put_tls(OURS.server(), OURS, COMING)
        assert looked_at(followed)
    told = [line["problem"] for line in logs if line["event"] == "certificates are served that not all can use"]
    assert [CA in problem for CA, problem in zip(("Past CA", "Coming CA"), told, strict=True)] == [True, True]


def test_n30_a_removed_client_ca_is_known_from_an_added_one(mount: Tls) -> None:
    followed = following(mount)
    one = followed.value
    pair = OURS.server()
    mount.put_tls(pair, OURS, THEIRS)
    assert looked_at(followed)
    both = followed.value
    mount.put_tls(pair, THEIRS, OURS)
    assert looked_at(followed)
    turned = followed.value
    mount.put_tls(pair, THEIRS)
    assert looked_at(followed)
    other = followed.value
    assert [newer.drops(older) for older, newer in ((one, both), (both, turned), (turned, other), (one, other))] == [
        False,
        False,
        True,
        True,
    ]


def test_n5_a_start_with_two_that_do_not_belong_together_is_refused(mount: Tls) -> None:
    mount.put(**secret(key=OURS.server().key_pem))
    with pytest.raises(ConfigError, match="is not the key of"):
        following(mount)
