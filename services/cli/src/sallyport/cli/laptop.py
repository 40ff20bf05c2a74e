"""The directory that `sallyport init` makes: every path in it has its one name here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sallyport.cli import console
from sallyport.cli.complaint import Complaint


@dataclass(frozen=True, slots=True)
class Laptop:
    root: Path  # absolute

    @classmethod
    def at(cls, directory: Path) -> Laptop:
        """The directory, if `init` made it; a complaint otherwise."""
        laptop = cls(directory.resolve())
        if not laptop.pep_config.is_file() or not laptop.pdp_config.is_file():
            raise Complaint(
                f"{directory} is not a Sallyport directory: it has no pep.yaml and pdp.yaml",
                f"make one with: {console.command('init', directory)}",
            )
        return laptop

    @property
    def pep_config(self) -> Path:
        return self.root / "pep.yaml"

    @property
    def pdp_config(self) -> Path:
        return self.root / "pdp.yaml"

    @property
    def gitignore(self) -> Path:
        return self.root / ".gitignore"

    @property
    def policies(self) -> Path:
        return self.root / "policies"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.yaml"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def ca_certificate(self) -> Path:
        return self.pki / "ca" / "ca.crt"

    @property
    def issuer_key(self) -> Path:
        return self.pki / "issuer" / "signing.key"

    @property
    def issuer_jwks(self) -> Path:
        return self.pki / "issuer" / "jwks.json"

    @property
    def audit_keys(self) -> Path:
        return self.pki / "audit"

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def upstreams(self) -> Path:
        return self.root / "upstreams"

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def database(self) -> Path:
        return self.root / "data" / "sample.db"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def endpoint(self) -> Path:
        return self.run / "endpoint.json"

    @property
    def lock(self) -> Path:
        return self.run / "up.lock"

    def log(self, service: str) -> Path:
        return self.run / f"{service}.log"
