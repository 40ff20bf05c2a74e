"""The sample people and agents, as the shipped policies know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Person:
    org: str
    roles: tuple[str, ...]


PEOPLE: Final[Mapping[str, Person]] = MappingProxyType(
    {
        "alice": Person("acme", ("developer",)),
        "bob": Person("acme", ("developer",)),
        "carol": Person("globex", ("developer",)),
    }
)
