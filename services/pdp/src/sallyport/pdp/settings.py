"""pdp.yaml: where the PDP listens, what it reads, and how much it takes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sallyport.contract.limits import MAX_BATCH_MESSAGE_BYTES
from sallyport.pdp.authzen.settings import Authzen
from sallyport.runtime import addresses
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.settings import ConfigPath, Settings, load_model


class Limits(Settings):
    deadline_ms: int = Field(default=500, ge=1, le=10_000)
    concurrency: int = Field(default=1024, ge=1, le=4096)  # calls being received or answered
    message_bytes: int = Field(default=1_310_720, ge=MAX_BATCH_MESSAGE_BYTES, le=16 << 20)


class Telemetry(Settings):
    otlp_endpoint: str = ""  # empty: no spans are made


class Audit(Settings):
    """The PDP's own stream, the second witness of each decision."""

    directory: ConfigPath
    signing_key: ConfigPath
    masking_key: ConfigPath


class Reload(Settings):
    """How changes of the policy directory come into force."""

    poll_ms: int = Field(default=500, ge=50, le=60_000)  # between looks at the directory
    seconds: int = Field(default=60, ge=1, le=600)  # the most that checking a set may take
    tests: Literal["ignore", "require"] = "ignore"  # require: a set whose own tests fail is refused
    operator_key: ConfigPath | None = None  # who holds it may ask for a reload; none: nobody may


class PdpSettings(Settings):
    listen: Annotated[str, AfterValidator(addresses.same_machine)]
    health: Annotated[str, AfterValidator(addresses.network)]
    metrics: Annotated[str, AfterValidator(addresses.network)] | None = None  # Prometheus; none: not served
    policies: ConfigPath
    hop_key: ConfigPath
    audit: Audit
    reload: Reload = Reload()
    limits: Limits = Limits()
    telemetry: Telemetry = Telemetry()
    authzen: Authzen | None = None  # for other gateways; none: not served


def load(path: Path, *, listen: str | None = None, health: str | None = None) -> PdpSettings:
    """Read pdp.yaml; an address given here stands before the file's. Raises ConfigError with every problem."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError.about(path, f"can't be read ({error.strerror}); `sallyport init DIR` writes one") from None
    settings = load_model(PdpSettings, data, str(path), base=path.absolute().parent)
    changes = {"listen": addresses.same_machine(listen)} if listen is not None else {}
    if health is not None:
        changes["health"] = addresses.network(health)
    return settings.model_copy(update=changes)
