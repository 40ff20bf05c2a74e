"""A small API server of ConfigMaps over real HTTP: versions, conflicts and rights as Kubernetes has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kubernetes import client

from sallyport.cli.k8s.cluster import Cluster

NAMESPACE = "ns"
_COLLECTION = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


class Refused(Exception):
    """By its status."""


@dataclass
class Store:
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    forbidden: set[tuple[str, str]] = field(default_factory=set)  # (verb, name); "*" is every name
    version: int = 0

    def put(self, name: str, data: Mapping[str, str | None]) -> dict[str, Any]:
        self.version += 1
        kept = {file: text for file, text in data.items() if text is not None}
        self.maps[name] = {"metadata": {"name": name, "resourceVersion": str(self.version)}, "data": kept}
        return self.maps[name]

    def files(self) -> dict[str, dict[str, str]]:
        return {name: each["data"] for name, each in self.maps.items()}

    def answer(self, method: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        name = name or body["metadata"]["name"]
        verb = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]
        if {(verb, name), (verb, "*")} & self.forbidden:
            raise Refused(403)
        if (verb == "create") == (name in self.maps):
            raise Refused(409 if name in self.maps else 404)
        if verb == "create":
            return self.put(name, body.get("data", {}))
        found = self.maps[name]
        only = body.get("metadata", body.get("preconditions", {})).get("resourceVersion")
        if only not in (None, found["metadata"]["resourceVersion"]):
            raise Refused(409)
        if verb == "delete":
            return self.maps.pop(name)
        return self.put(name, found["data"] | body["data"]) if verb == "patch" else found


@contextmanager
def serve(store: Store) -> Iterator[Cluster]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            name = self.path.partition("?")[0].removeprefix(_COLLECTION).removeprefix("/")
            try:
                status, document = 200, store.answer(self.command, name, body)
            except Refused as refused:
                status, document = refused.args[0], {"kind": "Status", "message": "no"}
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        configuration = client.Configuration()
        configuration.host = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield Cluster(configuration, NAMESPACE)
        finally:
            server.shutdown()
            thread.join()
