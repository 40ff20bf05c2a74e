"""`sallyport k8s dev-certs`: keys, certificates and Secrets for a first try; no cluster is asked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from sallyport.cli import console, new_directory
from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import dev_keys, first_values, manifests
from sallyport.cli.k8s.names import Names
from sallyport.runtime import atomic_file

_MANIFESTS: Final = "manifests.yaml"
_SHOWN: Final = (
    ("manifests.yaml", "the Secrets, for kubectl (holds private keys: 0600)"),
    ("values.yaml", "what the chart needs for a first try, for helm"),
    ("ca/, server/, orchestrator/, prometheus/", "CA and certificates"),
    ("audit-keys/", "public keys, for `sallyport audit verify --keys`"),
    ("issuer/, test.token", "the token issuer; alice's token, through coding-bot"),
)


def dev_certs(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    release: Annotated[str, typer.Option(help="The name that `helm install` will get.")] = "sallyport",
    namespace: Annotated[str, typer.Option(help="Where the gate will run.")] = "sallyport",
    orchestrator_namespace: Annotated[str, typer.Option(help="Where who calls it runs.")] = "orchestrator",
    orchestrator_id: Annotated[
        str, typer.Option(metavar="SPIFFE_ID", help="Who calls it, by its certificate.")
    ] = "spiffe://sallyport.test/orchestrator",
    token_hours: Annotated[int, typer.Option(min=1, max=8760, help="How long the test token is good.")] = 8,
    create_namespaces: Annotated[
        bool, typer.Option("--create-namespaces", help="Put both namespaces into manifests.yaml, too.")
    ] = False,
    renew_token: Annotated[
        bool, typer.Option("--renew-token", help="Only a new test token, in a DIR made before.")
    ] = False,
) -> None:
    """Make development keys, certificates and Secrets for a first try on a cluster. Never for production."""
    if renew_token:
        _renew(directory, token_hours, create_namespaces)
        return
    names = Names(release, namespace, orchestrator_namespace, orchestrator_id)
    make(directory, names, token_hours, namespaces=create_namespaces)
    _show(directory, names, namespaces=create_namespaces)


def make(directory: Path, names: Names, hours: int, *, namespaces: bool) -> None:
    """Write everything, or nothing."""
    files = dev_keys.make(names, hours)
    new_directory.claim(directory, "dev-certs")
    with new_directory.whole(directory):
        _write(directory, files)
        _write(directory, {_MANIFESTS: manifests.encode(names, files, namespaces=namespaces)})
        atomic_file.write(directory / "values.yaml", first_values.encode(names, files), 0o644)


def _renew(directory: Path, hours: int, namespaces: bool) -> None:
    """Everything else stays: who trusts the keys of this directory goes on to."""
    made_for = directory / dev_keys.MADE_FOR
    if not made_for.is_file():
        raise Complaint(
            f"{directory} has no {dev_keys.MADE_FOR}, so it wasn't made by dev-certs",
            f"make one first: {console.command('k8s', 'dev-certs', directory)}",
        )
    names = Names.decode(made_for.read_bytes(), str(made_for))
    token = dev_keys.token(names, atomic_file.read_private(directory / dev_keys.ISSUER_KEY), hours)
    files = {**_read(directory), dev_keys.TOKEN: token}
    _write(directory, {dev_keys.TOKEN: token})
    _write(directory, {_MANIFESTS: manifests.encode(names, files, namespaces=namespaces)})
    console.out.print(f"made a new test token, good for {hours} h")
    console.out.print(f"next: kubectl apply --server-side -f {shlex.quote(str(directory / _MANIFESTS))}")


def _read(directory: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        atomic_file.write(path, data, dev_keys.mode(name))


def _show(directory: Path, names: Names, *, namespaces: bool) -> None:
    console.out.print(Text(f"made {directory}", style="bold"))
    for name, meaning in _SHOWN:
        console.out.print(Text(f"  {name:<42}", style="cyan").append(meaning, style="default"))
    console.warn("these are development keys: their private halves lie in that directory, the CA's too")
    console.out.print("next, from the repository's root:")
    for command in _commands(directory, names, namespaces=namespaces):
        console.out.print(f"  {command}")


def _commands(directory: Path, names: Names, *, namespaces: bool) -> list[str]:
    """The floor first: nothing runs in a namespace that is open."""
    place = shlex.quote(str(directory))
    scope = f"-n {names.namespace}"
    apply = f"kubectl apply --server-side -f {place}/{_MANIFESTS}"
    floor = f"kubectl apply {scope} -f deploy/networkpolicies/"
    made = [
        f"kubectl create namespace {name}" for name in dict.fromkeys((names.namespace, names.orchestrator_namespace))
    ]
    return [
        *([apply, floor] if namespaces else [*made, floor, apply]),
        f"helm install {names.release} deploy/helm/sallyport {scope} -f {place}/values.yaml",
        f"helm test {names.release} {scope}",
    ]
