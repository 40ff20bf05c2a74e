"""One flat policy set as ConfigMaps, and back: which file lies where, what a push changes, and what it becomes."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s import lacking
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.lacking import Sources
from sallyport.cli.k8s.objects import ConfigMap
from sallyport.cli.k8s.trouble import UnderWay
from sallyport.contract.catalog import Catalog
from sallyport.runtime import mounted_dir, settings
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

CATALOG: Final = "catalog.yaml"
MARKER: Final = "push-under-way.cedar"
MAX_BYTES: Final = 1 << 20  # of a ConfigMap's values together (the API server's own limit)
_OWNERS: Final = {"roles.yaml": "roles", "agents.yaml": "agents", "resources.yaml": "resources", CATALOG: "catalog"}


@dataclass(frozen=True, slots=True)
class Stored:
    """The set as the cluster has it."""

    names: Mapping[str, str]  # part -> ConfigMap
    maps: Mapping[str, ConfigMap]  # by name; absent ones too

    @property
    def catalog(self) -> Mapping[str, bytes]:
        """The release's own files."""
        return self.maps[self.names["catalog"]].files

    @property
    def lacking(self) -> Mapping[str, str]:
        """ConfigMap -> part, of those that aren't there."""
        return {name: part for part, name in self.names.items() if not self.maps[name].exists}

    @property
    def files(self) -> Mapping[str, bytes]:
        """As the volume shows them."""
        return {name: data for each in self.maps.values() for name, data in each.files.items()}


@dataclass(frozen=True, slots=True)
class Write:
    """One replacement of all files of one ConfigMap."""

    name: str
    files: Mapping[str, bytes]


def read(cluster: Cluster, gate: Gate, sources: Sources = MappingProxyType({})) -> Stored:
    """As it stands now, with what isn't there as absent."""
    try:
        names = gates.config_maps(gate)
    except UnderWay as under_way:
        raise lacking.explain(cluster, gate, under_way, sources) from None
    return Stored(names, {name: lacking.look(cluster, gate.namespace, name) for name in dict.fromkeys(names.values())})


def compose(given: Contents, stored: Stored) -> Contents:
    """What the pods would mount after a push. Raises Complaint where `given` wants another catalog, or is no set."""
    if MARKER in given.files:
        raise Complaint(
            f"{MARKER} in this directory comes from a cut-off push: the files beside it may be of two sets",
            "push from the directory that was being pushed; or pull anew once that is done, and change that",
        )
    ours = given.files.get(CATALOG)
    theirs = stored.catalog.get(CATALOG, b"")
    if ours is not None and ours != theirs and not _same_catalog(ours, theirs):
        raise Complaint(
            f"{CATALOG} differs from the release's: the catalog comes from the release's values, "
            "which open the network's doors, too",
            f"change `tools:` and `upstreams:` in the values and helm upgrade, or leave {CATALOG} out of this directory",
        )
    files = {**given.files, **stored.catalog}
    return Contents(MappingProxyType(files), mounted_dir.revision(files))


def _same_catalog(ours: bytes, theirs: bytes) -> bool:
    """By what they say: Helm writes the keys in another order."""
    try:
        mine, yours = (settings.load_model(Catalog, data, CATALOG, exact=True) for data in (ours, theirs))
    except ConfigError:
        return False
    return mine == yours


def sources(place: Path, files: Iterable[str]) -> Sources:
    """Part -> the files of this directory that belong there."""
    found: dict[str, list[Path]] = {}
    for file in sorted(files):
        found.setdefault(_OWNERS.get(file, "policies"), []).append(place / file)
    return found


def split(files: Mapping[str, bytes], names: Mapping[str, str]) -> Mapping[str, Mapping[str, bytes]]:
    """ConfigMap -> its files. Raises Complaint for one that the API server wouldn't take."""
    found: dict[str, dict[str, bytes]] = {name: {} for name in names.values()}
    for file, data in files.items():
        found[names[_OWNERS.get(file, "policies")]][file] = data
    for name, part in found.items():
        size = sum(map(len, part.values()))
        if size > MAX_BYTES:
            largest = max(part, key=lambda file: len(part[file]))
            raise Complaint(
                f"ConfigMap {name} would hold {size} bytes, and Kubernetes takes {MAX_BYTES}; the largest is {largest}",
                "shorten the largest file, or keep what isn't needed at run time, such as large tests, elsewhere",
            )
    return found


def writes(stored: Stored, files: Mapping[str, bytes]) -> Sequence[Write]:
    """What to write, in order; nothing where nothing differs.

    Kubernetes replaces one ConfigMap in one step, but not several. In between, a pod could mount a mixture that permits
    what neither set does: a forbid gone that the new roles replace, with the old roles. No order is safe for every
    change. So a file that no PDP takes goes in first and out last: a mixture is refused, and the last good set serves on.
    """
    parts = split(files, stored.names)
    changed = [name for name in parts if parts[name] != stored.maps[name].files or not stored.maps[name].exists]
    if len(changed) <= 1:
        return [Write(name, parts[name]) for name in changed]
    last = stored.names["policies"]
    held = Write(last, {**stored.maps[last].files, MARKER: _no_policy()})
    between = [Write(name, parts[name]) for name in changed if name != last]
    return [held, *between, Write(last, parts[last])]


def _no_policy() -> bytes:
    """Cedar takes no such text; and no two pushes write the same, so that neither takes the other's for its own."""
    return f"push {secrets.token_hex(8)} was under way: run sallyport k8s push again\n".encode()


def differences(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """(sign, file): `+` added, `~` changed, `-` removed."""
    signs = {name: "+" if name not in before else "-" if name not in after else "~" for name in {*before, *after}}
    return [(signs[name], name) for name in sorted(signs) if before.get(name) != after.get(name)]
