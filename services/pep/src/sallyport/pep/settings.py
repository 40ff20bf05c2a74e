"""pep.yaml: where the PEP listens, whom it believes, and where what it needs lies. Paths only, never a secret (N7).

Whatever would leave the gate open is refused at load, with every problem at once: no authenticator, a symmetric
algorithm, an empty list of orgs, an orchestrator that no certificate can name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from sallyport.pep.model import Era
from sallyport.runtime import addresses
from sallyport.runtime.peer_names import PeerName
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.settings import ConfigPath, Settings, load_model

_SQLITE: Final = "sqlite:///"
_POSTGRES_PORT: Final = 5432
_OTLP_PORT: Final = 0  # none: it must stand in the URL
_URI: Final = re.compile(r"[!#-\[\]-~]{1,512}")  # printable ASCII without quote and backslash: it goes into a header
ALGORITHMS: Final = frozenset(
    {"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
)


def _web_address(url: str) -> str:
    """An absolute https URI without user, query and fragment; plain http on loopback only (RFC 8707 §2, RFC 8414 §2)."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{url!r} is not a URI; write https://host:port/path") from None
    if not _URI.fullmatch(url) or not host or "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError(f"{url!r} is not an absolute URI without user, query and fragment; write https://host/path")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and (host == "localhost" or addresses.is_loopback(host))
    ):
        raise ValueError(f"{url!r} is not https; plain http is for loopback only")
    return url


def resource_url(url: str) -> str:
    """Clients look for our metadata by this path (RFC 9728 §3.1), so it is the one that is served."""
    if urlsplit(_web_address(url)).path != "/mcp":
        raise ValueError(f"{url!r} must end with /mcp after the host: that is the path served here")
    return url


def _origin(url: str) -> str:
    if _web_address(url) != url.lower() or urlsplit(url).path:
        raise ValueError(f"{url!r} is not an origin; write https://host or https://host:port in lower case")
    return url


def _algorithm(name: str) -> str:
    if name.lower() == "none":
        raise ValueError("none is no signature: anybody could write any token; use ES256")
    if name.startswith("HS"):
        raise ValueError(f"{name} is symmetric: who can check a token could also sign one; use ES256")
    if name not in ALGORITHMS:
        raise ValueError(f"{name!r} is not one of {', '.join(sorted(ALGORITHMS))}")
    return name


def _database_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"sqlite", "postgresql"}:
        raise ValueError("database.url begins with sqlite:/// or postgresql://")
    if parts.password is not None or "password" in parts.query.lower():
        raise ValueError("database.url holds a password; put it into a file and name that in database.password_file")
    if parts.scheme == "postgresql":
        database_server(url)
    return url


def database_server(url: str) -> str:
    """The one host and port of a PostgreSQL URL, whatever its query or the environment may name. Raises ValueError."""
    return addresses.destination_of(url, _POSTGRES_PORT)


def _otlp(url: str) -> str:
    if url and (urlsplit(url).scheme not in {"http", "https"} or "@" in url):
        raise ValueError("telemetry.otlp_endpoint is a http or https URL without user and password, or empty")
    if url:
        addresses.destination_of(url, _OTLP_PORT)
    return url


def _several(value: Any) -> Any:
    """One may be written without brackets."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value  # what a validator has seen is no JSON array any more


Listen = Annotated[str, AfterValidator(addresses.network)]
Uri = Annotated[str, AfterValidator(_web_address)]
Destination = Annotated[str, AfterValidator(addresses.destination)]
Network = Annotated[str, AfterValidator(addresses.subnet)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(pattern=r"^[!-~]([ -~]{0,126}[!-~])?$")]  # at most 128, as in the contract
Orgs = Annotated[tuple[Text, ...], Field(min_length=1)]  # empty means refuse
RoleMap = dict[Text, Text]  # what the claim says -> role in roles.yaml


class ForwardIdentity(Settings):
    """That an orchestrator may say for whom it calls, within these orgs."""

    orgs: Orgs
    issuer: Name  # the name under which its users are known; another than any token issuer's
    roles: RoleMap = Field(default_factory=dict)


class Orchestrator(PeerName):
    forward_identity: ForwardIdentity | None = None


class Tls(Settings):
    certificate: ConfigPath
    key: ConfigPath
    client_ca: ConfigPath | None = None
    client_certificate: Literal["none", "optional", "required"] = "none"
    orchestrators: tuple[Orchestrator, ...] = ()
    management_clients: tuple[PeerName, ...] = ()  # who may see readiness reasons and metrics from elsewhere

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.client_certificate != "none" and self.client_ca is None:
            raise ValueError(f"client_certificate: {self.client_certificate} needs client_ca")
        if self.client_certificate == "required" and not self.orchestrators:
            raise ValueError("client_certificate: required with no orchestrators lets nobody in; list them")
        if self.client_certificate == "none" and self.orchestrators:
            raise ValueError("orchestrators are known by certificate; set client_certificate: optional or required")
        if self.management_clients and self.client_ca is None:
            raise ValueError("management_clients are known by certificate; set client_ca")
        for peers in (self.orchestrators, self.management_clients):
            _unique("peer", [peer.spiffe or peer.dns or "" for peer in peers])
        return self


class Pdp(Settings):
    address: Annotated[str, AfterValidator(addresses.same_machine)]
    hop_key: ConfigPath
    deadline_ms: int = Field(default=500, ge=1, le=10_000)


class Roles(Settings):
    claim: Text = "roles"  # a member's name, or a path such as realm_access.roles; a name with :// is never split
    map: RoleMap = Field(default_factory=dict)  # what isn't in it is dropped and counted


class Issuer(Settings):
    name: Name  # part of every principal's id: renaming makes other people of its users
    issuer: Uri  # `iss`, compared exactly
    jwks: ConfigPath
    algorithms: Annotated[tuple[Annotated[str, AfterValidator(_algorithm)], ...], Field(min_length=1)]
    orgs: Orgs
    roles: Roles = Roles()
    token_types: Annotated[tuple[Text, ...], Field(min_length=1)] = ("at+jwt",)  # RFC 9068 §2.1
    leeway_seconds: int = Field(default=30, ge=0, le=60)
    risk_claim: Text | None = None  # a signed score from 0 to 100


class Audit(Settings):
    directory: ConfigPath
    signing_key: ConfigPath
    masking_key: ConfigPath


class Files(Settings):
    root: ConfigPath


class Database(Settings):
    url: Annotated[str, AfterValidator(_database_url)]
    password_file: ConfigPath | None = None


class Limits(Settings):
    body_bytes: int = Field(default=1_048_576, ge=1024, le=16 << 20)
    header_count: int = Field(default=64, ge=1, le=256)
    header_bytes: int = Field(default=16_384, ge=1024, le=65_536)
    json_depth: int = Field(default=64, ge=4, le=128)
    receive_seconds: float = Field(default=10, gt=0, le=120)
    connections: int = Field(default=512, ge=1, le=65_536)
    streams: int | None = Field(default=None, ge=1, le=65_535)  # that stay open; none given: half of the connections
    streams_per_caller: int = Field(default=16, ge=1, le=65_535)  # of one user by one agent
    handshake_seconds: float = Field(default=5, gt=0, le=60)
    drain_seconds: float = Field(default=0, ge=0, le=120)  # from SIGTERM on, for balancers and pools to look elsewhere

    @model_validator(mode="after")
    def _room_for_calls(self) -> Self:
        if self.streams is not None and self.streams >= self.connections:
            raise ValueError(
                f"streams: {self.streams} of {self.connections} connections leaves none for calls; write fewer"
            )
        return self

    @property
    def stream_places(self) -> int:
        """At most so many streams stay open: each keeps a connection from everybody else."""
        return self.connections // 2 if self.streams is None else self.streams


class Telemetry(Settings):
    otlp_endpoint: Annotated[str, AfterValidator(_otlp)] = ""  # empty: no spans leave


class Assertion(Settings):
    """The signed word to upstreams for whom a call is. Its keys are our own, and sign nothing else."""

    key: Annotated[
        tuple[ConfigPath, ...], BeforeValidator(_several), Field(min_length=1, max_length=4)
    ]  # the first signs
    issuer: Uri  # `iss`
    ttl_seconds: int = Field(default=60, ge=1, le=60)


class EgressEntry(Settings):
    """Written "host:port", or with the networks in which the host's addresses must lie."""

    destination: Destination
    networks: Annotated[
        tuple[Network, ...], BeforeValidator(_several), Field(max_length=16)
    ] = ()  # none: a name is found in the world only

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"destination": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _needs_them(self) -> Self:
        host = self.destination.rpartition(":")[0]
        if self.networks and (host == "localhost" or not addresses.is_name(host)):
            raise ValueError(f"networks are for names, and {host} is where it is; leave them out")
        return self

    def __str__(self) -> str:
        """As it may be written."""
        if not self.networks:
            return f'"{self.destination}"'
        networks = ", ".join(f'"{network}"' for network in self.networks)
        return f'{{destination: "{self.destination}", networks: [{networks}]}}'


class PepSettings(Settings):
    listen: Listen
    management: Listen
    resource: Annotated[str, AfterValidator(resource_url)]  # who we are: the `aud` that a token must name
    also_known_as: tuple[
        Annotated[str, AfterValidator(resource_url)], ...
    ] = ()  # further names that a token may be for
    tls: Tls
    pdp: Pdp
    policies: ConfigPath
    issuers: tuple[Issuer, ...] = ()
    audit: Audit
    files: Files | None = None  # none: there are no file tools
    database: Database | None = None  # none: there are no table tools
    eras: Annotated[tuple[Era, ...], Field(min_length=1)] = (Era.MODERN, Era.LEGACY)
    limits: Limits = Limits()
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    telemetry: Telemetry = Telemetry()
    upstreams: ConfigPath | None = None  # a folder for each upstream: ca.crt, credential, tls.crt and tls.key
    assertion: Assertion | None = None  # none: no upstream is told for whom a call is
    # Whom the PEP may connect to besides the PDP on this machine; empty: nobody. The last field: it is held against them.
    egress: tuple[EgressEntry, ...] = ()

    @field_validator("egress")
    @classmethod
    def _covers_what_is_named(cls, egress: tuple[EgressEntry, ...], info: ValidationInfo) -> tuple[EgressEntry, ...]:
        listed = [entry.destination for entry in egress]
        _unique("destination", listed)
        missing = {leads_to: setting for setting, leads_to in _connections(info.data).items() if leads_to not in listed}
        if missing:
            named = " and ".join(f"{leads_to} ({setting})" for leads_to, setting in missing.items())
            whole = ", ".join([*map(str, egress), *(f'"{destination}"' for destination in missing)])
            raise ValueError(f"lacks {named}; write `egress: [{whole}]`")
        return egress

    @model_validator(mode="after")
    def _somebody_can_be_known(self) -> Self:
        forwarding = [peer.forward_identity for peer in self.tls.orchestrators if peer.forward_identity]
        if not self.issuers and not forwarding:
            raise ValueError("no authenticator: list an issuer, or an orchestrator with forward_identity")
        _unique("issuer name", [issuer.name for issuer in self.issuers])
        # What we sign ourselves must not look like a token that somebody brings us.
        ours = [self.assertion.issuer] if self.assertion else []
        _unique("issuer", [*(issuer.issuer for issuer in self.issuers), *ours])
        # An orchestrator's alice must not become a token issuer's alice by a shared name.
        _unique("issuer name", [*{issuer.name for issuer in self.issuers}, *{each.issuer for each in forwarding}])
        return self

    @property
    def destinations(self) -> frozenset[str]:
        return frozenset(entry.destination for entry in self.egress)


def _connections(named: dict[str, Any]) -> dict[str, str]:
    """Where the settings that were valid so far lead, by setting."""
    database, telemetry = named.get("database"), named.get("telemetry")
    found: dict[str, str] = {}
    if database is not None and urlsplit(database.url).scheme == "postgresql":
        found["database.url"] = database_server(database.url)
    if telemetry is not None and telemetry.otlp_endpoint:
        found["telemetry.otlp_endpoint"] = addresses.destination_of(telemetry.otlp_endpoint, _OTLP_PORT)
    return found


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} {twice[0]!r} stands there twice; each must be unique")


def load(path: Path) -> PepSettings:
    """Read pep.yaml; relative paths count from its folder, sqlite's too. Raises ConfigError with every problem."""
    base = path.absolute().parent
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError.about(path, f"can't be read ({error.strerror}); name the file with --config") from None
    settings = load_model(PepSettings, data, str(path), base=base)
    return settings.model_copy(update={"database": _anchored(settings.database, base)})


def _anchored(database: Database | None, base: Path) -> Database | None:
    if database is None:
        return None
    file = database.url.removeprefix(_SQLITE)
    if file == database.url or file.startswith("/"):
        return database
    return database.model_copy(update={"url": f"{_SQLITE}{base / file}"})
