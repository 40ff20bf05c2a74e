"""Roles compiled to Cedar that an operator can read: a gate per action, and the few permits that roles give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sallyport.contract.catalog import Effect, Hosted, Tool
from sallyport.pdp.cedar_text import entity, quote
from sallyport.pdp.roles import CALL, Reach, Role
from sallyport.pdp.schema import METHODS, TASKS, Action

FILE = "(compiled from roles.yaml)"
PREFIX = "role:"
_CONDITIONS: Mapping[Reach, str] = {
    "own": "resource.org == principal.org && resource.owner == principal.user_id",
    "org": "resource.org == principal.org",
    "any": "true",
}


def compile_roles(roles: Mapping[str, Role], declared: Mapping[str, Action]) -> str:
    """Cedar text: what no role lets through is forbidden, whatever other policies permit."""
    catalog = tuple(action.tool for action in declared.values() if action.tool is not None)
    methods = [declared[name] for name in METHODS if name in declared]
    policies = [policy for method in methods for policy in _method(method, roles.values())]
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


def _method(method: Action, roles: Iterable[Role]) -> Iterator[str]:
    """What a method touches stands in the catalog, with its tenants, so its permission is its permit."""
    on = METHODS[method.name].on
    for kind in (kind for kind in on if kind in method.resource_types):
        one = len(on) == 1
        scope = _Scope(
            method.name if one else f"{method.name}:{kind}",
            _action(method.name),
            "resource" if one else f"resource is {kind}",
        )
        holders = [[role for role in roles if _lets(role, needed)] for needed in on[kind]]
        holders = holders or [[role for role in roles if role.permissions]]
        yield _gate(scope, holders)
        yield from _permit(scope, holders)


def _lets(role: Role, needed: str) -> bool:
    some_tool = needed == "tools:call" and any(held.startswith(CALL) for held in role.permissions)
    return some_tool or role.holds(needed, f"{needed.split(':', maxsplit=1)[0]}:*")


def _tool(tool: Tool, roles: Iterable[Role]) -> Iterator[str]:
    """A user's roles add up: one may let them call, another touch."""
    holders = [[role for role in roles if role.holds(*alternatives)] for alternatives in _needed(tool)]
    scope = _Scope(tool.name, _action(tool.name), "resource")
    yield _gate(scope, holders)
    if tool.resource_types == ("Tool",):
        yield from _permit(scope, holders)
    # A task is a call that goes on: whoever may not make the call may not go on with it. Hosted tools have none.
    if not isinstance(tool.provider, Hosted) and holders != [[role for role in roles if _lets(role, "tools:call")]]:
        actions = ", ".join(entity("Action", name) for name in TASKS)
        itself = f"resource == {entity('Tool', tool.name)}"
        yield _gate(_Scope(f"tasks:{tool.name}", f"action in [{actions}]", itself), holders)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which requests a compiled policy is for."""

    name: str  # what its id ends in
    action: str
    resource: str


def _gate(scope: _Scope, holders: Sequence[Sequence[Role]]) -> str:
    unless = f"\nunless {{ {_in_each(holders)} }}" if all(holders) else ""
    identity = quote(f"{PREFIX}gate:{scope.name}")
    return f"@id({identity})\nforbid (principal, {scope.action}, {scope.resource}){unless};\n"


def _permit(scope: _Scope, holders: Sequence[Sequence[Role]]) -> Iterator[str]:
    if all(holders):
        identity = quote(f"{PREFIX}permit:{scope.name}")
        conditions = _in_each(holders)
        yield f"@id({identity})\npermit (principal, {scope.action}, {scope.resource})\nwhen {{ {conditions} }};\n"


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


def _in_each(holders: Iterable[Iterable[Role]]) -> str:
    return " && ".join(map(_principal_in, holders))


def _principal_in(holders: Iterable[Role]) -> str:
    return f"principal in [{', '.join(entity('Role', role.name) for role in holders)}]"


def _action(name: str) -> str:
    return f"action == {entity('Action', name)}"
