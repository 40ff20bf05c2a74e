"""Keyed hashes for what a record must bind but not tell: a plain digest of a short argument is a dictionary."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sallyport.audit.errors import KeyRefused
from sallyport.audit.record import clean
from sallyport.audit.signer import read_private

_MIN_KEY: Final = 32  # bytes
_MAX_ARGUMENTS: Final = 64
_MAX_NAME: Final = 128
_REQUEST, _ARGUMENT = b"sallyport.audit.request.v1", b"sallyport.audit.argument.v1"
_QUESTION, _KEY = b"sallyport.audit.question.v1", b"sallyport.audit.key.v1"


class Masker:
    """HMAC-SHA-256 under one key, with a label per purpose; the same value masks alike under the same name."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _MIN_KEY:
            raise KeyRefused(f"the masking key has {len(key)} bytes, fewer than {_MIN_KEY}")
        self._key = key
        self._name = self._hash(_KEY, b"").hex()[:8]  # says which key, and nothing of it

    @classmethod
    def from_file(cls, path: Path) -> Masker:
        """At least 64 hex digits, 0600."""
        try:
            return cls(bytes.fromhex(read_private(path).decode("ascii").strip()))
        except ValueError as error:
            if isinstance(error, KeyRefused):
                raise
            raise KeyRefused(f"{path} must hold at least 64 hex digits") from None

    def request(self, canonical: bytes) -> str:
        """`request_hmac`, `<key>:<digest>`: binds an intent to the very bytes that were judged (N27)."""
        return f"{self._name}:{self._hash(_REQUEST, canonical).hex()}"

    def question(self, digest: bytes) -> str:
        """`question_hmac`: binds a decision to the very question that travelled; from its SHA-256."""
        return self._hash(_QUESTION, digest).hex()

    def arguments(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """`{"path": "hmac:…"}`; what is over 64 arguments, or has an overlong name, stands together under `*`."""
        named = list(islice(arguments.items(), _MAX_ARGUMENTS))
        masked = {clean(name): self._value(name, value) for name, value in named if len(name) <= _MAX_NAME}
        if len(masked) < len(arguments):
            masked["*"] = self._value("*", dict(arguments))
        return masked

    def _value(self, name: str, value: Any) -> str:
        text = json.dumps([name, value], sort_keys=True, separators=(",", ":"))
        return "hmac:" + self._hash(_ARGUMENT, text.encode()).hex()[:32]

    def _hash(self, label: bytes, data: bytes) -> bytes:
        return hmac.digest(self._key, label + b"\x00" + data, "sha256")
