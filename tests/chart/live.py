"""A cluster that holds a few objects, as far as Helm's `lookup` asks one: by HTTP on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.chart.rendering import NAMESPACE, Object

# What discovery tells: each kind's group and version, and its plural.
_KINDS: Final = {
    "ConfigMap": ("v1", "configmaps"),
    "Deployment": ("apps/v1", "deployments"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
}


def living(kind: str, name: str, **parts: Any) -> Object:
    """An object as the API server would answer it."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": _KINDS[kind][0], "kind": kind, "metadata": metadata, **parts}


@contextmanager
def cluster(*objects: Object) -> Iterator[str]:
    """The URL of an API server that holds these, until the end."""
    answers = {**_discovery(), **{_path(each): each for each in objects}}

    class Handler(_Handler):
        known = answers

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    known: Mapping[str, Object]

    def do_GET(self) -> None:
        found = self.known.get(self.path.partition("?")[0])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(found or missing).encode()
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _folder(version: str) -> str:
    return f"/{'apis' if '/' in version else 'api'}/{version}"


def _path(each: Object) -> str:
    version, plural = _KINDS[each["kind"]]
    return f"{_folder(version)}/namespaces/{NAMESPACE}/{plural}/{each['metadata']['name']}"


def _discovery() -> dict[str, Object]:
    lists: dict[str, Object] = {}
    for kind, (version, plural) in _KINDS.items():
        resource = {"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
        empty = {"kind": "APIResourceList", "groupVersion": version, "resources": []}
        lists.setdefault(_folder(version), empty)["resources"].append(resource)
    return {"/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}, **lists}
