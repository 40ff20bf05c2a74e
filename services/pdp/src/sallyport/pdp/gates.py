"""Roles compiled to Cedar that an operator can read: a gate per action, and the few permits that roles give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    """May somebody with this role alone call the tool, as far as roles go?"""
    return all(role.holds(*alternatives) for alternatives in _needed(tool))


def _needed(tool: Tool) -> tuple[tuple[str, ...], ...]:
    """What a call takes: one permission out of each group."""
    call = ("tools:call", CALL + tool.name, "tools:*")
    if tool.resource_types == ("Tool",):
        return (call,)
    touch = "resources:read" if tool.effect is Effect.READ_ONLY else "resources:write"
    return (call, (touch, "resources:*"))


def _method(method: str, needed: str | None, roles: Iterable[Role]) -> Iterator[str]:
    """A method touches the server alone, so its permission is its permit."""
    holders = [
        role
        for role in roles
        if (role.permissions if needed is None else role.holds(needed, f"{needed.split(':')[0]}:*"))
    ]
    yield _gate(method, [holders])
    yield from _permit(method, holders)


def _tool(tool: Tool, roles: Iterable[Role]) -> Iterator[str]:
    """A user's roles add up: one may let them call, another touch."""
    holders = [[role for role in roles if role.holds(*alternatives)] for alternatives in _needed(tool)]
    yield _gate(tool.name, holders)
    if tool.resource_types == ("Tool",):
        yield from _permit(tool.name, holders[0])


def _gate(action: str, holders: Sequence[Sequence[Role]]) -> str:
    conditions = " && ".join(_principal_in(group) for group in holders)
    unless = f"\nunless {{ {conditions} }}" if all(holders) else ""
    return f"@id({quote(f'{PREFIX}gate:{action}')})\nforbid (principal, {_action(action)}, resource){unless};\n"


def _permit(action: str, holders: Sequence[Role]) -> Iterator[str]:
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


def _principal_in(holders: Iterable[Role]) -> str:
    return f"principal in [{', '.join(entity('Role', role.name) for role in holders)}]"


def _action(name: str) -> str:
    return f"action == {entity('Action', name)}"
