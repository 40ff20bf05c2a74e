"""The PDP's two keys: the hop key, made anew at each start, and the operator's, which somebody else keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sallyport.contract.seal import HopKey
from sallyport.runtime import atomic_file
from sallyport.runtime.problems import ConfigError

_HEX: Final = re.compile(rb"([0-9a-f]{64})\n?")


def issue(path: Path) -> HopKey:
    """A fresh key, in its file for the PEP to read: after a restart no older answer opens."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = HopKey.generate()
    key.write(path)
    return key


def read_operator(path: Path, hop_key: Path) -> HopKey:
    """The operator's key: 64 hex digits in a file that only its owner can read. Raises ConfigError."""
    if path.resolve() == hop_key.resolve():
        raise ConfigError.about(path, "is the hop key, which the PEP holds; give the operator another key")
    found = _HEX.fullmatch(atomic_file.read_private(path))
    if found is None:
        raise ConfigError.about(path, "isn't a key of 64 hex digits; write one with: openssl rand -hex 32")
    return HopKey(bytes.fromhex(found[1].decode()))
