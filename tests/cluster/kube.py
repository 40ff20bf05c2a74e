"""The cluster that KUBECONFIG names, by the official Python client; everything that waits has a deadline."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.stream import stream

T = TypeVar("T")
Manifest = Mapping[str, Any]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_POLL = 0.3


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str


class Cluster:
    def __init__(self) -> None:
        config.load_kube_config()  # type: ignore[no-untyped-call]
        self.api = client.ApiClient()
        self.core: Any = client.CoreV1Api(self.api)  # each of its fields may be None to the checker
        self._dynamic = DynamicClient(self.api)  # type: ignore[no-untyped-call]

    def apply(self, *documents: Manifest, namespace: str | None = None) -> None:
        """Server-side, with strict field validation: what the API server doesn't know is an error."""
        for document in documents:
            kind = self._dynamic.resources.get(api_version=document["apiVersion"], kind=document["kind"])
            kind.server_side_apply(
                body=document,
                namespace=document["metadata"].get("namespace", namespace),
                field_manager="tests",
                force_conflicts=True,
                field_validation="Strict",
            )

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        resource = self._dynamic.resources.get(api_version=api_version, kind=kind)
        try:
            resource.delete(name=name, namespace=namespace, body={"propagationPolicy": "Foreground"})
        except ApiException as error:
            if error.status != 404:
                raise

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Any:
        """The object, or None."""
        try:
            return self._dynamic.resources.get(api_version=api_version, kind=kind).get(name=name, namespace=namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def list(self, api_version: str, kind: str, namespace: str, selector: str) -> Sequence[Any]:
        found: Any = self._dynamic.resources.get(api_version=api_version, kind=kind)
        items: Sequence[Any] = found.get(namespace=namespace, label_selector=selector).items
        return items

    def namespace(self, name: str, labels: Mapping[str, str] = RESTRICTED) -> None:
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}})

    def pods(self, namespace: str, selector: str) -> Sequence[Any]:
        """Sorted by name."""
        found = self.core.list_namespaced_pod(namespace, label_selector=selector).items
        return sorted(found, key=lambda pod: str(pod.metadata.name))

    def exec(self, namespace: str, pod: str, *command: str, container: str | None = None) -> Ran:
        options = {"container": container} if container else {}
        with (
            client.ApiClient() as api
        ):  # its own: the library changes it while it connects, and other threads have theirs
            channel = stream(
                client.CoreV1Api(api).connect_get_namespaced_pod_exec,
                pod,
                namespace,
                command=list(command),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _preload_content=False,
                **options,
            )
            try:
                channel.run_forever(timeout=60)
                said = channel.read_stdout() + channel.read_stderr()
                code = channel.returncode
            except ValueError as error:  # what couldn't be started has no exit code, only words
                said, code = str(error), None
            finally:
                channel.sock.shutdown()  # its own close leaves the socket open once the server has closed
        return Ran(-1 if code is None else code, said)

    def logs(self, namespace: str, pod: str, container: str | None = None) -> str:
        options = {"container": container} if container else {}
        return str(self.core.read_namespaced_pod_log(pod, namespace, **options) or "")

    def ready(self, namespace: str, selector: str, count: int, seconds: float = 300) -> Sequence[Any]:
        """Wait until exactly `count` pods are there, and all are ready."""

        def check() -> Sequence[Any] | None:
            found = self.pods(namespace, selector)
            return found if len(found) == count and all(map(is_ready, found)) else None

        return until(f"{count} ready pods of {selector} in {namespace}", check, seconds)


def is_ready(pod: Any) -> bool:
    if pod.metadata.deletion_timestamp is not None:
        return False
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())


def container(pod: Any, name: str) -> Any:
    """The status of a container, a sidecar too; LookupError before there is one."""
    both = [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]
    return {status.name: status for status in both}[name]


def until(what: str, check: Callable[[], T | None], seconds: float = 180) -> T:
    """What `check` gives once it isn't None or False; AssertionError after `seconds`, with the last error."""
    deadline, last = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            found = check()
        except (ApiException, LookupError, OSError) as error:
            found, last = None, f": {error}"
        if found:
            return found
        time.sleep(_POLL)
    raise AssertionError(f"{what}: not within {seconds:.0f} s{last}")


def helm(*arguments: str, expect: int | None = 0, seconds: float = 400) -> subprocess.CompletedProcess[str]:
    return _run("helm", *arguments, expect=expect, seconds=seconds)


def kubectl(*arguments: str, expect: int | None = 0, seconds: float = 180) -> subprocess.CompletedProcess[str]:
    """What a user would type; everything else goes by the Python client."""
    return _run("kubectl", *arguments, expect=expect, seconds=seconds)


def _run(*command: str, expect: int | None, seconds: float) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
    )
    assert expect is None or ran.returncode == expect, f"{' '.join(command)}\n{ran.stdout}\n{ran.stderr}"
    return ran


def probe(cluster: Cluster, namespace: str, pod: str, addresses: Sequence[str], seconds: float = 2) -> dict[str, bool]:
    """Which addresses answer a pod of the client image."""
    ran = cluster.exec(namespace, pod, "/app/bin/python3.13", "-I", "/app/probe.py", str(seconds), *addresses)
    assert ran.code == 0, ran.out
    return {address: said == "open" for address, said in json.loads(ran.out).items()}


@contextmanager
def removed(cluster: Cluster, *documents: Manifest) -> Iterator[None]:
    """Apply, and delete again."""
    cluster.apply(*documents)
    try:
        yield
    finally:
        for document in reversed(documents):
            metadata = document["metadata"]
            cluster.delete(document["apiVersion"], document["kind"], metadata["name"], metadata.get("namespace"))
