"""pending/UPSTREAM.yaml: what waits for a reviewer, one entry each, as it would stand in catalog.yaml. Nothing in it serves.

A reviewer may edit it; comments are written anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sallyport.cli.catalog import yaml_text
from sallyport.cli.catalog.kept import Snapshot
from sallyport.cli.catalog.place import Place
from sallyport.cli.catalog.review import KINDS, Candidate, Kind, Review
from sallyport.cli.plain import plain
from sallyport.runtime import atomic_file, strict_yaml
from sallyport.runtime.problems import ConfigError

_HEAD: Final = """\
# What the upstream {name} offers that catalog.yaml doesn't have as it is now. Nothing in this file is served.
# Every text in it is the upstream's. Read it, edit it, then: sallyport catalog approve DIR {name} TOOL...
# Only `sallyport catalog approve` makes an entry count; what you leave here stays out.
"""
_MODE: Final = 0o644
_MAX_LINE: Final = 300
_HINTED: Final = "the upstream's own hint, not reviewed"
_UNHINTED: Final = "no hint: the default"

Entries = Mapping[Kind, Mapping[str, Mapping[str, Any]]]  # by kind and key


def write(place: Place, upstream: str, snapshot: Snapshot, review: Review, edited: Entries) -> tuple[Candidate, ...]:
    """Those that didn't fit into one file are left out, and returned."""
    place.pending.mkdir(exist_ok=True)
    text = _HEAD.format(name=upstream)
    for key, value in (("upstream", upstream), ("url", snapshot.url), ("pulled", snapshot.pulled)):
        text += f"{key}: {yaml_text.flow(value)}\n"
    left_out: list[Candidate] = []
    size = len(text.encode())
    for kind in KINDS:
        begun = False
        for candidate in review.of(kind):
            entry = edited.get(kind, {}).get(candidate.key, candidate.entry)
            written = _entry(candidate, entry)
            if written is None or size + len(written.encode()) > strict_yaml.MAX_BYTES - 1024:
                left_out.append(candidate)
                continue
            size += len(written.encode())
            text += written if begun else f"{kind}:\n{written}"
            begun = True
    atomic_file.write(file(place, upstream), text.encode(), mode=_MODE)
    return tuple(left_out)


def read(place: Place, upstream: str) -> Entries:
    """As they stand there now, edits and all. Raises ConfigError."""
    path = file(place, upstream)
    if not path.exists():
        return {}
    value = strict_yaml.parse(atomic_file.read_public(path, strict_yaml.MAX_BYTES), str(path), exact=True).value
    lists: dict[Kind, Any] = {kind: value.get(kind) if isinstance(value, dict) else "" for kind in KINDS}
    for entries in lists.values():
        if entries is not None and not (isinstance(entries, list) and all(isinstance(one, dict) for one in entries)):
            raise ConfigError.about(path, "isn't as `catalog pull` writes it")
    return {kind: {key(kind, entry): entry for entry in lists[kind] or ()} for kind in KINDS}


def file(place: Place, upstream: str) -> Path:
    return place.pending / f"{upstream}.yaml"


def put_aside(place: Place, upstream: str) -> Path | None:
    """A review that can't be read may hold somebody's work; where it is now, if it was there."""
    path = file(place, upstream)
    if not path.exists():
        return None
    kept = path.with_name(f"{path.name}.unreadable")
    path.replace(kept)
    return kept


def key(kind: Kind, entry: Mapping[str, Any]) -> str:
    found = (
        entry.get("name") if kind != "resources" else entry.get("uri") or entry.get("template") or entry.get("prefix")
    )
    return str(found)


def _entry(candidate: Candidate, entry: Mapping[str, Any]) -> str | None:
    """None where no YAML says it."""
    try:
        ordered = {"name": entry["name"], **entry} if "name" in entry else dict(entry)
        text = yaml_text.checked("\n".join(yaml_text.lines([ordered], 2)) + "\n", [ordered])
    except yaml_text.NotWritable:
        return None
    comments = "".join(f"  # {_line(comment)}\n" for comment in _comments(candidate))
    first, newline, rest = text.partition("\n")
    return f"\n{comments}{first}{newline}{_suggested(candidate, entry)}{rest}"


def _comments(candidate: Candidate) -> Iterator[str]:
    if candidate.changed:
        yield "CHANGED since it was approved; see: sallyport catalog diff"
    for finding in candidate.findings:
        yield f"HELD  {finding}"
    for note in candidate.notes:
        yield f"note  {note}"


def _suggested(candidate: Candidate, entry: Mapping[str, Any]) -> str:
    """Lines that a reviewer makes count by taking away the sign before them."""
    if candidate.kind != "tools" or "effect" in entry:
        return ""
    return "".join(
        f"    # {name}: {str(value).lower()}  # {_HINTED if name in candidate.hinted else _UNHINTED}\n"
        for name, value in candidate.suggested.items()
    )


def _line(comment: str) -> str:
    """One line of a comment, whatever is in it."""
    return plain(comment)[:_MAX_LINE]
