"""The one secret of a bridge, in the form in which a client sends it."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final

from sallyport.runtime import atomic_file
from sallyport.runtime.problems import ConfigError

_VALUE: Final = re.compile(rb"Bearer [A-Za-z0-9._~+/-]{32,512}=*")


def kept(path: Path) -> bytes:
    """The value of the Authorization header that opens: what the file holds, or a new one in a new file.

    Raises ConfigError, also where others may read it, and OSError.
    """
    if not path.exists() and not path.is_symlink():
        atomic_file.write(path, f"Bearer {secrets.token_urlsafe(32)}".encode())
    value = atomic_file.read_private(path).rstrip(b"\r\n")
    if not _VALUE.fullmatch(value):
        raise ConfigError.about(path, "isn't `Bearer` and 32 characters or more; remove it, and a new one is written")
    return value
