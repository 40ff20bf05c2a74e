"""Which policies and catalog each replica serves, against what the ConfigMaps hold: the kubelets bring that a minute later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sallyport.cli.k8s.cluster import Cluster as Adapter
from sallyport.cli.k8s.gate import Gate, config_maps, find
from sallyport.cli.k8s.trouble import UnderWay
from sallyport.runtime import mounted_dir
from tests.cluster import kube, place
from tests.cluster.reading import revision

if TYPE_CHECKING:
    from tests.cluster.conftest import Place
    from tests.cluster.kube import Cluster

ARRIVED: Final = 180  # seconds in which each kubelet brings a changed ConfigMap


def pods(gate: Place) -> list[str]:
    return [pod.metadata.name for pod in gate.cluster.pods(place.GATE, place.SELECTOR)]


def agreed(gate: Place) -> str:
    """The revision that every replica has, or "" while they differ."""
    found = {revision(gate.cluster, pod) for pod in pods(gate)}
    return found.pop() if len(found) == 1 else ""


def settle(cluster: Cluster, namespace: str = place.GATE, release: str = place.RELEASE) -> None:
    """Wait until every replica serves what the ConfigMaps hold: nothing of what was there before is on its way."""
    adapter = Adapter.connect(None, None)

    def settled() -> bool:
        gate = find(adapter, namespace, release)
        held = _held(adapter, gate)
        return all(revision(cluster, pod.name, namespace) == held for pod in gate.staying)

    kube.until("what the ConfigMaps hold serves everywhere", settled, ARRIVED)


def _held(adapter: Adapter, gate: Gate) -> str:
    """The revision that the ConfigMaps make; "?" while an upgrade is under way."""
    try:
        names = dict(config_maps(gate)).values()
    except UnderWay:
        return "?"
    return mounted_dir.revision(
        {file: data for name in names for file, data in adapter.config_map(gate.namespace, name).files.items()}
    )
