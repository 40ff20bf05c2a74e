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
    version: str  # changes with every write
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Event:
    at: datetime
    warning: bool
    reason: str
    message: str
    about: str  # name of the object
