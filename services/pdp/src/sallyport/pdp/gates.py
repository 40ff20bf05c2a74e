"""Roles compiled to Cedar that an operator can read: a gate per action, and the few permits that roles give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sallyport.contract.catalog import Effect, Tool
from sallyport.pdp.cedar_text import entity, quote
from sallyport.pdp.roles import CALL, Reach, Role
from sallyport.pdp.schema import METHODS

FILE = "(compiled from roles.yaml)"
PREFIX = "role:"
_CONDITIONS: Mapping[Reach, str] = {
    "own": "resource.org == principal.org && resource.owner == principal.user_id",
    "org": "resource.org == principal.org",
    "any": "true",
}


def compile_roles(roles: Mapping[str, Role], tools: Iterable[Tool]) -> str:
    """Cedar text: what no role lets through is forbidden, whatever other policies permit."""
    catalog = tuple(tools)
    policies = [policy for method, needed in METHODS.items() for policy in _method(method, needed, roles.values())]
    policies += [policy for tool in catalog for policy in _tool(tool, roles.values())]
    policies += [policy for role in roles.values() for policy in _reach(role, catalog)]
    return "\n".join(policies)


def may_call(role: Role, tool: Tool) -> bool:
    """May the role call the tool, as far as roles go?"""
    if not role.holds("tools:call", CALL + tool.name, "tools:*"):
        return False
    return tool.resource_types == ("Tool",) or role.holds(_touching(tool), "resources:*")


def _touching(tool: Tool) -> str:
    return "resources:read" if tool.effect is Effect.READ_ONLY else "resources:write"


def _method(method: str, needed: str | None, roles: Iterable[Role]) -> Iterator[str]:
    """A method touches the server alone, so its permission is its permit."""
    holders = [
        role.name
        for role in roles
        if (role.permissions if needed is None else role.holds(needed, needed.split(":")[0] + ":*"))
    ]
    yield _gate(method, holders)
    yield from _permit(method, holders)


def _tool(tool: Tool, roles: Iterable[Role]) -> Iterator[str]:
    holders = [role.name for role in roles if may_call(role, tool)]
    yield _gate(tool.name, holders)
    if tool.resource_types == ("Tool",):
        yield from _permit(tool.name, holders)


def _gate(action: str, holders: list[str]) -> str:
    unless = f"\nunless {{ {_principal_in(holders)} }}" if holders else ""
    return f"@id({quote(f'{PREFIX}gate:{action}')})\nforbid (principal, {_action(action)}, resource){unless};\n"


def _permit(action: str, holders: list[str]) -> Iterator[str]:
    if holders:
        identity = quote(f"{PREFIX}permit:{action}")
        yield (
            f"@id({identity})\npermit (principal, {_action(action)}, resource)\nwhen {{ {_principal_in(holders)} }};\n"
        )


def _reach(role: Role, tools: Iterable[Tool]) -> Iterator[str]:
    """`on`: what the role may call, it may call on resources of this type, as far as it says."""
    callable_tools = [tool for tool in tools if may_call(role, tool)]
    for type_name, reach in role.on.items():
        names = [tool.name for tool in callable_tools if type_name in tool.resource_types]
        if names:
            actions = ", ".join(entity("Action", name) for name in names)
            identity = quote(f"{PREFIX}on:{role.name}:{type_name}")
            yield (
                f"@id({identity})\npermit (principal in {entity('Role', role.name)}, action in [{actions}], "
                f"resource is {type_name})\nwhen {{ {_CONDITIONS[reach]} }};\n"
            )


def _principal_in(holders: Iterable[str]) -> str:
    return f"principal in [{', '.join(entity('Role', name) for name in sorted(holders))}]"


def _action(name: str) -> str:
    return f"action == {entity('Action', name)}"
