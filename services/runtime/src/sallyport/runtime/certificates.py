"""A listener's certificate, key and client CA, taken together, and again whenever the files are replaced."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import structlog

from sallyport.runtime import atomic_file, mounted_dir, tls, validity
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.tls import ClientCertificate
from sallyport.runtime.validity import ClientCa, Own

_MOST: Final = 1 << 20  # bytes of a file; all the world's public CAs take a quarter of it
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Certificates:
    """One state of the files. Times are seconds since the epoch."""

    contexts: Mapping[ClientCertificate, ssl.SSLContext] = field(repr=False)
    own: Own
    client_ca: Path | None
    client_cas: frozenset[ClientCa]

    @property
    def ends(self) -> float:
        """When the server's own certificate does."""
        return self.own.period.ends

    @property
    def clients_end(self) -> float:
        """When the first of the client CAs does; infinite without any."""
        return min((ca.period.ends for ca in self.client_cas), default=math.inf)

    def drops(self, older: Certificates) -> bool:
        """Whether somebody's client certificate that was believed isn't any more."""
        return bool(older.client_cas - self.client_cas)

    def warning(self, now: float) -> str:
        """What isn't valid. It goes on serving: who connects sees it for himself, and refuses."""
        return "; ".join((*self.own.warnings(now), *self._outside(now)))

    def _outside(self, now: float) -> Iterator[str]:
        for ca in sorted(self.client_cas, key=lambda ca: (ca.name, ca.der)):
            if outside := ca.period.outside(now):
                yield f"client CA {ca.name!r} {outside}, and its clients are refused; renew or remove it"


def follow(
    certificate: Path, key: Path, client_ca: Path | None, wanted: Sequence[ClientCertificate]
) -> Followed[Certificates]:
    """A context for each way of asking for client certificates. Raises ConfigError where the files can't be used."""

    def state() -> str:
        files = {"certificate": atomic_file.read_public(certificate, _MOST), "key": atomic_file.read_private(key)}
        if client_ca is not None:
            files["client_ca"] = atomic_file.read_public(client_ca, _MOST)
        return mounted_dir.revision(files)

    def build() -> Certificates:
        state()  # what is too large is refused before OpenSSL takes it apart
        contexts = {mode: tls.server_context(certificate, key, client_ca, mode) for mode in set(wanted)}
        return Certificates(
            contexts=MappingProxyType(contexts),
            own=validity.own(certificate, atomic_file.read_public(certificate, _MOST)),
            client_ca=client_ca,
            client_cas=frozenset(ca for context in contexts.values() for ca in validity.client_cas(context)),
        )

    followed = Followed("certificate", state, build, _fit)
    _tell(followed.value)
    return followed


def _fit(served: Certificates, made: Certificates) -> None:
    """One that no client would take must not replace one that they do: a restored backup, a clock that is wrong."""
    now = time.time()
    if refused := made.own.refused(now):
        raise ConfigError.about(made.own.source, refused)
    lost = [] if served.own.refused(now) else made.own.lost(served.own)
    if lost:
        message = f"lacks {', '.join(lost)}, which the one that serves has; have it issued for all names, or restart"
        raise ConfigError.about(made.own.source, message)
    if made.client_ca and made.client_cas and all(ca.period.outside(now) for ca in made.client_cas):
        raise ConfigError.about(
            made.client_ca, "holds no client CA that is valid now, and all clients would be refused"
        )
    _tell(made)


def _tell(taken: Certificates) -> None:
    """Once, for a service that has no readiness to say it in."""
    if problem := taken.warning(time.time()):
        _log.warning("certificates are served that not all can use", problem=problem)
