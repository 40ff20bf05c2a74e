"""The `authzen:` part of pdp.yaml: who may ask over AuthZEN, and what each of them is believed to know.

A client is a policy enforcement point that states identities, so the list is the whole trust: what isn't granted here
is ignored or refused, whatever a request says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from sallyport.contract.limits import MAX_BATCH_QUESTION_BYTES, MAX_EVALUATIONS
from sallyport.runtime import addresses
from sallyport.runtime.peer_names import PeerName
from sallyport.runtime.settings import ConfigPath, Settings


def _origin(url: str) -> str:
    """What discovery gives out. Clients compare it byte by byte with what they were configured with."""
    parts = urlsplit(url)
    if url != url.lower() or url != f"https://{parts.netloc}" or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{url!r} is not an origin; write https://host or https://host:port, without a path")
    return url


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(pattern=r"^[!-~]([ -~]{0,126}[!-~])?$")]  # at most 128, as in the contract
Texts = tuple[Text, ...]


class Tls(Settings):
    certificate: ConfigPath
    key: ConfigPath
    client_ca: ConfigPath  # required: nobody asks without a certificate of this CA


class Roles(Settings):
    property: Text = "roles"  # of subject.properties: a text or an array of them
    map: dict[Text, Text] = Field(default_factory=dict)  # what it says -> role in roles.yaml; others are dropped
    everyone: Texts = ()  # roles that each of this client's subjects holds


class Client(PeerName):
    """One gateway, and what it may say."""

    issuer: Name  # the name under which its users are known: another than any token issuer's, or they mix
    subject_types: Annotated[Texts, Field(min_length=1)] = ("user",)
    orgs: Annotated[Texts, Field(min_length=1)]  # one: its subjects' org; several: subject.properties.org names one
    agent: Text | None = None  # the one agent behind this gateway …
    agents: Texts = ()  # … or those of which context.agent must name one
    roles: Roles = Roles()
    scopes: Texts = ()  # those of subject.properties.scopes that are believed
    resource_types: dict[Text, Text] = Field(default_factory=dict)  # its word -> type in base.cedarschema
    resource_attributes: dict[Text, Texts] = Field(default_factory=dict)  # Cedar type -> properties that it looked up
    session: tuple[Literal["ip", "risk", "mfa_age"], ...] = ()  # what of context is believed
    obligations: Texts = ()  # kinds that it carries out: `mask` for "mask:email"

    @property
    def name(self) -> str:
        return self.spiffe or self.dns or ""

    @model_validator(mode="after")
    def _one_way_to_the_agent(self) -> Self:
        if (self.agent is None) == (not self.agents):
            raise ValueError("give exactly one of `agent` and `agents`: whom does the gateway stand for?")
        return self


class Authzen(Settings):
    listen: Annotated[str, AfterValidator(addresses.network)]
    url: Annotated[str, AfterValidator(_origin)]  # by which clients reach it
    tls: Tls
    clients: Annotated[tuple[Client, ...], Field(min_length=1)]  # empty means refuse
    body_bytes: int = Field(default=262_144, ge=1024, le=MAX_BATCH_QUESTION_BYTES)
    evaluations: int = Field(default=256, ge=1, le=MAX_EVALUATIONS)  # in one request
    connections: int = Field(default=64, ge=1, le=4096)
    receive_seconds: float = Field(default=5, gt=0, le=60)

    @model_validator(mode="after")
    def _each_client_once(self) -> Self:
        if twice := _twice([client.name for client in self.clients]):
            raise ValueError(f"client {twice!r} stands here twice; what it may say would depend on the order")
        if twice := _twice([client.issuer for client in self.clients]):
            raise ValueError(f"two clients have the issuer {twice!r}; their users of one name would be one person")
        return self


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)
