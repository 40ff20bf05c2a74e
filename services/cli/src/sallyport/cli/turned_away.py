"""A recorded refusal that no policy decided: what was wrong instead, and what an operator does about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sallyport.audit import show
from sallyport.audit.record import Record
from sallyport.cli import console
from sallyport.cli.plain import cut, plain
from sallyport.contract.catalog import Catalog, UpstreamRef

_POLICIES: Final = frozenset({"denied", "insufficient_scope"})  # these alone were the policies' word
_CATALOGS: Final = frozenset({"unknown_tool", "not_served", "quarantined"})  # no policy text says why
_MAX_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """One refusal as the PEP recorded it."""

    at: str
    tool: str
    reason: str
    detail: str
    not_served: str  # what the gate recorded to be wrong with the tool, if it did

    @property
    def by_the_catalog(self) -> bool:
        return self.reason in _CATALOGS


def find(directory: Path, decision_id: str) -> TurnedAway | None:
    """None for what isn't there, and for what policies decided."""
    refusals = show.records(directory, show.Filter(decision=decision_id, kinds=frozenset({"refusal"})))
    record = next((one for one in refusals if one.get("reason") not in _POLICIES), None)
    if record is None:
        return None
    at, tool, reason, detail = (str(record.get(key, "")) for key in ("time", "tool", "reason", "detail"))
    why = _not_served(directory, tool, at) if reason == "not_served" else ""
    return TurnedAway(at, tool, reason, detail, why)


def _not_served(directory: Path, tool: str, before: str) -> str:
    """The last that the gate recorded of it until then: the refusal itself says no more than the caller hears."""
    found = ""
    for record in show.records(directory, show.Filter(kinds=frozenset({"policy"}))):
        if record["time"] <= before:
            found = next(_about(record, tool), found)
    return found


def _about(record: Record, tool: str) -> Iterator[str]:
    told = record.get("not_served")
    return (str(text) for text in (told if isinstance(told, list) else ()) if f" {tool}: " in f" {text}")


def lines(found: TurnedAway, catalog: Catalog, directory: Path) -> Iterator[str]:
    what = f"{found.tool} was refused" if found.tool else "refused"
    yield _shown(f"recorded {found.at}: {what}, and not by a policy: {found.reason}")
    for why in filter(None, (found.detail, found.not_served)):
        yield _shown(f"  {why}")
    yield from (f"  next: {_shown(text)}" for text in _next(found, catalog, directory))


def _next(found: TurnedAway, catalog: Catalog, directory: Path) -> Iterator[str]:
    tool = catalog.tool(found.tool)
    upstream = tool.provider.upstream if tool and isinstance(tool.provider, UpstreamRef) else "UPSTREAM"
    if found.reason == "unknown_tool" and tool is not None:
        yield "the catalog has it today; call it again, and explain that decision"
    elif found.reason == "unknown_tool":
        yield f"nobody has approved a tool of that name; see what is offered: {_catalog('pull', directory)}"
        yield f"then, if it shall be: {_catalog('approve', directory, upstream, found.tool or 'NAME')}"
    elif found.reason == "quarantined":
        yield f"its definition isn't the approved one; see how: {_catalog('diff', directory, upstream)}"
        yield f"if that is well: {_catalog('pull', directory, upstream)}"
        yield f"and: {_catalog('approve', directory, upstream, found.tool or 'NAME')}"
    elif found.reason == "not_served":
        yield "the catalog has it, and the gate couldn't serve it; mend what is said above, or see the gate's log"
    else:
        record = console.command("audit", "show", directory)
        yield f"what came before and after it: {record}"


def _catalog(*words: str | Path) -> str:
    return console.command("catalog", *words)


def _shown(text: str) -> str:
    return cut(plain(text), _MAX_TEXT)
