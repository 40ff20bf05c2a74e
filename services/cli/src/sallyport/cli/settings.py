"""The few values of pep.yaml that this command needs itself; the PEP checks the rest of the file at its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.cli.laptop import Laptop
from sallyport.runtime import strict_yaml

_JWKS: Final = "pki/issuer/jwks.json"


@dataclass(frozen=True, slots=True)
class Issuing:
    issuer: str  # the `iss` of tokens
    audience: str  # the `aud`


def issuing(laptop: Laptop) -> Issuing:
    """Issuer and audience as pep.yaml believes them: the issuer whose keys are this directory's own."""
    match _read(laptop):
        case {"resource": str(resource), "issuers": list(issuers)}:
            own = [entry for entry in issuers if isinstance(entry, dict) and entry.get("jwks") == _JWKS]
            match own:
                case [{"issuer": str(issuer)}]:
                    return Issuing(issuer, resource)
    raise Complaint(
        f"{laptop.pep_config} names no `resource`, or not exactly one issuer with `jwks: {_JWKS}`",
        f"put both back as `{console.command('init', 'DIR')}` writes them; tokens are signed with that issuer's key",
    )


def listen_port(laptop: Laptop) -> int:
    match _read(laptop):
        case {"listen": str(listen)} if (port := listen.rpartition(":")[2]).isdecimal():
            return int(port)
    raise Complaint(f"{laptop.pep_config} has no `listen: host:port`", "put it back, such as `listen: 127.0.0.1:8443`")


def _read(laptop: Laptop) -> object:
    return strict_yaml.parse(laptop.pep_config.read_bytes(), str(laptop.pep_config)).value
