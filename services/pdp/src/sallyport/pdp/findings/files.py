"""Findings about the files beside the policies: what stands there and can never matter."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from cedarpy import pst

from sallyport.pdp import agents, gates, resources, roles
from sallyport.pdp.cedar_text import entity
from sallyport.pdp.findings.finding import Finding, about
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.findings.reach import can_match, kinds, written
from sallyport.pdp.findings.scopes import walls
from sallyport.pdp.load import CATALOG
from sallyport.pdp.resources import Resources
from sallyport.pdp.roles import Role
from sallyport.pdp.schema import METHODS


def uncallable(parts: Parts) -> Iterator[Finding]:
    """A tool that no role lets through, or that no policy permits: it is served, and always refused."""
    closed = walls(parts)
    permitted = {
        kind.action.name
        for policy in parts.snapshot.policies
        if policy.permits
        for kind in kinds(policy, parts)
        if can_match(policy, kind) and (kind.action.name, kind.types.resource) not in closed
    }
    shut = {policy.id for policy in parts.snapshot.policies if not policy.permits and not policy.node.clauses}
    for at, tool in enumerate(parts.snapshot.catalog.tools):
        place = parts.place(CATALOG, "tools", at, "name")
        if f"{gates.PREFIX}gate:{tool.name}" in shut:
            message = f"tool {tool.name}: nobody can ever call it: no role holds what its gate asks for"
            mend = "give a role tools:call, and resources:read or resources:write by the tool's effect"
        elif tool.name not in permitted:
            message = f"tool {tool.name}: nobody can ever call it: no policy permits it, or one forbids it to all"
            mend = f'write a permit for action == Action::"{tool.name}", or take the tool out of the catalog'
        else:
            continue
        yield Finding("uncallable", *place, tool.name, message, mend)


def unreadable(parts: Parts) -> Iterator[Finding]:
    """What upstreams offer besides tools, where no role lets anybody have it or one policy forbids it to all."""
    closed, catalog = walls(parts), parts.snapshot.catalog
    for key, action, kind, listed in (
        ("prompts", "prompts/get", "Prompt", catalog.prompts),
        ("resources", "resources/read", "McpResource", catalog.resources),
    ):
        wall = closed.get((action, kind)) if listed else None
        if wall is not None:
            message = f"{key}: nobody can ever have any of them: {wall.id} forbids {action} to everybody"
            mend = f"give a role {METHODS[action].on[kind][0]}, narrow the forbid, or take them out of the catalog"
            yield Finding("unreadable", *parts.place(CATALOG, key), key, message, mend)


def idle_roles(parts: Parts) -> Iterator[Finding]:
    """A role that changes nothing for anybody who has it."""
    named = {
        uid.id
        for policy in parts.snapshot.policies
        if policy.statement.file != gates.FILE
        for uid in pst.entity_uids((policy.node.principal, *policy.node.clauses))
        if str(uid.type) == "Role"
    }
    used = named | {parent for role in parts.roles.values() for parent in role.parents}
    for role in parts.roles.values():
        same = [up for up in role.parents if parts.roles[up].permissions == role.permissions]
        if role.name in used or role.on or (role.permissions and not same):
            continue
        what = f"nothing but what {same[0]} holds" if same else "nothing"
        message = f"role {role.name}: it holds {what}, and no policy names it"
        mend = "give it a permission, name it in a policy, or remove it"
        yield Finding("idle-role", *parts.place(roles.FILE, "roles", role.name), role.name, message, mend)


def idle_permissions(parts: Parts) -> Iterator[Finding]:
    """A permission that the same role holds already, so that taking it away changes nothing."""
    said = _said(parts, roles.FILE, "roles")
    for name, role in parts.roles.items():
        own = list(said[name].get("permissions", ()))
        for at, permission in enumerate(own):
            why = _held(permission, own[:at], own, role, parts.roles)
            if why:
                place = (roles.FILE, *parts.documents[roles.FILE].position(["roles", name, "permissions", at]))
                message = f"role {name}: {permission} adds nothing: {why}"
                yield Finding("idle-permission", *place, name, message, "remove it")


def idle_entries(parts: Parts) -> Iterator[Finding]:
    """An entry of resources.yaml that no request can need, or that says what the next wider one says."""
    touched = {kind for rules in parts.snapshot.rules.values() for kind in rules.action.resource_types}
    for type_name, entries in _said(parts, resources.FILE, "resources").items():
        if entries and type_name not in touched:
            message = f"{type_name}: no tool touches this type, so none of its entries is ever looked at"
            mend = "name the type under a tool's `resources` in catalog.yaml, or remove the entries"
            yield Finding("idle-entry", *parts.place(resources.FILE, "resources", type_name), type_name, message, mend)
            continue
        for key, attributes in entries.items():
            wider = _wider(key, entries)
            if wider and entries[wider] == attributes:
                place = parts.place(resources.FILE, "resources", type_name, key)
                message = f"{type_name} {key!r} says the same as {wider!r}, which takes it in"
                yield Finding("idle-entry", *place, f"{type_name}::{key}", message, "remove it, or say what differs")


def unknown_resources(parts: Parts) -> Iterator[Finding]:
    """A resource that a policy names and that resources.yaml can't mean: with a slip in it, a forbid forbids nothing."""
    for policy in written(parts):
        node = policy.node
        for uid in sorted(pst.entity_uids((node.resource, *node.clauses)), key=str):
            kind = str(uid.type)
            if not _lists(parts.resources, kind) or _takes_in(parts.resources, kind, uid.id):
                continue
            near = difflib.get_close_matches(uid.id[:128], list(parts.resources.exact.get(kind, ())), n=1)
            hint = f"did you mean {near[0]!r}? Else " if near else ""
            message = f"{resources.FILE} has no entry, prefix or default for {entity(kind, uid.id)}"
            mend = f"{hint}add it to {resources.FILE}, or correct the name"
            yield about(policy, "unknown-resource", policy.statement.find_entity(kind, uid.id), message, mend)


def _lists(known: Resources, kind: str) -> bool:
    """A type of which the file says nothing at all is looked up by its tools."""
    return bool(known.exact.get(kind) or known.beneath.get(kind))


def _takes_in(known: Resources, kind: str, identity: str) -> bool:
    """Is there an entry that this id falls to?"""
    if kind in known.defaults or identity in known.exact.get(kind, ()):
        return True
    plain = {".", ".."}.isdisjoint(identity.split("/"))
    return plain and any(identity.startswith(prefix) for prefix in known.beneath.get(kind, ()))


def deserted_orgs(parts: Parts) -> Iterator[Finding]:
    """An org that no agent may work in: whoever belongs to it can do nothing at all."""
    at_work = {org for agent in parts.agents.values() for org in agent.orgs}
    for at, org in enumerate(_said(parts, resources.FILE)["orgs"]):
        if org not in at_work:
            place = (resources.FILE, *parts.documents[resources.FILE].position(["orgs", at]))
            message = f"org {org}: no agent of {agents.FILE} may work in it, so nobody in it can do anything"
            yield Finding(
                "deserted-org", *place, org, message, f"add it to an agent's `orgs` in {agents.FILE}, or remove it"
            )


def _held(permission: str, before: list[str], own: list[str], role: Role, every: Mapping[str, Role]) -> str:
    """Why a permission is held without being said here, or nothing."""
    if permission in before:
        return "it is said twice"
    above = [up for up in role.parents if permission in every[up].permissions]
    if above:
        return f"{above[0]}, which the role is in, holds it"
    if permission.startswith(roles.CALL):
        wide = [one for one in ("tools:call", "tools:*") if one in role.permissions]
        return f"{wide[0]} holds it for every tool" if wide else ""
    star = permission.split(":", maxsplit=1)[0] + ":*"
    return f"{star} holds it" if permission != star and star in own else ""


def _wider(key: str, entries: Mapping[str, Any]) -> str:
    """The entry that an id would fall to without its own."""
    prefix = key.removesuffix("/*")
    while "/" in prefix:
        prefix = prefix.rpartition("/")[0]
        if f"{prefix}/*" in entries:
            return f"{prefix}/*"
    return ""


def _said(parts: Parts, file: str, *path: str) -> Mapping[str, Any]:
    """A mapping as it stands in the file; one that isn't there is empty."""
    found: Any = parts.documents[file].value
    for step in path:
        found = found.get(step) or {}
    return found if isinstance(found, dict) else {}
