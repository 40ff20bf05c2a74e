"""`sallyport init DIR`: everything a laptop needs, made anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from sallyport.cli import configs, console, new_directory, pki, samples, shipped
from sallyport.cli.joining import join, named
from sallyport.cli.laptop import Laptop


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    policies: Annotated[
        Path | None, typer.Option(help="A policy directory to copy instead of the shipped set.", show_default=False)
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]URL", help="An MCP server to put behind the gate; may be repeated."),
    ] = None,
) -> None:
    """Make a directory with keys, policies and sample data."""
    source = policies or shipped.find()
    servers = named(upstream or [])
    left_out = make(directory, source)
    with new_directory.whole(directory.resolve()):
        joined = tuple(join(directory, servers))
    for name in left_out:
        console.warn(f"{name} was left out: it names a tool that catalog.yaml doesn't have")
    _show(directory)
    for each in joined:
        console.step(each)
    next_ = ("catalog", "pull", directory) if servers else ("up", directory)
    console.out.print(f"next: {console.command(*next_)}")


def make(directory: Path, source: Path) -> tuple[str, ...]:
    """Write everything, or nothing; the names of policy files left out."""
    contents, left_out = shipped.read(source)
    laptop = Laptop(directory.resolve())
    new_directory.claim(directory, "init")
    with new_directory.whole(laptop.root):
        _write_policies(laptop, contents)
        _write_configs(laptop)
        pki.write(laptop)
        samples.write(laptop.files, laptop.database)
    return left_out


def _write_policies(laptop: Laptop, contents: Mapping[str, bytes]) -> None:
    laptop.policies.mkdir()
    for name, data in contents.items():
        (laptop.policies / name).write_bytes(data)
    laptop.catalog.symlink_to("policies/catalog.yaml")


def _write_configs(laptop: Laptop) -> None:
    for private in (laptop.pki, laptop.audit, laptop.run, laptop.upstreams, laptop.files, laptop.database.parent):
        private.mkdir(mode=0o700)
    laptop.gitignore.write_text(configs.GITIGNORE, encoding="utf-8")
    laptop.pep_config.write_text(configs.PEP, encoding="utf-8")
    laptop.pdp_config.write_text(configs.PDP, encoding="utf-8")


def _show(directory: Path) -> None:
    rows = (
        ("pep.yaml, pdp.yaml", "configuration of the two services"),
        ("policies/", "Cedar policies, roles, agents, resources; catalog.yaml links into it"),
        ("pki/", "CA, server certificate, token issuer, audit keys (private: 0600)"),
        ("upstreams/", "a folder for each MCP server behind the gate that needs a CA, a credential or a certificate"),
        ("files/, data/sample.db", "what the sample tools read and write"),
        ("audit/, run/", "the audit record; where a running Sallyport is"),
    )
    console.out.print(Text(f"made {directory}", style="bold"))
    for name, meaning in rows:
        console.out.print(Text(f"  {name:<24}", style="cyan").append(meaning, style="default"))
