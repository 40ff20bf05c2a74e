"""pdp.yaml: where the PDP listens, what it reads, and how much it takes on."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from sallyport.contract.limits import MAX_BATCH_MESSAGE_BYTES
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.settings import ConfigPath, Settings, load_model

_UNIX: Final = "unix:/"
_MAX_PORT: Final = 65535
_MAX_SOCKET_PATH: Final = 107  # sun_path of unix(7), without its final NUL


def _split(address: str) -> tuple[str, int]:
    """host:port with a literal IP address, IPv6 in brackets; names would ask a resolver that others may own."""
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{address!r} is not an IP address and a port; write 127.0.0.1:7351 or [::1]:7351") from None
    if not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise ValueError(f"{address!r} has no port from 0 to {_MAX_PORT} at its end; write 127.0.0.1:7351")
    return host, int(port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def loopback_address(address: str) -> str:
    """The PDP answers its own pod or machine and nobody else: loopback, or a unix socket by absolute path."""
    if address.startswith("unix"):
        path = address.removeprefix("unix:")
        if not address.startswith(_UNIX) or len(path.encode()) > _MAX_SOCKET_PATH or "\0" in path:
            raise ValueError(f"{address!r} is not unix:/absolute/path of at most {_MAX_SOCKET_PATH} bytes")
        return address
    host, port = _split(address)
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{address!r} is not on loopback: the PDP never sees the network; use 127.0.0.1:{port}")
    return _join(host, port)


def health_address(address: str) -> str:
    """Any address: the kubelet dials the pod's own, and nothing but health answers there."""
    return _join(*_split(address))


class Limits(Settings):
    deadline_ms: int = Field(default=500, ge=1, le=10_000)
    concurrency: int = Field(default=64, ge=1, le=4096)
    message_bytes: int = Field(default=1_310_720, ge=MAX_BATCH_MESSAGE_BYTES, le=16 << 20)


class Telemetry(Settings):
    otlp_endpoint: str = ""  # empty: no spans are made


class PdpSettings(Settings):
    listen: Annotated[str, AfterValidator(loopback_address)]
    health: Annotated[str, AfterValidator(health_address)]
    policies: ConfigPath
    hop_key: ConfigPath
    limits: Limits = Limits()
    telemetry: Telemetry = Telemetry()


def load(path: Path, *, listen: str | None = None, health: str | None = None) -> PdpSettings:
    """Read pdp.yaml; an address given here stands before the file's. Raises ConfigError with every problem."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError.about(path, f"can't be read ({error.strerror}); `sallyport init DIR` writes one") from None
    settings = load_model(PdpSettings, data, str(path), base=path.absolute().parent)
    changes = {"listen": loopback_address(listen)} if listen is not None else {}
    if health is not None:
        changes["health"] = health_address(health)
    return settings.model_copy(update=changes)
