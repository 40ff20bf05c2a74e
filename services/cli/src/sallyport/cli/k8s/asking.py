"""What one pod says of itself, asked from 127.0.0.1 within it: the PDP's metrics, and why the PEP isn't ready."""

from __future__ import annotations

import http.client
import math
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeGuard

from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import answers, promptly
from sallyport.cli.k8s.answers import Wrap
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.objects import Pod
from sallyport.cli.k8s.trouble import Forbidden
from sallyport.cli.plain import cut, plain
from sallyport.runtime import strict_json

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

_METRICS_PORT: Final = 7353
_MANAGEMENT_PORT: Final = 8444
_PARALLEL: Final = 16
_POD_SECONDS: Final = 5.0  # for all that one pod says
_MAX_REASON, _MAX_REASONS = 4096, 32  # bytes of one, as the PEP's own, and how many of a pod
_REVISION: Final = re.compile(r'^sallyport_pdp_revision_info\{revision="([0-9a-f]{64})"\} 1(?:\.0)?$', re.MULTILINE)
_IN_FORCE: Final = re.compile(r"revision [0-9a-f]{64}(; )?")  # what /ready tells of good policies, too
_GOOD: Final = re.compile(r"^sallyport_pdp_last_reload_success ([01])(?:\.0)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one pod."""

    revision: str = ""  # in force in its PDP; empty if none is, or it doesn't say
    heard: bool = False  # both services answered
    refused: bool = False  # the last set it looked at doesn't serve
    errors: tuple[str, ...] = ()  # what it says is wrong, or why it says nothing


LATE: Final = Answer(errors=("no answer in time",))


def everybody(cluster: Cluster, gate: Gate, ca: Path | None = None, until: float = math.inf) -> Mapping[str, Answer]:
    """Each pod's answer by its name; one that is silent or never done holds up no other. Raises Forbidden."""
    context = _context(ca)
    rounds = -(-len(gate.pods) // _PARALLEL)
    until = min(until, time.monotonic() + rounds * (_POD_SECONDS + 1))
    calls = {pod.name: partial(_ask, cluster, gate.namespace, pod, context, until) for pod in gate.pods}
    heard = promptly.gather(calls, until, _PARALLEL)
    return {pod.name: heard.get(pod.name, LATE) for pod in gate.pods}


def _ask(cluster: Cluster, namespace: str, pod: Pod, context: ssl.SSLContext, until: float) -> Answer:
    until = min(until, time.monotonic() + _POD_SECONDS)

    def get(port: int, path: str, wrap: Wrap) -> tuple[int, bytes]:
        with cluster.tunnel(namespace, pod.name, port) as end:
            return answers.get(end, wrap, path, until)

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
    return Answer(revision, not silent, refused, tuple(cut(plain(error), _MAX_REASON) for error in told))


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
        listed = [cut(f"{name}: {detail}", _MAX_REASON) for name, detail in told if detail]
        more = [f"and {len(listed) - _MAX_REASONS} more"] if len(listed) > _MAX_REASONS else []
        return listed[:_MAX_REASONS] + more
    return [] if status == http.client.OK else [f"readiness answered {status}, and no reasons"]


def _is_reason(entry: object) -> TypeGuard[dict[str, object]]:
    return isinstance(entry, dict) and {"name", "detail"} <= entry.keys()


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
