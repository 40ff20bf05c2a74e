"""What a tool author gets: a façade without the server, the PDP or the other tools behind it.

    @hosted_tool("read_file", pool=pool, resolver=resolve)
    async def read_file(call: HostedCall) -> ToolOutput: ...

The decorator only makes a value; a tool exists once it stands in the explicit table of `hosting.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sallyport.contract.catalog import Limits
from sallyport.pep.model import CheckedCall, Identity, Json, Resolved, ToolOutput, Unresolved
from sallyport.pep.tools.pool import Pool

__all__ = [
    "Function",
    "HostedCall",
    "HostedTool",
    "Pool",
    "Registry",
    "Resolver",
    "ToolFailure",
    "hosted_tool",
]


class ToolFailure(Exception):
    """An orderly failure whose effect is known. `public` may be shown: it names only the caller's own input."""

    def __init__(self, public: str) -> None:
        super().__init__(public)
        self.public = public


@dataclass(frozen=True, slots=True)
class HostedCall:
    """One permitted call. `resolved` holds the handles that were judged: use them, look nothing up again."""

    arguments: Mapping[str, Json]  # judged, with defaults; the schema has been checked
    resolved: tuple[Resolved, ...]
    identity: Identity  # alice via coding-bot, for whatever runs downstream
    limits: Limits


Function: TypeAlias = Callable[[HostedCall], Awaitable[ToolOutput]]
# Runs before the decision: an expected case is `Unresolved`, never an exception, and nothing is changed.
Resolver: TypeAlias = Callable[[Identity, CheckedCall], Awaitable[tuple[Resolved, ...] | Unresolved]]


@dataclass(frozen=True, slots=True)
class HostedTool:
    """A tool as its author wrote it. It is run by `Tools.run` alone."""

    name: str
    function: Function
    pool: Pool
    resolver: Resolver | None = None


def hosted_tool(name: str, *, pool: Pool, resolver: Resolver | None = None) -> Callable[[Function], HostedTool]:
    """Turn an async function into a hosted tool that shares `pool` with its neighbours."""
    return lambda function: HostedTool(name, function, pool, resolver)


class Registry:
    """The closed list of hosted tools, made once at the start."""

    def __init__(self, tools: Iterable[HostedTool]) -> None:
        self._tools: Final[dict[str, HostedTool]] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ValueError(f"two hosted tools are named {tool.name!r}: rename one")
            self._tools[tool.name] = tool

    def get(self, name: str) -> HostedTool | None:
        return self._tools.get(name)

    def __iter__(self) -> Iterator[HostedTool]:
        return iter(self._tools.values())

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._tools)
