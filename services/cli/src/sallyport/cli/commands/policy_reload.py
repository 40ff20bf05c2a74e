"""`sallyport policy reload`: have the running PDP read its policies now, and see whether they serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.text import Text

from sallyport.cli import console, endpoint, policy_set
from sallyport.cli.complaint import Complaint
from sallyport.cli.laptop import Laptop
from sallyport.runtime import strict_yaml
from sallyport.runtime.problems import ConfigError

if TYPE_CHECKING:
    from sallyport.authz.v1 import authz_pb2 as pb


def reload(directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made by `sallyport init`, and up.")]) -> None:
    """Have the running PDP read its policies now; it answers once they serve, or are refused.

    Exit code: 0 they serve, 2 they are refused, and the set before them goes on serving.
    """
    from sallyport.cli import pdp_call  # noqa: PLC0415 — gRPC is slow to import, and no other command needs it
    from sallyport.pdp import hop  # noqa: PLC0415 — same

    laptop = Laptop.at(directory)
    address = endpoint.read(laptop).pdp_address
    key = hop.read_operator(_key_file(laptop), laptop.run / "hop.key")
    place = policy_set.served(laptop.pdp_config)
    console.step("asking the PDP to read, check and serve its policies")
    answer = pdp_call.reload(address, key)
    if not answer.loaded:
        _complain(laptop, place, answer)
    said = _summary(place, answer.revision)
    console.out.print(Text("in force: ", style="bold green").append(said, style="not bold default"))
    for problem in policy_set.not_served(place):
        console.warn(f"the gate doesn't serve this tool: {problem}")


def _key_file(laptop: Laptop) -> Path:
    document = strict_yaml.parse(laptop.pdp_config.read_bytes(), str(laptop.pdp_config))
    match document.value:
        case {"reload": {"operator_key": str(path)}}:
            return laptop.root / path
    raise Complaint(
        f"{laptop.pdp_config} names no reload.operator_key, so nobody may ask for a reload",
        "put it back as `init` writes it and start `up` again; changed policies come into force by themselves, too",
    )


def _complain(laptop: Laptop, place: Path, answer: pb.ReloadAnswer) -> NoReturn:
    for problem in answer.problems:
        console.err.print(Text(problem, style="red"))
    count = len(answer.problems)
    serving = f"revision {answer.revision[:12]} goes on serving" if answer.revision else "nothing serves"
    raise Complaint(
        f"{place}: {count} problem{'' if count == 1 else 's'}; the set was refused, {serving}",
        f"mend the lines above, see `{console.command('policy', 'check', laptop.root)}` and "
        f"`{console.command('policy', 'test', laptop.root)}`, then reload again",
    )


def _summary(place: Path, revision: str) -> str:
    """The set is counted here; if another one lies there (or is named) by now, only the revision is known."""
    try:
        snapshot = policy_set.load(place)
    except ConfigError:
        return f"revision {revision[:12]}"
    if snapshot.revision != revision:
        return f"revision {revision[:12]}; {place} holds another set by now"
    return f"{len(snapshot.policies)} policies, {len(snapshot.catalog.tools)} tools, revision {revision[:12]}"
