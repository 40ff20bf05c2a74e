"""`make bench`: the gate against a bare SDK server with the same tool, an upstream through the gate and past it, many
streams, then the PDP alone, each beside a peer.

Machines are shared and noisy: the ratios are what to quote. The gate's peer has no TLS, no tokens, no policies, no
record. `python -m tests.bench gate`, `proxied`, `streams` or `pdp` measures one of them.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from sallyport.cli.endpoint import Endpoint
from sallyport.runtime.tls import client_context
from tests.bench import pdp, proxied, streams
from tests.bench.figures import resident_mib, say
from tests.bench.load import Target, http_request
from tests.bench.measuring import CLIENTS, META, ROUNDS, SECONDS, VERSION, compare, rounds
from tests.support import laptop

ROOMS = Path(__file__).resolve().parents[2] / "services/pep/src/sallyport/pep"


def call_body() -> bytes:
    params = {"_meta": META, "name": "read_file", "arguments": {"path": "alice/notes.txt"}}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def headers(**more: str) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": "read_file",
        **more,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def bare(directory: Path) -> Iterator[Target]:
    port = free_port()
    script = Path(__file__).with_name("bare_server.py")
    process = subprocess.Popen([sys.executable, str(script), str(port), str(directory / "files")])
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        request = http_request(f"127.0.0.1:{port}", headers(), call_body())
        yield Target("127.0.0.1", port, None, request, b'"isError":false')
    finally:
        process.terminate()
        process.wait()


def gated(directory: Path, endpoint: Endpoint) -> Target:
    url = urlsplit(endpoint.mcp_url)
    token = laptop.token(directory, ttl=3600)
    request = http_request(url.netloc, headers(authorization=f"Bearer {token}"), call_body())
    tls = client_context(Path(endpoint.ca_file))
    return Target(str(url.hostname), int(url.port or 0), tls, request, b'"isError":false')


def lines_per_room() -> Iterator[tuple[str, int]]:
    for path in sorted(ROOMS.iterdir()):
        files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
        if files:
            yield path.name, sum(len(file.read_text().splitlines()) for file in files)


def main() -> None:
    chosen = sys.argv[1:] or ["gate", "proxied", "streams", "pdp"]
    if "gate" in chosen:
        gate()
    if "proxied" in chosen:
        proxied.run()
    if "streams" in chosen:
        streams.run()
    if "pdp" in chosen:
        uvloop.run(pdp.run())


def gate() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = laptop.init(Path(scratch) / "gate")
        say(f"read_file, a permitted call; {ROUNDS} rounds of {SECONDS:g} s each, medians; latencies in ms")
        say(f"{'':28}{'calls/s':>10}{'p50':>8}{'p99':>8}")
        with laptop.up(directory) as running, bare(directory) as peer:
            ours = gated(directory, running.endpoint)
            for clients in CLIENTS:
                compare(clients, "bare SDK server", rounds(peer, clients), rounds(ours, clients))
            at = running.endpoint
            say(f"memory after the load: PEP {resident_mib(at.pep):.0f} MiB, PDP {resident_mib(at.pdp):.0f} MiB")
    say("lines of code per room of the PEP: " + ", ".join(f"{name} {count}" for name, count in lines_per_room()))
    say()


if __name__ == "__main__":
    main()
