"""A permit as the decision room gives it, and a way through `Tools` with nothing left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from json import dumps

from sallyport.contract.catalog import Hosted, Limits, Tool
from sallyport.pep.model import CheckedCall, Identity, Json, Resolved, ResourceRef, ToolOutput, Unresolved
from sallyport.pep.tools import Tools
from sallyport.runtime import canonical_json

ALICE = Identity("laptop", "alice", "coding-bot", "acme", "0" * 32)


class Spent(Exception):
    """What a permit raises that doesn't stand for the call."""


@dataclass(slots=True)
class Permit:
    tool_name: str
    arguments_digest: str
    resolved: tuple[Resolved, ...]
    identity: Identity = ALICE
    dead: bool = False
    redeemed: list[tuple[str, str, str]] = field(default_factory=list)

    def redeem(self, *, method: str, name: str, digest: str) -> None:
        if self.dead or self.redeemed or (name, digest) != (self.tool_name, self.arguments_digest):
            raise Spent
        self.redeemed.append((method, name, digest))


class Catalogs:
    """One entry per name, all under one digest."""

    def __init__(self, *names: str, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._names = names

    def tool(self, digest: str, name: str) -> Tool | None:
        return self._entry(name) if name in self._names and digest == "c" * 64 else None

    def entries(self, name: str) -> tuple[Tool, ...]:
        return (self._entry(name),) if name in self._names else ()

    def _entry(self, name: str) -> Tool:
        return Tool(name=name, provider=Hosted(hosted=name), input={"type": "object"}, limits=self._limits)


def call_of(name: str, arguments: dict[str, Json], *resources: ResourceRef) -> CheckedCall:
    canonical = canonical_json.encode(arguments)
    return CheckedCall(name, arguments, canonical, hashlib.sha256(canonical).hexdigest(), resources, "c" * 64)


async def through(tools: Tools, call: CheckedCall, identity: Identity = ALICE) -> ToolOutput | Unresolved:
    """Resolve, permit, run."""
    resolved = await tools.resolve(identity, call)
    if isinstance(resolved, Unresolved):
        return resolved
    return await tools.run(Permit(call.name, call.digest, resolved, identity), call)


def shown(output: ToolOutput | Unresolved) -> str:
    return dumps(output.content, ensure_ascii=False) if isinstance(output, ToolOutput) else ""
