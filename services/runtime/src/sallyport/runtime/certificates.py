"""A listener's certificate, key and client CA, taken together, and again whenever the files are replaced."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from cryptography import x509

from sallyport.runtime import atomic_file, mounted_dir, tls
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.tls import ClientCertificate


@dataclass(frozen=True, slots=True)
class Certificates:
    """One state of the files. Times are seconds since the epoch."""

    contexts: Mapping[ClientCertificate, ssl.SSLContext] = field(repr=False)
    source: Path  # of the server's own certificate
    begins: float  # when the whole chain of it is valid …
    ends: float  # … and when its first certificate ends
    client_cas: frozenset[bytes] = field(repr=False)  # DER
    clients_end: float  # when the first of them ends; infinite without any

    def drops(self, older: Certificates) -> bool:
        """Whether somebody's client certificate that was believed isn't any more."""
        return bool(older.client_cas - self.client_cas)

    def warning(self, now: float) -> str:
        """What has ended. It goes on serving: who connects sees it for himself, and refuses."""
        return "; ".join(self._ended(now))

    def _ended(self, now: float) -> Iterator[str]:
        if self.ends <= now:
            yield f"{self.source}: expired on {_day(self.ends)}, and clients refuse it; renew it"
        if self.clients_end <= now:
            yield f"a client CA expired on {_day(self.clients_end)}, and its clients are refused; renew or remove it"


def follow(
    certificate: Path, key: Path, client_ca: Path | None, wanted: Sequence[ClientCertificate]
) -> Followed[Certificates]:
    """A context for each way of asking for client certificates. Raises ConfigError where the files can't be used."""

    def state() -> str:
        files = {"certificate": atomic_file.read_public(certificate), "key": atomic_file.read_private(key)}
        if client_ca is not None:
            files["client_ca"] = atomic_file.read_public(client_ca)
        return mounted_dir.revision(files)

    def build() -> Certificates:
        return _build(
            {mode: tls.server_context(certificate, key, client_ca, mode) for mode in set(wanted)}, certificate
        )

    return Followed("certificate", state, build, _valid)


def _build(contexts: dict[ClientCertificate, ssl.SSLContext], certificate: Path) -> Certificates:
    try:
        chain = x509.load_pem_x509_certificates(atomic_file.read_public(certificate))
    except ValueError:
        raise ConfigError.about(certificate, "holds no certificates in PEM that can be read") from None
    believed = {der for context in contexts.values() for der in context.get_ca_certs(binary_form=True)}
    told = [ca for context in contexts.values() for ca in context.get_ca_certs()]
    return Certificates(
        contexts=MappingProxyType(contexts),
        source=certificate,
        begins=max(one.not_valid_before_utc.timestamp() for one in chain),
        ends=min(one.not_valid_after_utc.timestamp() for one in chain),
        client_cas=frozenset(believed),
        clients_end=min((float(ssl.cert_time_to_seconds(str(ca["notAfter"]))) for ca in told), default=math.inf),
    )


def _valid(made: Certificates) -> None:
    """One that no client would take must not replace one that they do: a restored backup, a clock that is wrong."""
    now = time.time()
    if made.ends <= now:
        raise ConfigError.about(made.source, f"expired on {_day(made.ends)}; renew it")
    if made.begins > now:
        raise ConfigError.about(made.source, f"isn't valid before {_day(made.begins)}; it is taken then")


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
