"""What operators are told of certificates and keys that are replaced."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sallyport.pep import renewal
from sallyport.pep.renewal import Renewal
from sallyport.pep.settings import Tls
from sallyport.pep.telemetry import Metrics
from sallyport.runtime.atomic_file import read_public
from sallyport.runtime.followed import Followed
from tests.support import mounted
from tests.support.pki import authority

DAY = 86_400


def settings(mount: mounted.Tls, *, client_ca: bool = True) -> Tls:
    """As pep.yaml has it; without a client CA nobody is asked for a certificate."""
    return Tls.model_validate(
        {
            "certificate": mount.certificate,
            "key": mount.key,
            **({"client_ca": mount.ca, "client_certificate": "optional"} if client_ca else {}),
        }
    )


@pytest.fixture
def mount(tmp_path: Path) -> mounted.Tls:
    made = mounted.Tls(tmp_path / "tls")
    made.put_tls(authority().server(), authority())
    return made


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"sallyport_{name}", labels)


def test_all_is_well_until_a_replacement_is_refused_and_again_when_it_is_mended(mount: mounted.Tls) -> None:
    own, metrics = renewal.follow(settings(mount)), Metrics("1")
    told = Renewal(own, (), metrics)
    for pair, key, refused in (
        (authority().server(), authority().server().key_pem, True),
        (authority().server(), None, False),
    ):
        mount.put(tls_crt=pair.certificate_pem, tls_key=key or pair.key_pem, ca_crt=authority().pem)
        own.look()
        own.look()
        assert set(told.warnings()) == ({"certificate"} if refused else set())
        assert value(metrics, "reload_failed", what="certificate") == float(refused)
    mount.put(tls_crt=b"", tls_key=b"", ca_crt=b"")
    own.look()
    own.look()
    assert told.warnings()["certificate"].startswith(f"replacement refused, the last good one serves: {mount.path}")


def test_an_expired_certificate_is_a_warning_and_a_date_in_the_metrics(mount: mounted.Tls) -> None:
    metrics, now = Metrics("1"), time.time()
    own = renewal.follow(settings(mount))
    assert not Renewal(own, (), Metrics("1")).warnings()
    late = Renewal(own, (), metrics, lambda: now + 60 * DAY).warnings()["certificate"]
    assert "tls.crt: expired on" in late
    assert "client CA 'Test CA' expired on" in late
    ca_ends = authority().pair.certificate.not_valid_after_utc.timestamp()
    for use, ends in (("server", own.value.ends), ("client_ca", ca_ends)):
        assert value(metrics, "certificate_not_after_timestamp_seconds", use=use) == ends


def test_keys_of_several_issuers_are_one_warning_that_names_each_file(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.json", "two.json")]
    for path in paths:
        path.write_bytes(b"good")
    keys = [Followed("token_keys", lambda p=path: str(read_public(p)), object) for path in paths]  # type: ignore[misc]
    metrics = Metrics("1")
    told = Renewal(None, keys, metrics)
    assert value(metrics, "reload_failed", what="token_keys") == 0
    for path, one in zip(paths, keys, strict=True):
        path.unlink()
        one.look()
        one.look()
        assert str(path) in told.warnings()["token_keys"]
    assert str(paths[0]) in told.warnings()["token_keys"]
    assert value(metrics, "reload_failed", what="token_keys") == 1


def test_plain_http_has_no_certificates(tmp_path: Path) -> None:
    metrics = Metrics("1")
    told = Renewal(None, (), metrics)
    assert (told.warnings(), told.context("none")) == ({}, None)
    assert b'use="server"' not in metrics.exposition()


def test_without_a_client_ca_none_is_asked_for_and_none_ends(mount: mounted.Tls) -> None:
    chosen, metrics = settings(mount, client_ca=False), Metrics("1")
    told = Renewal(renewal.follow(chosen), (), metrics)
    assert renewal.management(chosen) == "none"
    assert told.context("none") is not None
    assert b'use="client_ca"' not in metrics.exposition()
