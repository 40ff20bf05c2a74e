"""The hop key's side of the PDP: made anew at each start, and a seal on every message both ways."""

from __future__ import annotations

from pathlib import Path

from sallyport.contract.seal import HopKey


def issue(path: Path) -> HopKey:
    """A fresh key, in its file for the PEP to read: after a restart no older answer opens."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = HopKey.generate()
    key.write(path)
    return key
