"""What is to run and within which bounds: fixed at the start; no request changes any of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

from sallyport.runtime import canonical_json, strict_json


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one session's server. None: as the bridge itself."""

    cpu_seconds: int | None = None  # of each process
    memory_mib: int | None = None  # of each process
    files: int | None = None  # of each process
    processes: int | None = None  # more than its user has when it starts


@dataclass(frozen=True, slots=True)
class Plan:
    program: str  # absolute
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    limits: Limits = Limits()
    read_only: bool = False

    def encode(self) -> str:
        return canonical_json.encode(asdict(self) | {"arguments": list(self.arguments)}).decode()

    @classmethod
    def decode(cls, text: str) -> Plan:
        found = cast("dict[str, Any]", strict_json.parse(text.encode()))
        return cls(**found | {"arguments": tuple(found["arguments"]), "limits": Limits(**found["limits"])})
