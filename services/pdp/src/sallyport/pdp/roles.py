"""roles.yaml: who may ask at all. Roles are gates; a gate's permission is itself a permit only on the tool, or by `on`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field as Setting
from pydantic import StringConstraints

from sallyport.contract.limits import MAX_ROLE_BYTES
from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.types import STRING, Field
from sallyport.runtime import settings, strict_yaml
from sallyport.runtime.problems import ConfigError, Problem

FILE = "roles.yaml"
PERMISSIONS = (
    "tools:*",
    "tools:list",
    "tools:call",
    "resources:*",
    "resources:list",
    "resources:read",
    "resources:write",
    "prompts:*",
    "prompts:list",
    "prompts:get",
    "completion:*",
    "completion:complete",
    "system:*",
    "system:manage",
)
CALL = "tools:call:"
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ROLE_BYTES)]
Reach = Literal["own", "org", "any"]


class RoleEntry(settings.Settings):
    permissions: tuple[str, ...]
    within: tuple[Name, ...] = Setting(default=(), alias="in")
    on: dict[str, Reach] = Setting(default_factory=dict)


class RolesFile(settings.Settings):
    roles: dict[Name, RoleEntry] = Setting(min_length=1)


@dataclass(frozen=True, slots=True)
class Role:
    """A role with everything that it holds, its own and through `in`."""

    name: str
    parents: tuple[str, ...]
    permissions: frozenset[str]
    on: Mapping[str, Reach]

    def holds(self, *permissions: str) -> bool:
        """Does it hold one of these?"""
        return not self.permissions.isdisjoint(permissions)


def load(data: bytes, base: BaseSchema, tools: Iterable[str]) -> dict[str, Role]:
    """Every role by its name. Raises ConfigError with all problems."""
    entries = settings.load_model(RolesFile, data, FILE).roles
    document = strict_yaml.parse(data, FILE)
    names = frozenset(tools)
    problems = [
        Problem(FILE, *document.position(path), message, str(path[1]))
        for name, entry in entries.items()
        for path, message in _complaints(name, entry, entries, base, names)
    ]
    problems += [
        Problem(FILE, *document.position(["roles", name, "in"]), f"role {name} is in itself: {' in '.join(ring)}", name)
        for name in entries
        if (ring := _ring(name, entries))
    ]
    if problems:
        raise ConfigError(problems)
    return {name: _role(name, entries) for name in entries}


def closure(names: Iterable[str], roles: Mapping[str, Role]) -> frozenset[str]:
    """These roles and all that they are in."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += roles[name].parents
    return frozenset(found)


_Complaint = tuple[list[str | int], str]


def _complaints(
    name: str, entry: RoleEntry, entries: Mapping[str, RoleEntry], base: BaseSchema, tools: frozenset[str]
) -> Iterator[_Complaint]:
    if not name.isprintable() or len(name.encode()) > MAX_ROLE_BYTES:
        yield (
            ["roles", name],
            f"a role's name is printable and has at most {MAX_ROLE_BYTES} bytes: no token has this one",
        )
    for at, permission in enumerate(entry.permissions):
        if permission not in PERMISSIONS and permission.removeprefix(CALL) not in tools - {permission}:
            yield ["roles", name, "permissions", at], _unknown_permission(permission, tools)
    for at, parent in enumerate(entry.within):
        if parent not in entries:
            yield ["roles", name, "in", at], f"no role {parent!r}{_near(parent, entries)}"
    for type_name, reach in entry.on.items():
        if message := _unreachable(type_name, reach, base):
            yield ["roles", name, "on", type_name], message


def _unreachable(type_name: str, reach: Reach, base: BaseSchema) -> str:
    kind = base.resources.get(type_name)
    if kind is None:
        return f"no resource type {type_name!r} in base.cedarschema{_near(type_name, base.resources)}"
    if reach == "own" and kind.attributes.fields.get("owner") != Field(STRING, True):
        return f"`own` needs `owner: String` on {type_name} in base.cedarschema; or say `org` and write a policy"
    return ""


def _unknown_permission(permission: str, tools: frozenset[str]) -> str:
    return f"no permission {permission!r}{_near(permission, [*PERMISSIONS, *(CALL + tool for tool in tools)])}"


def _near(name: str, valid: Iterable[str]) -> str:
    choices = sorted(valid)
    near = difflib.get_close_matches(name[:128], choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(choices[:20])}"


def _ring(start: str, entries: Mapping[str, RoleEntry]) -> list[str]:
    """The way from a role back to itself, or nothing."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for parent in entries[way[-1]].within if way[-1] in entries else ():
            if parent == start:
                return [*way, start]
            if parent not in seen:
                seen.add(parent)
                ways.append([*way, parent])
    return []


def _role(name: str, entries: Mapping[str, RoleEntry]) -> Role:
    held: set[str] = set()
    waiting, seen = [name], set[str]()
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            held |= set(entries[current].permissions)
            waiting += entries[current].within
    return Role(name, entries[name].within, frozenset(held), entries[name].on)
