"""What one pod says of itself, asked from 127.0.0.1 within it: the PDP's metrics, and why the PEP isn't ready."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard

from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.objects import Pod
from sallyport.cli.k8s.trouble import Forbidden
from sallyport.cli.plain import plain
from sallyport.runtime import strict_json

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

_METRICS_PORT: Final = 7353
_MANAGEMENT_PORT: Final = 8444
_MAX_BODY: Final = 4 << 20
_PARALLEL: Final = 8
_REVISION: Final = re.compile(r'^sallyport_pdp_revision_info\{revision="([0-9a-f]{64})"\} 1(?:\.0)?$', re.MULTILINE)
_IN_FORCE: Final = re.compile(r"revision [0-9a-f]{64}(; )?")  # what /ready tells of good policies, too
_GOOD: Final = re.compile(r"^sallyport_pdp_last_reload_success ([01])(?:\.0)?$", re.MULTILINE)

Wrap: TypeAlias = Callable[[socket.socket], socket.socket]


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one pod."""

    revision: str = ""  # in force in its PDP; empty if none is, or it doesn't say
    heard: bool = False  # both services answered
    refused: bool = False  # the last set it looked at doesn't serve
    errors: tuple[str, ...] = ()  # what it says is wrong, or why it says nothing


def everybody(cluster: Cluster, gate: Gate, ca: Path | None = None) -> Mapping[str, Answer]:
    """Each pod's answer by its name; one that is silent holds up no other. Raises Forbidden."""
    context = _context(ca)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        answers = pool.map(lambda pod: _ask(cluster, gate.namespace, pod, context), gate.pods)
        return {pod.name: answer for pod, answer in zip(gate.pods, answers, strict=True)}


def _ask(cluster: Cluster, namespace: str, pod: Pod, context: ssl.SSLContext) -> Answer:
    def get(port: int, path: str, wrap: Wrap) -> tuple[int, bytes]:
        with cluster.tunnel(namespace, pod.name, port) as end:
            return _get(wrap(end), path)

    errors = [pod.waiting] if pod.waiting else []
    silent: list[str] = []
    revision, refused = "", False
    try:
        revision, refused = metrics(get(_METRICS_PORT, "/metrics", lambda end: end)[1].decode("utf-8", "replace"))
    except Forbidden:
        raise  # of one pod as of all
    except Complaint as silence:
        silent.append(silence.wrong)
    try:
        errors += reasons(*get(_MANAGEMENT_PORT, "/ready", context.wrap_socket))
    except Complaint as silence:
        silent.append(silence.wrong)
    if refused and not any(error.startswith("policies: ") for error in errors):
        errors.append("policies: the last set it read was refused; see the log of the pdp container")
    # Why a container doesn't run says more than that nobody listens.
    told = errors if pod.waiting else [*errors, *silent]
    return Answer(revision, not silent, refused, tuple(map(plain, told)))


def metrics(text: str) -> tuple[str, bool]:
    """The revision in force, and whether the last set was refused."""
    revision, good = _REVISION.search(text), _GOOD.search(text)
    return revision[1] if revision else "", good is not None and good[1] == "0"


def reasons(status: int, body: bytes) -> Sequence[str]:
    """What /ready lists as wrong: what keeps the PEP from being ready, and what should be mended although it is."""
    try:
        document = strict_json.parse(body)
    except strict_json.JsonRefused:
        document = None
    if isinstance(document, list):
        told = [(entry["name"], _IN_FORCE.sub("", str(entry["detail"]), 1)) for entry in document if _is_reason(entry)]
        return [f"{name}: {detail}" for name, detail in told if detail]
    return [] if status == http.client.OK else [f"readiness answered {status}, and no reasons"]


def _is_reason(entry: object) -> TypeGuard[dict[str, object]]:
    return isinstance(entry, dict) and {"name", "detail"} <= entry.keys()


def _get(end: socket.socket, path: str) -> tuple[int, bytes]:
    """Raises OSError, whatever the other side does."""
    connection = http.client.HTTPConnection("127.0.0.1")
    connection.sock = end
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(_MAX_BODY)
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP answer ({type(error).__name__})") from None
    finally:
        connection.close()


def _context(ca: Path | None) -> ssl.SSLContext:
    """With a CA its chain is checked, without one nothing: API server and kubelet, both authenticated, lead to the pod.

    Never the name: it is the Service's, and the operator's own certificate may bear others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE if ca is None else ssl.CERT_REQUIRED
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except OSError as error:  # ssl.SSLError too
            raise Complaint(f"--ca {ca} can't be used: {error.strerror or error}", "give the CA in PEM") from None
    return context
