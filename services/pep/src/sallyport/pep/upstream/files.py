"""An upstream's own files, followed while we serve: DIR/NAME/{ca.crt, credential, tls.crt, tls.key}.

What is new is used within two seconds, by the next connection or request. What is broken or half written never gets there.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import structlog

from sallyport.runtime import atomic_file, mounted_dir, tls, validity
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError

_CA, _CREDENTIAL, _CERTIFICATE, _KEY = "ca.crt", "credential", "tls.crt", "tls.key"
_MOST: Final = 1 << 20  # bytes of a file; all the world's public CAs take a quarter of it
_POLL: Final = 1.0
_VALUE: Final = re.compile(r"[!-~]([ -~]{0,8190}[!-~])?")  # one line for one header: nothing that begins another
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Tls:
    context: ssl.SSLContext
    own_ca: bool  # False: who the system's CAs vouch for is believed
    shown: validity.Own | None  # our certificate

    def warning(self, now: float) -> str:
        outside = self.shown.period.outside(now) if self.shown else ""
        return outside and f"our client certificate {outside}; renew it"


class Held:
    """Those of one upstream, as they are now: ask anew each time."""

    def __init__(self, name: str, folder: Path | None, *, client_certificate: bool) -> None:
        """Raises ConfigError."""
        self.name = name
        self._tls = Followed(
            f"TLS of upstream {name}",
            lambda: mounted_dir.revision(_read_tls(folder, client_certificate=client_certificate)),
            lambda: _tls(folder, client_certificate=client_certificate),
            _fit,
        )
        self._credential = Followed(
            f"credential of upstream {name}",
            lambda: mounted_dir.revision(_read_credential(folder)),
            lambda: _value(folder, _read_credential(folder)),
        )

    @property
    def tls(self) -> ssl.SSLContext:
        """The same object until one of its files is another."""
        return self._tls.value.context

    @property
    def credential(self) -> str | None:
        """A header's whole value; None where there is no such file."""
        return self._credential.value or None

    def look(self) -> None:
        self._tls.look()
        self._credential.look()

    def warning(self, now: float) -> str:
        refused = [f"{each.what}: {each.failure}" for each in (self._tls, self._credential) if each.failure]
        told = f"replacement refused, the last good one serves: {'; '.join(refused)}" if refused else ""
        return "; ".join(filter(None, (told, self._tls.value.warning(now))))


class Files:
    """Those of all upstreams that somebody still holds."""

    def __init__(self, directory: Path | None, clock: Callable[[], float] = time.time) -> None:
        """Without a directory no upstream has files: the system's CAs, no credential, no certificate."""
        self._directory, self._clock = directory, clock
        self._followed: WeakValueDictionary[tuple[str, bool], Held] = WeakValueDictionary()
        self._lock = threading.Lock()

    def follow(self, name: str, *, client_certificate: bool) -> Held:
        """Followed for as long as it is held. Raises ConfigError. It reads files, so not on the loop."""
        if name in {".", ".."}:
            raise ConfigError.about(name, "is no name for a folder; give the upstream another one")
        key = (name, client_certificate)
        with self._lock:
            found = self._followed.get(key)
        if found is None:  # read outside the lock: a disk that hangs must not hold up `warnings`
            folder = self._directory and self._directory / name
            found = Held(name, folder, client_certificate=client_certificate)
        with self._lock:
            return self._followed.setdefault(key, found)

    async def watch(self) -> None:
        """Look at all files every second until cancelled."""
        while True:
            await asyncio.sleep(_POLL)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """It reads files, so not on the loop."""
        for each in self._held():
            try:
                each.look()
            except Exception as error:  # noqa: BLE001 — a watch that ends would freeze what serves, silently
                _log.error("following files broke; it goes on", upstream=each.name, error=type(error).__name__)

    def warnings(self) -> Mapping[str, str]:
        """By upstream, what its files hold that isn't used, or can't be."""
        now = self._clock()
        return {each.name: warning for each in self._held() if (warning := each.warning(now))}

    def _held(self) -> list[Held]:
        with self._lock:
            return list(self._followed.values())


def _exists(path: Path) -> bool:
    """What can't be looked at is there, and a link that leads nowhere: neither may count as a file that isn't given."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError.about(path, f"can't be read ({error.strerror}); correct its folder's rights") from None
    return True


def _read_tls(folder: Path | None, *, client_certificate: bool) -> dict[str, bytes]:
    """What there is; the certificate and its key must be there if they are to be shown."""
    files: dict[str, bytes] = {}
    if folder is not None and _exists(folder / _CA):
        files[_CA] = atomic_file.read_public(folder / _CA, _MOST)
    if not client_certificate:
        return files
    if folder is None:
        raise ConfigError.about("upstreams", "isn't set in pep.yaml, and a client certificate must lie there")
    files[_CERTIFICATE] = atomic_file.read_public(folder / _CERTIFICATE, _MOST)
    files[_KEY] = atomic_file.read_private(folder / _KEY)
    return files


def _tls(folder: Path | None, *, client_certificate: bool) -> _Tls:
    files = _read_tls(folder, client_certificate=client_certificate)  # too large? OpenSSL mustn't find out
    paths = {name: folder / name for name in files} if folder is not None else {}
    ca, certificate, key = (paths.get(name) for name in (_CA, _CERTIFICATE, _KEY))
    return _Tls(
        context=tls.client_context(ca, certificate, key, oldest=ssl.TLSVersion.TLSv1_2),
        own_ca=ca is not None,
        shown=validity.own(certificate, files[_CERTIFICATE]) if certificate is not None else None,
    )


def _fit(served: _Tls, made: _Tls) -> None:
    """A CA's file that is gone must not leave us believing what all the world's CAs vouch for."""
    if served.own_ca and not made.own_ca:
        raise ConfigError.about(_CA, "is gone, and more would be believed without it; put it back, or restart")


def _read_credential(folder: Path | None) -> dict[str, bytes]:
    if folder is None or not _exists(folder / _CREDENTIAL):
        return {}
    return {_CREDENTIAL: atomic_file.read_private(folder / _CREDENTIAL)}


def _value(folder: Path | None, files: Mapping[str, bytes]) -> str:
    if _CREDENTIAL not in files:
        return ""
    text = files[_CREDENTIAL].decode("latin-1").removesuffix("\n")
    if not _VALUE.fullmatch(text):
        raise ConfigError.about(
            f"{folder}/{_CREDENTIAL}",
            "must be one line of at most 8192 visible ASCII characters: a header's whole value",
        )
    return text
