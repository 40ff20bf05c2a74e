"""`python -m tests.bench proxied`: a call of an upstream's tool through the gate, beside the same call at the upstream."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from sallyport.runtime.tls import client_context
from tests.bench.figures import resident_mib, say
from tests.bench.load import Target, http_request
from tests.bench.measuring import CLIENTS, META, ROUNDS, SECONDS, VERSION, compare, rounds
from tests.support import guarded, laptop
from tests.support.everything_server import serving

_TOOL = "test_simple_text"
_EXPECTED = b"simple text"


def run() -> None:
    with tempfile.TemporaryDirectory() as scratch, serving("--stateless", "--json") as url:
        directory = guarded.make(Path(scratch) / "gate", url)
        say(
            f"{_TOOL} of an upstream, a permitted call; {ROUNDS} rounds of {SECONDS:g} s each, medians; latencies in ms"
        )
        say(f"{'':28}{'calls/s':>10}{'p50':>8}{'p99':>8}")
        with laptop.up(directory) as running:
            there = urlsplit(url)
            direct = Target(
                "127.0.0.1", int(there.port or 0), None, http_request(there.netloc, headers(), body()), _EXPECTED
            )
            here = urlsplit(running.endpoint.mcp_url)
            token = laptop.token(directory, guarded.USER, org="acme", roles=(guarded.role(),), ttl=3600)
            request = http_request(here.netloc, headers(authorization=f"Bearer {token}"), body())
            tls = client_context(Path(running.endpoint.ca_file))
            ours = Target(str(here.hostname), int(here.port or 0), tls, request, _EXPECTED)
            for clients in CLIENTS:
                compare(clients, "the upstream itself", rounds(direct, clients), rounds(ours, clients))
            say(f"memory after the load: PEP {resident_mib(running.endpoint.pep):.0f} MiB")
    say()


def body() -> bytes:
    params = {"_meta": META, "name": _TOOL, "arguments": {}}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def headers(**more: str) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": _TOOL,
        **more,
    }
