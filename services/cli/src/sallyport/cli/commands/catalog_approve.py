"""`sallyport catalog approve`: entries out of a review into catalog.yaml, with the pin of what was reviewed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sallyport.cli import console
from sallyport.cli.commands.catalog_words import CatalogFile, named, place_of
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.plain import plain
from sallyport.runtime.problems import ConfigError

if TYPE_CHECKING:
    from sallyport.cli.catalog.approving import Chosen, Waiting
    from sallyport.cli.catalog.place import Place, Written
    from sallyport.cli.catalog.review import Kind

_Effect = Literal["read_only", "write", "destructive"]


def approve(
    words: Annotated[list[str], typer.Argument(metavar="DIR UPSTREAM [NAME]...", help="Of which names to approve.")],
    everything: Annotated[
        bool, typer.Option("--all", help="All tools that no finding holds back; with --prompts or --resources, those.")
    ] = False,
    effect: Annotated[
        _Effect | None, typer.Option(help="What calls of these tools do; else as the review says.", show_default=False)
    ] = None,
    despite_findings: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Approve it though something was found; may be repeated.")
    ] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="The names are of prompts.")] = False,
    resources: Annotated[
        bool, typer.Option("--resources", help="The names are URIs and templates of resources.")
    ] = False,
    catalog: CatalogFile = None,
) -> None:
    """Move reviewed entries into catalog.yaml, keeping what stands there as it is. All of them, or none.

    A tool whose effect nobody reviewed counts as destructive. Exit code: 0 approved, 2 wrong usage, 3 refused.
    """
    from sallyport.cli.catalog import place as places  # noqa: PLC0415 — takes the PEP along

    place, rest = place_of(words, catalog)
    if not rest:
        raise Complaint("no upstream is named", "name the one whose review this is about, such as crm")
    upstream, names = rest[0], (*rest[1:], *(despite_findings or ()))
    if everything == bool(rest[1:]):
        raise Complaint("say either names or --all", "name what you reviewed, one by one, or say --all")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", upstream):  # it becomes a file's name
        raise Complaint(f"{plain(upstream)!r} is no upstream's name", "name the one whose review this is about")
    written = places.read(place)
    waiting = _waiting(place, written, upstream)
    kinds: tuple[Kind, ...] = tuple(kind for kind, wanted in (("prompts", prompts), ("resources", resources)) if wanted)  # type: ignore[misc]
    wanted = kinds or ("tools",)
    chosen = _chosen(waiting, wanted, None if everything else names, set(despite_findings or ()))
    if chosen:
        _approve(place, written, upstream, waiting, chosen, effect)
    else:
        console.out.print("nothing to approve")
    if everything:
        _tell_others(waiting, wanted)


def _waiting(place: Place, written: Written, upstream: str) -> Waiting:
    from sallyport.cli.catalog import approving, pending  # noqa: PLC0415

    pull = console.command("catalog", "pull", *named(place), upstream)
    try:
        waiting = approving.waiting(place, written, upstream)
    except ConfigError as error:
        raise Complaint(
            f"the review of {upstream} can't be read:\n{error}",
            f"correct it there, or have it made anew, which puts this one aside: {pull}",
            Exit.REFUSED,
        ) from None
    if waiting is None:
        raise Complaint(f"nothing was pulled from {upstream!r}", f"ask it first: {pull}")
    if not pending.file(place, upstream).exists():
        raise Complaint(f"{pending.file(place, upstream)} isn't there, which you review", f"have it made anew: {pull}")
    return waiting


def _tell_others(waiting: Waiting, wanted: Sequence[Kind]) -> None:
    """`--all` is all of a kind: an operator may take it for everything."""
    for kind in ("prompts", "resources"):
        if kind not in wanted and (left := waiting.of((kind,))):
            console.step(f"{len(left)} of the {kind} wait, too: --{kind} with --all or their names")


def _chosen(waiting: Waiting, kinds: Sequence[Kind], names: Sequence[str] | None, despite: set[str]) -> list[Chosen]:
    found = waiting.of(kinds) if names is None else waiting.chosen(kinds, names)
    held = [one for one in found if _is_held(one, despite)]
    for one in held:
        console.warn(f"{plain(one.candidate.key)} is held back:")
        for finding in one.candidate.findings:
            console.err.print(f"    {plain(str(finding))}")
    if held and names is not None:
        raise Complaint("nothing was approved", _way_on(held), Exit.REFUSED)
    return [one for one in found if one not in held]


def _is_held(one: Chosen, despite: set[str]) -> bool:
    if any(finding.taken for finding in one.candidate.findings):
        return True
    return bool(one.candidate.findings) and not despite & {one.candidate.key, one.candidate.there}


def _way_on(held: Sequence[Chosen]) -> str:
    if any(finding.taken for one in held for finding in one.candidate.findings):
        return "a name that is taken needs another: pull again with a prefix, as it says above"
    keys = " ".join(f"--despite-findings {plain(one.candidate.key)}" for one in held)
    return f"read what was found; if it is harmless, say {keys}"


def _approve(
    place: Place, written: Written, upstream: str, waiting: Waiting, chosen: Sequence[Chosen], effect: str | None
) -> None:
    from sallyport.cli.catalog import approving, egress, kept  # noqa: PLC0415
    from sallyport.cli.catalog.editing import NotEditable  # noqa: PLC0415
    from sallyport.runtime import atomic_file  # noqa: PLC0415

    entries = [(one.candidate, approving.entry_of(one, effect)) for one in chosen]
    at: dict[str, Any] = {"url": waiting.snapshot.url}
    try:
        new = approving.edited(written, str(place.catalog), entries, (upstream, at))
    except NotEditable:
        raise Complaint(
            f"{place.catalog} is written in a way that can't be added to without touching what stands there",
            f"write its lists as `- name: ...`, one entry after the other, or move the entries over from "
            f"{place.pending / f'{upstream}.yaml'} yourself",
            Exit.REFUSED,
        ) from None
    except ConfigError as error:
        raise Complaint(
            f"catalog.yaml would not load:\n{error}", "correct the review, then approve again", Exit.REFUSED
        ) from None
    _must_load(place, new)
    kept.write_approved(place, upstream, approving.definitions(waiting, approving.before(place, upstream), new))
    atomic_file.write(place.catalog, new.data, mode=place.catalog.stat().st_mode & 0o777)
    _move_on(place, upstream, waiting, new)
    for candidate, entry in entries:
        told = f" ({entry['effect']})" if "effect" in entry else ""
        console.out.print(f"approved {plain(candidate.key)}{told}")
    for line in egress.allow(place, waiting.snapshot.url):
        console.out.print(line)


def _must_load(place: Place, new: Written) -> None:
    """A set that the PDP refuses would leave the gate with the catalog that it has."""
    from sallyport.cli.catalog.place import FILE  # noqa: PLC0415
    from sallyport.pdp.base_schema import FILE as SCHEMA  # noqa: PLC0415
    from sallyport.pdp.load import load  # noqa: PLC0415 — takes Cedar along
    from sallyport.runtime import mounted_dir  # noqa: PLC0415

    folder = place.catalog.parent
    if place.catalog.name != FILE or not (folder / SCHEMA).is_file():
        return  # a catalog by itself
    contents = mounted_dir.read(folder)
    files = {**contents.files, FILE: new.data}
    try:
        load(mounted_dir.Contents(files, mounted_dir.revision(files)))
    except ConfigError as error:
        raise Complaint(
            f"the policy set would not load:\n{error}", "correct that, then approve again", Exit.REFUSED
        ) from None


def _move_on(place: Place, upstream: str, waiting: Waiting, new: Written) -> None:
    """What was approved waits no longer; the rest does, as the reviewer left it."""
    from sallyport.cli.catalog import approving, kept, pending  # noqa: PLC0415

    left = approving.waiting(place, new, upstream)
    if left is None or not left.review.candidates:
        kept.forget(place, upstream)
        return
    pending.write(place, upstream, waiting.snapshot, left.review, left.entries)
