"""The Kubernetes API as these commands need it: the only module that imports the client, which takes a second to load."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

import websocket
from kubernetes import client, config, stream
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import conversions
from sallyport.cli.k8s.objects import ConfigMap, Event, Pod, Workload
from sallyport.cli.k8s.trouble import Changed, Forbidden, Missing, Right, Unreachable
from sallyport.runtime import strict_json

_TIMEOUT: Final = (5.0, 20.0)  # seconds to connect, and to read
_TUNNEL_SECONDS: Final = 5.0
_MANAGER: Final = "sallyport"
_MERGE: Final = "application/merge-patch+json"
_FORBIDDEN, _NOT_FOUND, _CONFLICT, _UNAUTHORIZED = 403, 404, 409, 401
_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


_SAYS_WHY: Final = (config.ConfigException, OSError)
# Whatever the library stumbles over where a file has another form.
_NO_KUBECONFIG: Final = (*_SAYS_WHY, YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError)


class Cluster:
    """One API server, as one user. Every method raises a Complaint that names what to do."""

    def __init__(self, configuration: client.Configuration, namespace: str) -> None:
        configuration.retries = 0  # a command that waits says so itself
        websocket.setdefaulttimeout(_TUNNEL_SECONDS)  # else a node that is gone holds us for ever
        threading.excepthook = _without_proxies
        self._configuration = configuration
        self.namespace = namespace  # the context's own

    @classmethod
    def connect(cls, kubeconfig: Path | None, context: str | None) -> Cluster:
        """By kubeconfig as kubectl reads it, or as a pod of the cluster. Nothing is asked yet."""
        configuration = client.Configuration()
        file = None if kubeconfig is None else str(kubeconfig)
        try:
            if file is None and context is None and _only_in_cluster():
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                return cls(configuration, _OWN_NAMESPACE.read_text(encoding="ascii").strip())
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=file, context=context, client_configuration=configuration, persist_config=False
            )
            contexts, current = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
            chosen = next((each for each in contexts if each["name"] == context), current)
            return cls(configuration, _namespace(chosen["context"]))
        except _NO_KUBECONFIG as error:
            # What the library and the parser say may quote the file, and that has keys and tokens.
            why = conversions.first_line(str(error)) if isinstance(error, _SAYS_WHY) else "the kubeconfig isn't one"
            raise Complaint(
                f"no cluster is known: {why}", "set KUBECONFIG, or give --kubeconfig and --context, as for kubectl"
            ) from None

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(client.ApiClient(self._configuration))

    def pods(self, namespace: str, selector: str) -> tuple[Pod, ...]:
        with _asking(Right(("list",), "pods", namespace)):
            found = self._core.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=_TIMEOUT)
        return tuple(sorted(map(conversions.pod, found.items), key=lambda pod: pod.name))

    def config_map(self, namespace: str, name: str) -> ConfigMap:
        with _asking(Right(("get",), "configmaps", namespace), f"ConfigMap {name}"):
            return conversions.config_map(
                self._core.read_namespaced_config_map(name, namespace, _request_timeout=_TIMEOUT)
            )

    def replace_files(self, namespace: str, before: ConfigMap, files: Mapping[str, bytes]) -> ConfigMap:
        """All of its files, if it is still as we read it: the server compares the version and writes in one step."""
        text, binary = conversions.as_data(files)
        body = {
            "metadata": {"resourceVersion": before.version},
            "data": dict.fromkeys(before.files) | text,  # null removes a file
            "binaryData": dict.fromkeys(before.files) | binary,
        }
        with _asking(Right(("patch",), "configmaps", namespace), f"ConfigMap {before.name}"):
            written = self._core.patch_namespaced_config_map(
                before.name, namespace, body, field_manager=_MANAGER, _content_type=_MERGE, _request_timeout=_TIMEOUT
            )
        return conversions.config_map(written)

    def create_files(self, namespace: str, name: str, files: Mapping[str, bytes]) -> ConfigMap:
        """A new one; one that somebody else made meanwhile is a conflict."""
        text, binary = conversions.as_data(files)
        body = {"metadata": {"name": name}, "data": text, "binaryData": binary}
        with _asking(Right(("create",), "configmaps", namespace), f"ConfigMap {name}"):
            made = self._core.create_namespaced_config_map(
                namespace, client.V1ConfigMap.model_validate(body), field_manager=_MANAGER, _request_timeout=_TIMEOUT
            )
        return conversions.config_map(made)

    def delete_config_map(self, namespace: str, before: ConfigMap) -> None:
        """If it still is as we read it."""
        only = client.V1DeleteOptions.model_validate({"preconditions": {"resourceVersion": before.version}})
        with _asking(Right(("delete",), "configmaps", namespace), f"ConfigMap {before.name}"):
            self._core.delete_namespaced_config_map(before.name, namespace, body=only, _request_timeout=_TIMEOUT)

    def annotate(self, namespace: str, pod: str, annotations: Mapping[str, str]) -> None:
        body = {"metadata": {"annotations": dict(annotations)}}
        with _asking(Right(("patch",), "pods", namespace), f"pod {pod}"):
            self._core.patch_namespaced_pod(
                pod, namespace, body, field_manager=_MANAGER, _content_type=_MERGE, _request_timeout=_TIMEOUT
            )

    def deployment_uid(self, namespace: str, name: str) -> str:
        with _asking(Right(("get",), "deployments", namespace, "apps"), f"Deployment {name}"):
            apps = client.AppsV1Api(client.ApiClient(self._configuration))
            found = apps.read_namespaced_deployment(name, namespace, _request_timeout=_TIMEOUT)
        return (found.metadata and found.metadata.uid) or ""

    def write_event(self, namespace: str, about: Workload, event: Event) -> None:
        reference = {"apiVersion": "apps/v1", "kind": about.kind, "name": about.name, "namespace": namespace}
        body = {
            "metadata": {"generateName": f"{about.name}.", "namespace": namespace},
            "involvedObject": reference | ({"uid": about.uid} if about.uid else {}),
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "message": event.message,
            "firstTimestamp": event.at.isoformat(),
            "lastTimestamp": event.at.isoformat(),
            "count": 1,
            "source": {"component": _MANAGER},
            "reportingComponent": _MANAGER,
            "reportingInstance": socket.gethostname()[:128],
        }
        with _asking(Right(("create",), "events", namespace)):
            self._core.create_namespaced_event(
                namespace, client.CoreV1Event.model_validate(body), _request_timeout=_TIMEOUT
            )

    def events(self, namespace: str) -> tuple[Event, ...]:
        """Ours, the oldest first."""
        with _asking(Right(("list",), "events", namespace)):
            found = self._core.list_namespaced_event(
                namespace, field_selector=f"reportingComponent={_MANAGER}", _request_timeout=_TIMEOUT
            )
        return tuple(sorted(map(conversions.event, found.items), key=lambda event: event.at))

    @contextmanager
    def tunnel(self, namespace: str, pod: str, port: int) -> Iterator[socket.socket]:
        """A connection from 127.0.0.1 in the pod, by way of the API server and the pod's kubelet."""
        right = Right(("get", "create"), "pods/portforward", namespace)  # which one, depends on the server's version
        # One client a tunnel: the library changes it while it connects, and other threads have theirs.
        core = client.CoreV1Api(client.ApiClient(self._configuration))
        with _asking(right, f"pod {pod}"):
            forward = stream.portforward(core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        try:
            end = forward.socket(port)
            end.settimeout(_TUNNEL_SECONDS)
            yield end
        except OSError as error:
            raise Unreachable(
                f"port {port} of pod {pod} doesn't answer: {conversions.first_line(forward.error(port)) or error}",
                "look at the pod: kubectl describe pod, kubectl logs",
            ) from None
        finally:
            forward.close()


def _without_proxies(ended: threading.ExceptHookArgs) -> None:
    """The library's thread behind a tunnel dies of a connection that ends; whoever reads from the tunnel tells it."""
    if ended.thread is None or not ended.thread.name.startswith("Kubernetes port forward"):
        threading.__excepthook__(ended)


def _namespace(context: Mapping[str, object]) -> str:
    match context.get("namespace"):
        case None | "":
            return "default"
        case str(name):
            return name
    raise TypeError


def _only_in_cluster() -> bool:
    home = Path("~/.kube/config").expanduser()
    return "KUBECONFIG" not in os.environ and not home.exists() and _OWN_NAMESPACE.exists()


@contextmanager
def _asking(right: Right, about: str = "") -> Iterator[None]:
    """Whatever the API server or the way to it says, as a Complaint."""
    try:
        yield
    except ApiException as error:
        raise _complaint(error, right, about) from None
    except HTTPError as error:
        why = conversions.first_line(str(getattr(error, "reason", error)).rpartition("connection: ")[2])
        raise Unreachable(f"the API server doesn't answer: {why}", "try: kubectl version; check KUBECONFIG") from None


def _complaint(error: ApiException, right: Right, about: str) -> Complaint:
    status = error.status or getattr(error.__context__, "status_code", 0)  # a tunnel's refusal hides its own
    if status == _FORBIDDEN:
        return Forbidden(right)
    if status == _NOT_FOUND:
        return Missing(f"{about} isn't in namespace {right.namespace}", "was it deleted just now? run this again")
    if status == _CONFLICT:
        return Changed(f"somebody else changed {about} meanwhile", "look at what it says now, then push again")
    if status == _UNAUTHORIZED:
        return Complaint("the cluster doesn't know you", "log in again, as for kubectl", Exit.REFUSED)
    said = _message(error) or str(error.reason)
    if not status:
        return Unreachable(
            f"{about or 'the API server'} can't be reached: {conversions.first_line(said)}", "try again, or kubectl"
        )
    return Complaint(f"the cluster refused to {right}: {said}", "mend what it says, then try again", Exit.FAILED)


def _message(error: ApiException) -> str:
    """The server's own sentence, of its Status."""
    try:
        document = strict_json.parse((error.body or "").encode())
    except strict_json.JsonRefused:
        return ""
    match document:
        case {"message": str(message)}:
            return message
    return ""
