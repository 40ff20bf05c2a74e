"""A mounted Secret, replaced as the kubelet does it: a new directory, `..data` renamed onto it, the old one removed."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pki import Authority, Pair


@dataclass
class Mount:
    """`names` are links to `..data/name`, as in a pod."""

    path: Path
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def put(self, **files: bytes) -> None:
        """The whole content from now on; a name's `_` stands for a dot."""
        named = {name.replace("_", "."): data for name, data in files.items()}
        self.path.mkdir(parents=True, exist_ok=True)
        link = self.path / "..data"
        old = link.resolve() if link.is_symlink() else None
        fresh = self.path / f"..{next(self._numbers)}"
        fresh.mkdir()
        for name, data in named.items():
            (fresh / name).touch(mode=0o600)
            (fresh / name).write_bytes(data)
        (self.path / "..data_tmp").symlink_to(fresh.name)
        (self.path / "..data_tmp").replace(link)
        for name in named:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(Path("..data", name))
        if old is not None:
            shutil.rmtree(old)


class Tls(Mount):
    """A certificate, its key and the client CAs in one Secret, as cert-manager writes it."""

    def put_tls(self, pair: Pair, *cas: Authority) -> None:
        self.put(tls_crt=pair.certificate_pem, tls_key=pair.key_pem, ca_crt=b"".join(ca.pem for ca in cas))

    @property
    def certificate(self) -> Path:
        return self.path / "tls.crt"

    @property
    def key(self) -> Path:
        return self.path / "tls.key"

    @property
    def ca(self) -> Path:
        return self.path / "ca.crt"
