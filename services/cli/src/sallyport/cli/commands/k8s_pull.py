"""`sallyport k8s pull DIR`: the policy set of a release as a directory, to change, test and push back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli import console, new_directory
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s import lacking, policy_maps, pulling
from sallyport.cli.k8s.gate import Context, Kubeconfig, Namespace, Release
from sallyport.runtime import atomic_file, mounted_dir


def pull(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    namespace: Namespace = None,
    release: Release = "sallyport",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write the release's policy set, as the pods mount it, into a new directory.

    Exit code: 0 written, 1 a ConfigMap is missing or a push was cut off, 2 wrong usage, 3 not allowed, 4 no answer.
    """
    cluster = gates.connect(kubeconfig, context)
    gate = gates.find(cluster, namespace, release)
    stored = policy_maps.read(cluster, gate)
    lacking.refuse(gate, stored.lacking)
    files = pulling.files(stored)
    new_directory.claim(directory, "pull")
    with new_directory.whole(directory):
        for name, data in files.items():
            atomic_file.write(directory / name, data, 0o644)
    console.out.print(f"wrote {len(files)} files, revision {mounted_dir.revision(files)[:12]}")
    pushing = console.command("k8s", "push", directory, *gates.pointing(gate, context, kubeconfig))
    console.out.print(f"next: change them, then {pushing}")
