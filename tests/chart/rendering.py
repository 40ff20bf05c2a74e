"""The chart through the real helm, each profile and change once a process; what comes out is parsed as strictly as it can be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

Object = dict[str, Any]
ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "sallyport"
PROFILES: Final = ("minimal", "production", "everything")
RELEASE: Final = "gate"
NAMESPACE: Final = "gates"
NAME: Final = "gate-sallyport"
_ASK: Final = ["--dry-run=server", "--kubeconfig", os.devnull, "--kube-apiserver"]
PARTS: Final = ("policies", "roles", "agents", "resources", "catalog")
MADE: Final[Mapping[str, Any]] = {"policies": {"existing": dict.fromkeys(PARTS[:4], "")}}  # all five by the chart


class _Loader(yaml.CSafeLoader):
    """Without duplicate keys, of which kubectl would take the last and a reviewer see the first."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Object:
    pairs = [
        (loader.construct_object(key, deep=True), loader.construct_object(value, deep=True))
        for key, value in node.value
    ]
    found = dict(pairs)
    assert len(found) == len(pairs), f"a key twice in {[key for key, _ in pairs]}"
    assert all(isinstance(key, str) for key in found), f"a key that isn't text in {list(found)}"
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(text: str) -> Iterator[Any]:
    return (document for document in yaml.load_all(text, _Loader) if document is not None)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod or a template of one, wherever it stands."""

    owner: str  # KIND/NAME
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def lasting(self) -> list[Object]:
        """Those that live as long as the pod."""
        return [each for each in self.containers if each["name"] != "samples"]

    def container(self, name: str) -> Object:
        return next(each for each in self.containers if each["name"] == name)


def is_test(each: Object) -> bool:
    """Whether it is there only while `helm test` runs."""
    return "test" in each["metadata"].get("annotations", {}).get("helm.sh/hook", "")


def namespace_of(each: Object) -> str:
    return str(each["metadata"].get("namespace", NAMESPACE))


@dataclass(frozen=True, slots=True)
class Rendered:
    text: str
    everything: tuple[Object, ...]  # those of `helm test` too

    @property
    def objects(self) -> list[Object]:
        return [each for each in self.everything if not is_test(each)]

    def all(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str = NAME) -> Object:
        found = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} of {kind}/{name}"
        return found[0]

    def pods(self) -> list[Pod]:
        """All of them, those of `helm test` too."""
        return [_pod(each) for each in self.everything if each["kind"] in {"Pod", "Job", "Deployment", "StatefulSet"}]

    @property
    def gate(self) -> Pod:
        return next(_pod(each) for each in self.objects if each["kind"] in {"Deployment", "StatefulSet"})

    def settings(self, service: str, name: str = NAME) -> Object:
        text: str = self.one("ConfigMap", f"{name}-settings")["data"][f"{service}.yaml"]
        return dict(next(parse(text)))

    def policy_set(self) -> dict[str, str]:
        """The ConfigMaps of the policy set as one flat directory, as the projected volume shows them."""
        return {key: text for part in PARTS for key, text in self.one("ConfigMap", f"{NAME}-{part}")["data"].items()}


def _pod(owner: Object) -> Pod:
    template = owner if owner["kind"] == "Pod" else owner["spec"]["template"]
    metadata = template["metadata"]
    name = f"{owner['kind']}/{owner['metadata']['name']}"
    return Pod(name, namespace_of(owner), metadata.get("labels", {}), metadata.get("annotations", {}), template["spec"])


@cache
def helm() -> str:
    found = os.environ.get("HELM") or shutil.which("helm")
    assert found, (
        "tests/chart needs Helm 3.14 or newer: install it (https://helm.sh/docs/intro/install), or name it in HELM"
    )
    return found


def run(*arguments: str | Path, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Helm to its end, with `values` after all the others; it is told of no cluster."""
    more = [] if values is None else ["--values", "-"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("KUBE", "HELM_"))}
    return subprocess.run(
        [helm(), *map(str, arguments), *more],
        input=json.dumps(values or {}, ensure_ascii=False),  # YAML knows no surrogates
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def template(
    profile: str,
    values: Mapping[str, Any] | None = None,
    *,
    release: str = RELEASE,
    chart: Path = CHART,
    upgrade: bool = False,
    cluster: str = "",
) -> subprocess.CompletedProcess[str]:
    """Render; with `cluster`, the URL of an API server, `lookup` asks that one."""
    given = ("--values", CHART / "ci" / f"{profile}.yaml") if profile else ()
    more = [*(["--is-upgrade"] if upgrade else []), *([*_ASK, cluster] if cluster else [])]
    return run("template", release, chart, "--namespace", NAMESPACE, *given, *more, values=values or {})


def render(
    profile: str, values: Mapping[str, Any] | None = None, *, release: str = RELEASE, upgrade: bool = False
) -> Rendered:
    return _render(profile, json.dumps(values or {}), release, upgrade)


@cache
def _render(profile: str, values: str, release: str, upgrade: bool) -> Rendered:
    done = template(profile, json.loads(values), release=release, upgrade=upgrade)
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout, tuple(parse(done.stdout)))


def refusal(profile: str, values: Mapping[str, Any], *, release: str = RELEASE) -> str:
    """What helm says, and that it renders nothing at all."""
    done = template(profile, values, release=release)
    assert done.returncode != 0, "it was rendered"
    assert not done.stdout
    return done.stderr


@cache
def profile_values(profile: str) -> Object:
    """The chart's values with a profile's over them, as Helm merges them."""
    merged: Object = _merge(_read(CHART / "values.yaml"), _read(CHART / "ci" / f"{profile}.yaml"))
    return merged


def _read(path: Path) -> Any:
    return next(parse(path.read_text()))


def _merge(under: Any, over: Any) -> Any:
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {key: _merge(under.get(key), over[key]) if key in over else under[key] for key in {**under, **over}}
