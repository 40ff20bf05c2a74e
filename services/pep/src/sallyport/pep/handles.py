"""Handles: what a client carries for us between two requests, sealed to who may bring it back and for what (N2).

`requestState`, task ids and cursors of an upstream never go out in the open: a client could bring one user's to another,
or one upstream's to the next. AES-256-GCM under a random 96-bit nonce; kind and binding are authenticated, not carried.
"""

from __future__ import annotations

import binascii
import math
import os
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sallyport.runtime import canonical_json

MAX_PAYLOAD: Final = 24 << 10  # bytes
_FORMAT: Final = b"\x01"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_EXPIRY: Final = struct.Struct(">Q")  # milliseconds since the epoch
_LEAST: Final = len(_FORMAT) + _NONCE_BYTES + _EXPIRY.size + _TAG_BYTES
MAX_HANDLE: Final = ((_LEAST + MAX_PAYLOAD) * 4 + 2) // 3  # characters


class Handles:
    """Seals and opens. All replicas hold the same keys; the first one seals, the others only open what is older."""

    def __init__(self, key: bytes, *older: bytes, wall: Callable[[], float] = time.time) -> None:
        if any(len(each) != _KEY_BYTES for each in (key, *older)):
            raise ValueError("a key of handles has 32 bytes")
        self._sealing = AESGCM(key)
        self._opening = (self._sealing, *map(AESGCM, older))
        self._wall = wall

    def seal(self, kind: str, bound_to: Sequence[str], payload: bytes, *, ttl: float) -> str:
        """URL-safe text that `open` takes for `ttl` seconds. ValueError: too long, or a binding that isn't text."""
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"{len(payload)} bytes are more than a handle holds")
        if not 0 < ttl < math.inf:
            raise ValueError("a handle lives for a time, and not for ever")
        expires = _EXPIRY.pack(int((self._wall() + ttl) * 1000))
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._sealing.encrypt(nonce, expires + payload, _binding(kind, bound_to))
        return _spell(_FORMAT + nonce + sealed)

    def open(self, kind: str, bound_to: Sequence[str], handle: str) -> bytes | None:
        """The payload. None, whatever is wrong: forged, foreign, expired, of another kind, no handle at all."""
        raw = _read(handle)
        if raw is None:
            return None
        nonce, sealed = raw[1 : 1 + _NONCE_BYTES], raw[1 + _NONCE_BYTES :]
        try:
            opened = self._opened(nonce, sealed, _binding(kind, bound_to))
        except ValueError:  # a binding that isn't text was never sealed to
            return None
        if opened is None or _EXPIRY.unpack_from(opened)[0] <= self._wall() * 1000:
            return None
        return opened[_EXPIRY.size :]

    def _opened(self, nonce: bytes, sealed: bytes, binding: bytes) -> bytes | None:
        for key in self._opening:
            try:
                return key.decrypt(nonce, sealed, binding)
            except InvalidTag:
                continue
        return None


def _binding(kind: str, bound_to: Sequence[str]) -> bytes:
    """As JSON, so that no boundary can shift: ["ab", "c"] isn't ["a", "bc"]."""
    return _FORMAT + canonical_json.encode([kind, *bound_to])


def _spell(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read(handle: str) -> bytes | None:
    if len(handle) > MAX_HANDLE:
        return None
    try:
        raw = urlsafe_b64decode(handle.encode("ascii") + b"=" * (-len(handle) % 4))
    except (UnicodeEncodeError, binascii.Error):
        return None
    # One spelling only: base64 leaves bits over at the end, and Python's decoder passes over foreign characters.
    return raw if len(raw) >= _LEAST and raw[:1] == _FORMAT and _spell(raw) == handle else None
