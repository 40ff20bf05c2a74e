"""A listener's files as the kubelet swaps them: taken together, or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sallyport.runtime import certificates
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError
from tests.support.mounted import Tls
from tests.support.pki import Pair, authority, other_authority

OURS, THEIRS = authority(), other_authority()
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
    ],
    ids=["pair-of-two", "no-certificate", "half-of-it", "garbage-key", "empty-key", "no-ca", "half-a-ca", "leaf-for-ca",
         "no-key", "expired", "not-yet"],
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
    assert "a client CA expired" in value.warning(value.clients_end)


def test_a_chain_ends_with_the_first_of_it_that_ends(tmp_path: Path) -> None:
    leaf, authority_of_it = OURS.server(ends=7), OURS.server(ends=3)
    certificate, key = leaf.write(tmp_path, "tls")
    certificate.write_bytes(leaf.certificate_pem + authority_of_it.certificate_pem)
    value = certificates.follow(certificate, key, None, ("none",)).value
    assert value.ends == pytest.approx(time.time() + 3 * DAY, abs=60)


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
