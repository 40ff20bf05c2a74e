"""The whole Cedar schema: the base schema's types, and an action per tool, method and group.

Groups and methods are named outside the tools' alphabet ([A-Za-z0-9_.-]), so no tool's name collides with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sallyport.contract.catalog import Effect, Tool
from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.cedar_text import quote
from sallyport.pdp.types import CedarType, Field, Record, render

SERVER_ID = "sallyport"
# Each MCP method that is judged, and the permission it needs; None: any role that may do anything may connect.
METHODS: Mapping[str, str | None] = MappingProxyType(
    {
        "tools/list": "tools:list",
        "resources/list": "resources:list",
        "prompts/list": "prompts:list",
        "prompts/get": "prompts:get",
        "logging/setLevel": "system:manage",  # changes the server for everybody
        "server/discover": None,
        "method:initialize": None,
        "method:ping": None,
    }
)
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
class Action:
    """A tool, a method or a group, as the schema declares it."""

    name: str
    parents: frozenset[str]  # with theirs
    resource_types: frozenset[str]
    context: Record
    tool: Tool | None = None

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


def actions(base: BaseSchema, inputs: Mapping[str, Record], tools: Iterable[Tool]) -> dict[str, Action]:
    """Every action by its name; `inputs` holds each tool's typed arguments."""
    touched = frozenset(base.resources) | {"Tool"}
    declared = {
        name: Action(
            name, _with_theirs(direct), touched | {"Server"} if name == MCP else touched, _context(base.session, None)
        )
        for name, direct in _GROUPS.items()
    }
    for name in METHODS:
        declared[name] = Action(name, _with_theirs((MCP,)), frozenset({"Server"}), _context(base.session, None))
    for tool in tools:
        types = frozenset(mapping.type for mapping in tool.resources) or frozenset({"Tool"})
        declared[tool.name] = Action(
            tool.name, _with_theirs(_groups_of(tool)), types, _context(base.session, inputs[tool.name]), tool
        )
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
