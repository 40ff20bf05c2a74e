"""What an upstream lists, held against the catalog: what is new, what changed, and what a reviewer must look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sallyport.cli.catalog import entries, findings, texts, yaml_text
from sallyport.cli.catalog.entries import Proposal
from sallyport.cli.catalog.findings import Finding
from sallyport.cli.catalog.lookalike import skeletons
from sallyport.contract.catalog import Catalog, UpstreamRef
from sallyport.pep.upstream.listing import Definition, Listing
from sallyport.pep.upstream.pin import pin

Kind = Literal["tools", "prompts", "resources"]
Look: TypeAlias = tuple[str, frozenset[str]]
KINDS: Final[tuple[Kind, ...]] = ("tools", "prompts", "resources")
_FROM_DEFINITION: Final = {
    "title": ("title", "annotations"),
    "description": ("description",),
    "input": ("inputSchema",),
    "output": ("outputSchema",),
    "arguments": ("arguments",),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """How a review was asked for."""

    upstream: str
    prefix: str = ""
    keep_open: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """One definition that isn't approved as it is now."""

    kind: Kind
    key: str  # the name that clients would see, or the URI
    there: str
    entry: Mapping[str, Any]
    pin: str  # empty for resources: those have no definition to hold on to
    changed: bool  # an entry for it is in the catalog
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    suggested: Mapping[str, Any]
    hinted: frozenset[str] = frozenset()  # which of these the upstream said itself


@dataclass(frozen=True, slots=True)
class Review:
    candidates: tuple[Candidate, ...]
    unusable: tuple[str, ...]  # what can't become an entry, and why
    approved: int  # definitions that are in the catalog as they are now

    def of(self, kind: Kind) -> tuple[Candidate, ...]:
        return tuple(candidate for candidate in self.candidates if candidate.kind == kind)


@dataclass(frozen=True, slots=True)
class Known:
    """The catalog as a review sees it."""

    catalog: Catalog | None
    values: Mapping[str, list[Any]]  # by kind, the entries as they are written
    before: Mapping[str, Definition]  # approved definitions, by pin


def review(listing: Listing, known: Known, asked: Asked) -> Review:
    return _Reviewer(listing, known, asked).review()


class _Reviewer:
    def __init__(self, listing: Listing, known: Known, asked: Asked) -> None:
        self._listing, self._known, self._asked = listing, known, asked
        self._approved = 0
        self._unusable: list[str] = []
        catalog = known.catalog
        self._others = frozenset(
            name
            for tool in (catalog.tools if catalog else ())
            if not (isinstance(tool.provider, UpstreamRef) and tool.provider.upstream == asked.upstream)
            for name in (tool.name, getattr(tool.provider, "tool", None))
            if name
        )

    def review(self) -> Review:
        candidates = (*self._named("tools"), *self._named("prompts"), *self._resources())
        return Review(candidates, tuple(self._unusable), self._approved)

    def _named(self, kind: Literal["tools", "prompts"]) -> tuple[Candidate, ...]:
        definitions = self._distinct(kind)
        taken = _taken(self._known.values.get(kind, []), self._asked.upstream)
        mine = {there: entry for there, entry in taken if there is not None}
        own = {there: self._look(there, mine.get(there)) for there in definitions}
        looks = [_look(str(entry.get("name"))) for there, entry in taken if there not in definitions]
        found = [
            self._candidate(
                kind, definition, mine.get(there), [*looks, *(look for one, look in own.items() if one != there)]
            )
            for there, definition in definitions.items()
        ]
        return tuple(candidate for candidate in found if candidate is not None)

    def _distinct(self, kind: Literal["tools", "prompts"]) -> dict[str, Definition]:
        found: dict[str, Definition] = {}
        twice: set[str] = set()
        for definition in self._listing.of(kind):
            there = definition.get("name")
            if not isinstance(there, str) or not 0 < len(there) <= entries.MAX_NAME:
                self._unusable.append(f"{kind}: one without a name of 1 to {entries.MAX_NAME} characters")
            elif there in found and pin(found[there]) != pin(definition):
                twice.add(there)
            else:
                found[there] = definition
        for there in twice:
            del found[there]
            self._unusable.append(f"{kind}: {texts.shown(there)} is listed more than once, in different words")
        return found

    def _candidate(
        self,
        kind: Literal["tools", "prompts"],
        definition: Definition,
        mine: Mapping[str, Any] | None,
        looks: list[Look],
    ) -> Candidate | None:
        there, digest = str(definition["name"]), pin(definition)
        if mine is not None and mine.get("pin") == digest:
            self._approved += 1
            return None
        name = self._name(there, mine)
        if kind == "tools":
            proposal = entries.of_tool(definition, self._asked.upstream, name, keep_open=self._asked.keep_open)
        else:
            proposal = entries.of_prompt(definition, self._asked.upstream, name)
        entry: Mapping[str, Any] = {**proposal.entry, "pin": digest}
        if mine is not None:
            entry = _renewed(mine, entry, definition, self._known.before.get(str(mine.get("pin"))))
        told = (
            *self._alike(there, name, looks),
            *proposal.findings,
            *findings.of_definition(definition, self._others),
            *_unwritable(entry),
        )
        notes, suggested, hinted = proposal.notes, proposal.suggested, proposal.hinted
        return Candidate(kind, name, there, entry, digest, mine is not None, told, notes, suggested, hinted)

    def _name(self, there: str, mine: Mapping[str, Any] | None) -> str:
        return str(mine["name"]) if mine is not None else entries.exposed(there, self._asked.prefix)

    def _look(self, there: str, mine: Mapping[str, Any] | None) -> Look:
        """By the name that a catalog can hold, and by the one that the upstream wrote."""
        name = self._name(there, mine)
        return name, skeletons(name) | skeletons(self._asked.prefix + there)

    def _alike(self, there: str, name: str, looks: Iterable[Look]) -> Iterator[Finding]:
        own = skeletons(name) | skeletons(self._asked.prefix + there)
        for other, theirs in looks:
            taken = other.casefold() == name.casefold()
            if not taken and own.isdisjoint(theirs):
                continue
            what = f"{name} is taken by another entry" if other == name else f"looks like {texts.shown(other)}"
            yield Finding("name", f"{what}; pull again with --prefix {self._asked.upstream}_", taken)

    def _resources(self) -> Iterator[Candidate]:
        held = {
            value
            for entry in self._known.values.get("resources", [])
            for value in (entry.get("uri"), entry.get("template"))
            if value
        }
        seen: set[str] = set()
        for field, kind in (("uri", "resources"), ("template", "templates")):
            for definition in self._listing.of("resources" if kind == "resources" else "templates"):
                proposal = entries.of_resource(definition, self._asked.upstream, field)
                key = str(proposal.entry[field]) if proposal else ""
                if proposal is None:
                    self._unusable.append(f"{kind}: one without a URI that a catalog can hold")
                elif key in held:
                    self._approved += 1
                elif key not in seen:
                    seen.add(key)
                    yield self._resource(key, definition, proposal)

    def _resource(self, key: str, definition: Definition, proposal: Proposal) -> Candidate:
        told = (
            *proposal.findings,
            *findings.of_definition(definition, self._others, read=("name", "title", "description")),
            *_unwritable(proposal.entry),
        )
        return Candidate("resources", key, key, proposal.entry, "", False, told, (), {})


def _taken(values: Iterable[Mapping[str, Any]], upstream: str) -> list[tuple[str | None, Mapping[str, Any]]]:
    """The catalog's entries, each with its name at this upstream, or None where it is somebody else's."""
    return [(there_of(entry, upstream), entry) for entry in values]


def there_of(entry: Mapping[str, Any], upstream: str) -> str | None:
    provider = entry.get("provider")
    if isinstance(provider, Mapping):
        return str(provider.get("tool") or entry.get("name")) if provider.get("upstream") == upstream else None
    return str(entry.get("prompt") or entry.get("name")) if entry.get("upstream") == upstream else None


def _look(name: str) -> Look:
    return name, skeletons(name)


def _renewed(
    mine: Mapping[str, Any], proposed: Mapping[str, Any], definition: Definition, before: Definition | None
) -> dict[str, Any]:
    """The entry as it was approved, with what the upstream says otherwise now; what an operator wrote stays."""
    found = {**mine, "pin": proposed["pin"]}
    for key, fields in _FROM_DEFINITION.items():
        if "pin" not in mine and key in mine:
            continue  # it was never the upstream's
        if before is not None and all(before.get(field) == definition.get(field) for field in fields):
            continue
        if key in proposed:
            found[key] = proposed[key]
        else:
            found.pop(key, None)
    return found


def _unwritable(entry: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        yaml_text.checked("\n".join(yaml_text.lines([entry])) + "\n", [entry])
    except yaml_text.NotWritable as error:
        yield Finding("/", str(error))
