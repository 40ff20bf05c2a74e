"""Entries out of a review into catalog.yaml: all that was named or nothing, and only if the result would load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sallyport.cli import console
from sallyport.cli.catalog import kept, pending
from sallyport.cli.catalog import place as places
from sallyport.cli.catalog.editing import Text
from sallyport.cli.catalog.kept import Snapshot
from sallyport.cli.catalog.place import Place, Written
from sallyport.cli.catalog.review import KINDS, Asked, Candidate, Kind, Known, Review, review
from sallyport.cli.complaint import Complaint, Exit
from sallyport.pep.catalog import SchemaRefused
from sallyport.pep.schema import compile_schema
from sallyport.pep.upstream.listing import Definition
from sallyport.pep.upstream.pin import pin
from sallyport.runtime.problems import ConfigError


@dataclass(frozen=True, slots=True)
class Chosen:
    """A candidate, and the entry as the reviewer left it."""

    candidate: Candidate
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a pull left for one upstream."""

    snapshot: Snapshot
    review: Review
    entries: pending.Entries

    def of(self, kinds: Sequence[Kind]) -> list[Chosen]:
        return [
            Chosen(candidate, self.entries[candidate.kind][candidate.key])
            for kind in kinds
            for candidate in self.review.of(kind)
            if candidate.key in self.entries.get(kind, {})
        ]

    def chosen(self, kinds: Sequence[Kind], names: Sequence[str]) -> list[Chosen]:
        """Those with these names; a name is the one that clients would see, or the upstream's own."""
        known = self.of(kinds)
        found = {name: _called(name, known) for name in names}
        missing = next((name for name, ones in found.items() if not ones), None)
        if missing is not None:
            raise self._missing(missing, known)
        return list({(one.candidate.kind, one.candidate.key): one for ones in found.values() for one in ones}.values())

    def _missing(self, name: str, known: Sequence[Chosen]) -> Complaint:
        kind = next((one.candidate.kind for one in _called(name, self.of(KINDS))), None)
        if kind is not None:
            return Complaint(
                f"{name!r} waits among the {kind}, not among what was asked for",
                "tools are named without --prompts and --resources" if kind == "tools" else f"say --{kind}, too",
            )
        waiting = ", ".join(one.candidate.key for one in known[:20]) or "nothing does"
        return Complaint(
            f"{name!r} isn't among what waits for approval: {waiting}",
            "name those that are, or ask the upstream again with `catalog pull`",
        )


def _called(name: str, among: Sequence[Chosen]) -> list[Chosen]:
    return [one for one in among if name in {one.candidate.key, one.candidate.there}]


def known_of(place: Place, written: Written, upstream: str) -> Known:
    values = {kind: list(written.values.get(kind) or []) for kind in ("tools", "prompts", "resources")}
    return Known(written.catalog, values, before(place, upstream))


def before(place: Place, upstream: str) -> Mapping[str, Definition]:
    """What approvals stand on. It only tells old words: without it `diff` shows less, and everything is judged as it was."""
    try:
        return kept.approved(place, upstream)
    except ConfigError as error:
        console.warn(f"{error}; it is left aside, so old words can't be shown, and written anew at the next approval")
        return {}


def waiting(place: Place, written: Written, upstream: str) -> Waiting | None:
    """The review is made anew of what the upstream said, so that no edit of the file hides a finding."""
    snapshot = kept.read_snapshot(place, upstream)
    if snapshot is None:
        return None
    asked = Asked(upstream, snapshot.prefix, snapshot.keep_open)
    found = review(snapshot.listing, known_of(place, written, upstream), asked)
    return Waiting(snapshot, found, pending.read(place, upstream))


def entry_of(chosen: Chosen, effect: str | None) -> dict[str, Any]:
    """As it will stand. What nobody said an effect of is destructive. Raises Complaint."""
    entry = dict(chosen.entry)
    if chosen.candidate.pin and entry.get("pin") != chosen.candidate.pin:
        raise Complaint(
            f"{chosen.candidate.key}: the pin in the review isn't that of the definition that was pulled",
            "run `catalog pull` again, and review what it writes",
        )
    if chosen.candidate.kind != "tools":
        return entry
    entry["effect"] = effect or entry.get("effect") or "destructive"
    for key in ("input", "output"):
        problem = _unusable(entry.get(key)) if key in entry or key == "input" else ""
        if problem:
            raise Complaint(
                f"{chosen.candidate.key}: {key}: {problem}",
                f"write its {key} schema into the review, then approve again",
                Exit.REFUSED,
            )
    order = ("name", "title", "description", "effect")
    return {key: entry[key] for key in order if key in entry} | entry


def _unusable(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "there is no schema"
    try:
        compile_schema(schema)
    except SchemaRefused as refused:
        return str(refused)
    return ""


def edited(
    written: Written,
    name: str,
    entries: Iterable[tuple[Candidate, Mapping[str, Any]]],
    upstream: tuple[str, Mapping[str, Any]],
) -> Written:
    """catalog.yaml with these entries, and the upstream if it isn't there. Raises ConfigError, NotEditable."""
    text = Text.of(written.data.decode(), name)
    added: dict[Kind, list[Mapping[str, Any]]] = {"tools": [], "prompts": [], "resources": []}
    for candidate, entry in entries:
        if candidate.changed:
            held = [one.get("name") for one in text.value[candidate.kind]]
            text = text.renew(candidate.kind, held.index(candidate.key), entry)
        else:
            added[candidate.kind].append(entry)
    if upstream[0] not in (text.value.get("upstreams") or {}):
        text = text.put("upstreams", *upstream)
    for kind, new in added.items():
        text = text.append(kind, new, apart=kind != "resources")
    return places.parse(text.text.encode(), name)


def definitions(waiting: Waiting, former: Mapping[str, Definition], written: Written) -> list[Definition]:
    """Those that approvals in the catalog stand on."""
    pins = {tool.pin for tool in written.catalog.tools} | {prompt.pin for prompt in written.catalog.prompts}
    held = {**former, **{pin(one): one for kind in ("tools", "prompts") for one in waiting.snapshot.listing.of(kind)}}
    return [definition for digest, definition in held.items() if digest in pins]
