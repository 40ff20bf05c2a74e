"""What we look at of a cluster's objects, and no more of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Workload:
    """What made the pods, and what events are about."""

    kind: str  # StatefulSet, Deployment, or whatever owns them
    name: str
    uid: str  # empty where we may not read it


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    ready: bool
    restarts: int
    created: datetime
    ending: bool
    waiting: str  # why a container doesn't run, or empty
    annotations: Mapping[str, str]
    owner: Workload | None


@dataclass(frozen=True, slots=True)
class ConfigMap:
    name: str
    version: str  # changes with every write; empty where there is none
    files: Mapping[str, bytes]

    @classmethod
    def absent(cls, name: str) -> ConfigMap:
        return cls(name, "", {})

    @property
    def exists(self) -> bool:
        return bool(self.version)


@dataclass(frozen=True, slots=True)
class Event:
    at: datetime
    warning: bool
    reason: str
    message: str
    about: str  # name of the object
