"""What a case may leave out because the catalog says it: the argument that names the resource, and defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sallyport.contract.catalog import Hosted, ResourceMapping, Tool
from sallyport.pdp.schema import SERVER_ID, Action


def uid(action: Action | None, said: str) -> tuple[str, str]:
    """`File::alice/notes.txt` in its two parts; quotes around the id, as Cedar has them, may stand there."""
    types = action.resource_types if action is not None else frozenset[str]()
    # A type's own name may hold `::`, and so may an id: the longest type that fits is meant.
    known = max((kind for kind in types if said.startswith(kind + "::")), key=len, default="")
    kind, _, name = (known, "::", said[len(known) + 2 :]) if known else said.partition("::")
    quoted = len(name) > 1 and name[0] == name[-1] == '"' and "\\" not in name
    return kind, name[1:-1] if quoted else name


def resource_of(action: Action | None, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """The one resource that these arguments name; the tool or the server itself where there is no other."""
    if action is not None and "Server" in action.resource_types:
        return "Server", SERVER_ID
    if action is None or action.tool is None:
        return None
    if not action.tool.resources:
        return "Tool", action.name
    named = [(mapping.type, arguments.get(name)) for mapping, name in _plain_mappings(action.tool)]
    if len(action.tool.resources) == 1 and len(named) == 1 and isinstance(named[0][1], str):
        return named[0][0], named[0][1]
    return None


def filled(action: Action | None, resource: tuple[str, str], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """With the resource's id where the catalog points, and a hosted tool's defaults: the PEP fills those in too."""
    given = dict(arguments)
    if action is None or action.tool is None:
        return given
    for mapping, name in _plain_mappings(action.tool):
        if mapping.type == resource[0]:
            given.setdefault(name, resource[1])
    if isinstance(action.tool.provider, Hosted):
        properties = action.tool.input.get("properties")
        for name, schema in properties.items() if isinstance(properties, Mapping) else ():
            if isinstance(schema, Mapping) and "default" in schema:
                given.setdefault(name, schema["default"])
    return given


def _plain_mappings(tool: Tool) -> Iterator[tuple[ResourceMapping, str]]:
    """Those that point at one argument by its name."""
    for mapping in tool.resources:
        if isinstance(mapping.id, str) and mapping.id.count("/") == 1:
            yield mapping, mapping.id[1:].replace("~1", "/").replace("~0", "~")
