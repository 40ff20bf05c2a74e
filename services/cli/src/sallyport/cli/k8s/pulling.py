"""What of a release's ConfigMaps may become files here: a whole set, under names that lead nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s.policy_maps import MARKER, Stored

_NAME: Final = re.compile(r"(?!\.\.|\.$)[-._a-zA-Z0-9]{1,253}")  # as a PDP reads a directory; `..` is the kubelet's


def files(stored: Stored) -> Mapping[str, bytes]:
    """By name. Raises Complaint where they are a mixture of two sets, or a key is no plain file name."""
    for each in stored.maps.values():
        for name in each.files:
            if not _NAME.fullmatch(name):
                raise Complaint(
                    f"ConfigMap {each.name} has the key {name!a}, which is no file's name",
                    f"find out who wrote it, then remove it: kubectl edit configmap {each.name}",
                )
    if MARKER in stored.files:
        raise Complaint(
            f"the release holds {MARKER}: a push to it was cut off or is under way, and its files may be of two sets",
            "wait a minute and pull again; if it stays, push again from the directory that was being pushed",
            Exit.FAILED,
        )
    return stored.files
