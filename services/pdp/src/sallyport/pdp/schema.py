"""The whole Cedar schema: the base schema's types, and an action per tool, method and group.

Groups and methods are named outside the tools' alphabet ([A-Za-z0-9_.-]), so no tool's name collides with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from sallyport.contract.catalog import Catalog, Effect, Tool
from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.cedar_text import quote
from sallyport.pdp.types import CedarType, Field, Record, render

SERVER_ID = "sallyport"  # all that is served, at /mcp; a named set has its name
MCP = "group:mcp"
CALL_TOOL = "group:call_tool"
OPEN_WORLD = "group:open_world"
_EFFECT_GROUPS = {effect: f"group:{effect.value}" for effect in Effect}
_GROUPS: Mapping[str, tuple[str, ...]] = {
    MCP: (),
    CALL_TOOL: (MCP,),
    OPEN_WORLD: (CALL_TOOL,),
    **dict.fromkeys(_EFFECT_GROUPS.values(), (CALL_TOOL,)),
}


@dataclass(frozen=True, slots=True)
class Method:
    """What an MCP method touches, and which permissions it takes there; none: any role that may do anything."""

    on: Mapping[str, tuple[str, ...]]  # by type
    group: str = MCP


def _server(*permissions: str) -> Method:
    return Method({"Server": permissions})


def _content(**permissions: tuple[str, ...]) -> Method:
    """It has an upstream read something out, as a tool that only reads does: what is forbidden there is so here."""
    return Method(permissions, _EFFECT_GROUPS[Effect.READ_ONLY])


_TASK: Final = Method({"Tool": ("tools:call",)}, CALL_TOOL)
# Each MCP method that is judged. A row more is an action more.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "tools/list": _server("tools:list"),
        "resources/list": _server("resources:list"),
        "resources/templates/list": _server("resources:list"),
        "resources/read": _content(McpResource=("resources:read",)),
        "resources/subscribe": _content(McpResource=("resources:read",)),
        "prompts/list": _server("prompts:list"),
        "prompts/get": _content(Prompt=("prompts:get",)),
        # Completions tell of what only its readers may know.
        "completion/complete": _content(
            Prompt=("completion:complete", "prompts:get"), McpResource=("completion:complete", "resources:read")
        ),
        "tasks/get": _TASK,
        "tasks/update": _TASK,
        "tasks/cancel": _TASK,
        "logging/setLevel": _server("system:manage"),  # changes the server for everybody
        "server/discover": _server(),
        "subscriptions/listen": _server(),  # what is listened to is judged by itself
        "method:initialize": _server(),
        "method:ping": _server(),
    }
)
TASKS: Final = tuple(name for name, method in METHODS.items() if method is _TASK)


@dataclass(frozen=True, slots=True)
class Action:
    """A tool, a method or a group, as the schema declares it."""

    name: str
    parents: frozenset[str]  # with theirs
    resource_types: frozenset[str]
    context: Record
    tool: Tool | None = None
    alone: Mapping[str, str] = field(default_factory=dict)  # type -> the one id that it can touch of that type

    @property
    def askable(self) -> bool:
        """Groups are for policies; no request may name one."""
        return self.name not in _GROUPS

    @property
    def session(self) -> Record:
        typed = self.context.fields["session"].type
        return typed if isinstance(typed, Record) else Record({})

    @property
    def input(self) -> Record:
        typed: CedarType = self.context.fields["input"].type if self.tool is not None else Record({})
        return typed if isinstance(typed, Record) else Record({})


def actions(base: BaseSchema, inputs: Mapping[str, Record], catalog: Catalog) -> dict[str, Action]:
    """Every action by its name; `inputs` holds each tool's typed arguments."""
    session = _context(base.session, None)
    touched = frozenset(base.resources) | {"Tool"}
    served = touched | (base.model & {"Server", "Prompt", "McpResource"})
    declared = {
        name: Action(name, _with_theirs(direct), served if name == MCP else touched, session)
        for name, direct in _GROUPS.items()
    }
    server = {} if catalog.servers else {"Server": SERVER_ID}
    for name, method in METHODS.items():
        types = base.model & method.on.keys()
        if types:  # a base schema from before a type was known has no methods on it
            alone = server if "Server" in types else {}
            declared[name] = Action(name, _with_theirs((method.group,)), types, session, alone=alone)
    for tool in catalog.tools:
        types = frozenset(tool.resource_types)
        context = _context(base.session, inputs[tool.name])
        alone = {} if tool.resources else {"Tool": tool.name}
        declared[tool.name] = Action(tool.name, _with_theirs(_groups_of(tool)), types, context, tool, alone)
    return declared


def text(base: BaseSchema, declared: Mapping[str, Action], contexts: Mapping[str, Record] | None = None) -> str:
    """The schema as Cedar reads it. With `contexts`: for requests that carry only these parts of an action's context."""
    narrowed = contexts or {}
    actions = (_declaration(action, narrowed.get(action.name)) for action in declared.values())
    return base.text + "\n" + "\n".join(actions) + "\n"


def group_of(effect: Effect) -> str:
    return _EFFECT_GROUPS[effect]


def _groups_of(tool: Tool) -> tuple[str, ...]:
    return (group_of(tool.effect), OPEN_WORLD) if tool.open_world else (group_of(tool.effect),)


def _with_theirs(direct: Iterable[str]) -> frozenset[str]:
    return frozenset(name for group in direct for name in (group, *_with_theirs(_GROUPS[group])))


def _context(session: Record, arguments: Record | None) -> Record:
    fields = {"session": Field(session, True)}
    if arguments is not None:
        fields["input"] = Field(arguments, True)
    return Record(fields)


def _declaration(action: Action, context: Record | None) -> str:
    parents = ", ".join(quote(name) for name in sorted(action.parents))
    types = ", ".join(sorted(action.resource_types))
    within = f" in [{parents}]" if parents else ""
    arguments = f", input: {render(action.input)}" if action.tool else ""
    whole = f"{{session: Session{arguments}}}" if context is None else render(context)
    return (
        f"action {quote(action.name)}{within} appliesTo "
        f"{{principal: [Compound], resource: [{types}], context: {whole}}};"
    )
