"""A server whose answer to a list is a text that no library would write, in a thread of its own: commands run their own loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODERN = "2026-07-28"
GOOD = '{"name":"good","inputSchema":{"type":"object","properties":{"q":{"type":"string"}}}}'
Odd = Callable[[BaseHTTPRequestHandler, dict[str, Any]], bool]


@dataclass
class Raw:
    """`entries` are the texts of the tools; `odd` may answer in its own way, and says whether it did."""

    port: int
    entries: list[str] = field(default_factory=list)
    odd: Odd | None = None
    more: str = ""  # further members of the result

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def result(self, method: str) -> str:
        if method == "server/discover":
            return json.dumps({"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {}})
        member = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources"}.get(method)
        entries = ",".join(self.entries) if method == "tools/list" else ""
        return f'{{"resultType":"complete","{member or "resourceTemplates"}":[{entries}]{self.more}}}'


def send(handler: BaseHTTPRequestHandler, body: bytes, kind: str = "application/json", status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def raw_lists(*entries: str, odd: Odd | None = None) -> Iterator[Raw]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if raw.odd is not None and raw.odd(self, asked):
                return
            answer = f'{{"jsonrpc":"2.0","id":{asked.get("id")},"result":{raw.result(asked["method"])}}}'
            send(self, answer.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    raw = Raw(server.server_address[1], list(entries), odd)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield raw
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
