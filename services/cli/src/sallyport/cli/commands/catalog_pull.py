"""`sallyport catalog pull`: ask upstreams what they offer, and lay what isn't approved before a reviewer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sallyport.cli import console
from sallyport.cli.commands.catalog_words import CatalogFile, EachUpstream, FilesFolder, named, place_of, upstream_of
from sallyport.cli.complaint import Complaint
from sallyport.cli.plain import cut, plain
from sallyport.runtime.problems import ConfigError

if TYPE_CHECKING:
    from sallyport.cli.catalog.approving import Waiting
    from sallyport.cli.catalog.asking import Means
    from sallyport.cli.catalog.kept import Snapshot
    from sallyport.cli.catalog.place import Place, Written
    from sallyport.cli.catalog.review import Asked, Candidate, Review
    from sallyport.cli.catalog.sifting import Lost
    from sallyport.contract.surfaces import Upstream

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_SHOWN = 40  # findings told on the screen; the file holds all


def pull(
    words: Annotated[
        list[str], typer.Argument(metavar="DIR [UPSTREAM|URL]...", help="Without upstreams: all of the catalog's.")
    ],
    catalog: CatalogFile = None,
    name: Annotated[
        str | None, typer.Option(help="What a new upstream's URL is to be called.", show_default=False)
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Put before each name, such as crm_.", show_default="as the review that waits")
    ] = None,
    keep_open: Annotated[
        bool | None,
        typer.Option(
            "--keep-open/--closed",
            help="Leave input schemas open to arguments that they don't name.",
            show_default="as the review that waits, else closed",
        ),
    ] = None,
    files: FilesFolder = None,
) -> None:
    """Write pending/UPSTREAM.yaml: an entry for each tool, prompt and resource that isn't approved as it is now.

    Nothing in it is served until `sallyport catalog approve` takes it up.
    """
    from sallyport.cli.catalog import asking  # noqa: PLC0415 — takes the PEP along
    from sallyport.cli.catalog import place as places  # noqa: PLC0415

    if prefix and not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", prefix):
        raise Complaint(f"{plain(prefix)!r} can't begin a name", "use letters, digits, '_', '.' and '-', such as crm_")
    place, rest = place_of(words, catalog)
    written = places.read(place)
    means = asking.Means.of(place.pep_config, files)
    each = EachUpstream()
    for upstream, entry in _upstreams(written, rest, name).items():
        console.step(f"asking {upstream} at {plain(entry.url)}")
        with each.one():
            before = _before(place, written, upstream)
            _pull(place, written, upstream, entry, means, _asked(before, upstream, prefix, keep_open), before)
    each.end()


def _before(place: Place, written: Written, upstream: str) -> Waiting | None:
    """The review that waits. One that can't be read is made anew, and nobody has to take it away first."""
    from sallyport.cli.catalog import approving, pending  # noqa: PLC0415

    try:
        return approving.waiting(place, written, upstream)
    except ConfigError as error:
        kept = pending.put_aside(place, upstream)
        where = f"; what you wrote into it is in {kept}" if kept else ""
        console.warn(f"the review of {upstream} can't be read, so it is made anew{where}:\n{error}")
        return None


def _asked(waiting: Waiting | None, upstream: str, prefix: str | None, keep_open: bool | None) -> Asked:
    """What isn't said is as in the review that waits: its edits are of the names that it gave."""
    from sallyport.cli.catalog.review import Asked  # noqa: PLC0415

    before = waiting.snapshot if waiting else None
    if prefix is None and before is not None and before.prefix:
        console.step(f"names begin with {plain(before.prefix)}, as in the review that waits; --prefix '' for none")
    return Asked(
        upstream,
        prefix if prefix is not None else before.prefix if before else "",
        keep_open if keep_open is not None else bool(before and before.keep_open),
    )


def _upstreams(written: Written, words: Sequence[str], name: str | None) -> Mapping[str, Upstream]:
    if name is not None and not _NAME.fullmatch(name):
        raise Complaint(
            f"--name {plain(name)!r} is no upstream's name", "use letters, digits, '_', '.' and '-': --name crm"
        )
    found = _named_upstreams(written, words, name)
    if name is not None and (name not in found or not any("://" in word for word in words)):
        raise Complaint(
            f"--name {name} names nothing here: what is to be asked is called {', '.join(found)} in the catalog",
            "leave --name out; it is for the URL of an upstream that the catalog doesn't have yet",
        )
    return found


def _named_upstreams(written: Written, words: Sequence[str], name: str | None) -> Mapping[str, Upstream]:
    if not words and written.catalog.upstreams:
        return written.catalog.upstreams
    if not words:
        raise Complaint("the catalog has no upstream yet", "name one by its URL: https://host:port/mcp --name NAME")
    found: dict[str, Upstream] = {}
    for word in words:
        if "://" not in word:
            found[word] = upstream_of(written, word)
            continue
        known = [one for one, entry in written.catalog.upstreams.items() if entry.url == word]
        called = known[0] if known and name not in known else name
        if called is None:
            raise Complaint(f"{plain(word)} has no name yet", "say what to call it: --name crm")
        if called in found or (not known and called in written.catalog.upstreams):
            raise Complaint(f"{called} is another upstream's name", "give each URL a name of its own, one pull each")
        found[called] = written.catalog.upstreams[called] if known else _new(word)
    return found


def _new(url: str) -> Upstream:
    from pydantic import ValidationError  # noqa: PLC0415

    from sallyport.contract.surfaces import Upstream  # noqa: PLC0415

    try:
        return Upstream(url=url)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise Complaint(f"{plain(url)}: {wrong}", "write the upstream's URL as https://host:port/path") from None


def _pull(
    place: Place,
    written: Written,
    name: str,
    upstream: Upstream,
    means: Means,
    asked: Asked,
    before: Waiting | None,
) -> None:
    from sallyport.cli.catalog import approving, asking, kept, pending  # noqa: PLC0415
    from sallyport.cli.catalog.review import review  # noqa: PLC0415

    said = asking.ask(name, upstream, means)
    listing = said.listing
    pulled = datetime.now(UTC).isoformat(timespec="seconds")
    snapshot = kept.Snapshot(upstream.url, upstream.era, pulled, asked.prefix, asked.keep_open, listing)
    found = review(listing, approving.known_of(place, written, name), asked)
    edits = _edits(before, snapshot, found)
    if not found.candidates:
        kept.forget(place, name)
        left_out: Sequence[Candidate] = ()
    else:
        kept.write_snapshot(place, name, snapshot)
        left_out = pending.write(place, name, snapshot, found, edits)
    for lost in said.lost[:_SHOWN]:
        console.warn(f"left out: {_named_lost(lost)}: {lost.why}")
    _tell(place, name, found, left_out)


def _edits(before: Waiting | None, snapshot: Snapshot, found: Review) -> dict[Any, dict[str, Any]]:
    """What a reviewer wrote into the review of the very same definitions, asked for in the same way."""
    same = before is not None and (before.snapshot.prefix, before.snapshot.keep_open) == (
        snapshot.prefix,
        snapshot.keep_open,
    )
    if before is None or not same:
        return {}
    edits: dict[Any, dict[str, Any]] = {}
    for candidate in found.candidates:
        entry = before.entries.get(candidate.kind, {}).get(candidate.key)
        if entry is not None and entry.get("pin", "") == candidate.pin:
            edits.setdefault(candidate.kind, {})[candidate.key] = entry
    return edits


def _tell(place: Place, name: str, found: Review, left_out: Sequence[Candidate]) -> None:
    for candidate in found.candidates:
        state = "changed" if candidate.changed else "new"
        held = ", HELD" if candidate.findings else ""
        console.out.print(f"{state}{held}: {_KINDS[candidate.kind]} {plain(candidate.key)}")
        for finding in candidate.findings[:_SHOWN]:
            console.out.print(f"    {plain(str(finding))}")
    for text in found.unusable[:_SHOWN]:
        console.warn(f"left out: {plain(text)}")
    for candidate in left_out:
        console.warn(f"left out, it can't be written or the review is full: {plain(candidate.key)}")
    console.out.print(f"{name}: {len(found.candidates)} to review, {found.approved} approved as they are")
    if found.candidates:
        console.out.print(f"review {place.pending / f'{name}.yaml'}")
        console.out.print(f"next: {console.command('catalog', 'approve', *named(place), name, 'NAME...')}")
        others = [f"--{kind}" for kind in ("prompts", "resources") if found.of(kind)]
        if others:
            console.out.print(f"      with {' or '.join(others)} for those")


def _named_lost(lost: Lost) -> str:
    return f"{lost.kind}: {'one' if lost.name is None else plain(cut(lost.name, 128))}"


_KINDS = {"tools": "tool", "prompts": "prompt", "resources": "resource"}
