"""The few values of the configuration that this command needs itself; the services check the rest at their start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
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
    match _read(laptop.pep_config):
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
    if port := named_port(laptop.pep_config, "listen"):
        return port
    raise Complaint(f"{laptop.pep_config} has no `listen: host:port`", "put it back, such as `listen: 127.0.0.1:8443`")


def named_port(config: Path, key: str) -> int:
    """The port in `key: host:port`; 0 if there is none, which is the service's to complain about."""
    match _read(config):
        case dict() as values if (port := str(values.get(key)).rpartition(":")[2]).isdecimal():
            return int(port)
    return 0


def resource(laptop: Laptop) -> str:
    """Who the PEP says it is: the `aud` it wants; empty if that isn't stated."""
    match _read(laptop.pep_config):
        case {"resource": str(found)}:
            return found
    return ""


def _read(config: Path) -> object:
    return strict_yaml.parse(config.read_bytes(), str(config)).value
