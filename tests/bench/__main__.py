"""`make bench`: the gate against a bare SDK server with the same tool, then the PDP alone (pdp.py), each beside a peer.

Machines are shared and noisy: the ratios are what to quote. The gate's peer has no TLS, no tokens, no policies, no
record. `python -m tests.bench gate` or `pdp` measures one of the two.
"""

from __future__ import annotations

import json
import socket
import statistics
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
from tests.bench import pdp
from tests.bench.figures import Figures, resident_mib, say
from tests.bench.load import Target, http_request, measure
from tests.support import laptop

ROUNDS = 3
SECONDS = 3.0
CLIENTS = (1, 32)
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
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


def rounds(target: Target, clients: int) -> Figures:
    """The median of each figure over the rounds."""
    measured = [uvloop.run(measure(target, clients=clients, seconds=SECONDS)) for _ in range(ROUNDS)]
    return Figures(
        statistics.median(one.per_second for one in measured),
        statistics.median(one.p50 for one in measured),
        statistics.median(one.p99 for one in measured),
    )


def lines_per_room() -> Iterator[tuple[str, int]]:
    for path in sorted(ROOMS.iterdir()):
        files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
        if files:
            yield path.name, sum(len(file.read_text().splitlines()) for file in files)


def main() -> None:
    chosen = sys.argv[1:] or ["gate", "pdp"]
    if "gate" in chosen:
        gate()
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
                compare(clients, rounds(peer, clients), rounds(ours, clients))
            at = running.endpoint
            say(f"memory after the load: PEP {resident_mib(at.pep):.0f} MiB, PDP {resident_mib(at.pdp):.0f} MiB")
    say("lines of code per room of the PEP: " + ", ".join(f"{name} {count}" for name, count in lines_per_room()))
    say()


def compare(clients: int, peer: Figures, ours: Figures) -> None:
    for name, one in (("bare SDK server", peer), ("gate: TLS, token, Cedar, audit", ours)):
        say(f"c{clients:<3}{name:<30}{one.per_second:>5.0f}{one.p50:>8.2f}{one.p99:>8.2f}")
    ratio, added = ours.per_second / peer.per_second, ours.p50 - peer.p50
    say(f"c{clients:<3}ratio of calls/s {ratio:.2f}; added p50 {added:+.2f} ms, p99 {ours.p99 - peer.p99:+.2f} ms")


if __name__ == "__main__":
    main()
