"""What is replaced while the PEP serves, certificates and token keys, and who hears of it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sallyport.pep.settings import Tls
from sallyport.pep.telemetry import Metrics
from sallyport.runtime import certificates
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.followed import Followed
from sallyport.runtime.tls import ClientCertificate

OnRenewed = Callable[[Certificates, Certificates], None]  # what served, what serves now

_CERTIFICATE: Final = "certificate"
_KEYS: Final = "token_keys"


class Renewal:
    """The audit's keys and the database's password are no part of it: a restart takes those."""

    def __init__(
        self,
        own: Followed[Certificates] | None,
        keys: Sequence[Followed[Any]],
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`own` is None for plain HTTP."""
        self.own = own
        self._keys, self._clock = keys, clock
        metrics.follow(_KEYS, lambda: any(each.failure for each in keys))
        if own is not None:
            metrics.follow(_CERTIFICATE, lambda: bool(own.failure))
            metrics.certificate_ends("server", lambda: own.value.ends)
            if own.value.client_cas:
                metrics.certificate_ends("client_ca", lambda: own.value.clients_end)

    def warnings(self) -> Mapping[str, str]:
        """By part. An expired certificate is here, not in readiness: who connects refuses it, and probes still reach us."""
        refused = {
            _CERTIFICATE: "; ".join(self._of_certificate()),
            _KEYS: "; ".join(_refused(each) for each in self._keys if each.failure),
        }
        return {part: warning for part, warning in refused.items() if warning}

    def context(self, wanted: ClientCertificate) -> ssl.SSLContext | None:
        """What a listener begins with; None for plain HTTP."""
        return None if self.own is None else self.own.value.contexts[wanted]

    async def watch(self, then: OnRenewed, keys_changed: Callable[[], None]) -> None:
        """Look at all files until cancelled; each by itself, so that none waits for a disk that hangs."""
        watches = [each.watch(lambda _older, _newer: keys_changed()) for each in self._keys]
        if self.own is not None:
            watches.append(self.own.watch(then))
        async with asyncio.TaskGroup() as together:
            for each in watches:
                together.create_task(each)

    def _of_certificate(self) -> list[str]:
        if self.own is None:
            return []
        refused = _refused(self.own) if self.own.failure else ""
        return [text for text in (refused, self.own.value.warning(self._clock())) if text]


def _refused(part: Followed[Any]) -> str:
    return f"replacement refused, the last good one serves: {part.failure}"


def follow(tls: Tls) -> Followed[Certificates]:
    """Raises ConfigError where certificate, key or client CA can't be used."""
    return certificates.follow(tls.certificate, tls.key, tls.client_ca, (tls.client_certificate, management(tls)))


def management(tls: Tls) -> ClientCertificate:
    """A probe has no certificate: on the management port one is asked for, never required."""
    return "optional" if tls.client_ca else "none"
