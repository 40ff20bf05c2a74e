"""Calls through the gate to what is behind it, and what the replicas say of that."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from sallyport.pep.upstream.pin import pin
from tests.cluster import in_force, once, place
from tests.cluster.conftest import Place
from tests.cluster.in_force import pods
from tests.cluster.reading import readiness

APPROVED: Final = "Customers by name."
INPUT: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
FOUND, DROPPED = "find_customer", "drop_customer"  # what the server in the cluster calls its tools
ASKED_ANEW: Final = 75  # seconds: the gate asks every minute
# The answer to one request as alice, with the identity in /identity.
_ASK: Final = """
import http.client, json, pathlib, ssl, sys
identity = pathlib.Path("/identity")
context = ssl.create_default_context(cafile=identity / "ca.crt")
context.load_cert_chain(identity / "tls.crt", identity / "tls.key")
there = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), timeout=60, context=context)
told = {"Authorization": "Bearer " + (identity / "token").read_text().strip(), "Content-Type": "application/json"}
told["Accept"] = "application/json, text/event-stream"
there.request(sys.argv[3], sys.argv[4], sys.argv[5] or None, told)
print(there.getresponse().read().decode())
"""


def entry(name: str, *, upstream: str = "crm", there: str = "", **more: Any) -> dict[str, Any]:
    """As `sallyport catalog approve` would write it, of the definition as the server sends it."""
    sent: dict[str, Any] = {"name": there or name, "description": APPROVED, "inputSchema": INPUT}
    provider = {"upstream": upstream, **({"tool": there} if there else {})}
    return {"name": name, "provider": provider, "input": INPUT, "pin": pin(sent), **more}


def serve(gate: Place, *more: str) -> None:
    """Install with these values, which make another catalog, and wait until it is in force everywhere."""
    gate.cluster.ready(place.GATE, place.SELECTOR, 3)
    gate.install(*more)
    in_force.settle(gate.cluster)


def quarantined(gate: Place) -> list[str]:
    """What each replica says of it; "" is nothing."""
    names = pods(gate)
    with ThreadPoolExecutor(len(names)) as threads:
        return list(threads.map(lambda pod: _held(gate, pod), names))


def _held(gate: Place, pod: str) -> str:
    """LookupError while it doesn't answer, which isn't to have nothing in quarantine."""
    told = readiness(gate.cluster, pod)
    if not told:
        raise LookupError(f"{pod} doesn't tell its readiness")
    return told.get("definitions", "")


def ask(gate: Place, method: str, **params: Any) -> dict[str, Any]:
    return _asked(gate, "POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))


def published(gate: Place) -> dict[str, Any]:
    """The public keys of the gate's own word, as an orchestrator gets them."""
    return _asked(gate, "GET", "/.well-known/jwks.json", "")


def listed(gate: Place) -> set[str]:
    return {tool["name"] for tool in ask(gate, "tools/list")["result"]["tools"]}


def within(gate: Place, pod: str, program: str) -> str:
    """What a Python program says in a server behind the gate."""
    ran = gate.cluster.exec(place.CRM, pod, "/app/bin/python3.13", "-I", "-c", program)
    assert ran.code == 0, ran.out
    return ran.out


def lines(gate: Place, pod: str, name: str) -> list[str]:
    """Of a file that the server writes: `calls` are those that came."""
    read = f"import pathlib; f = pathlib.Path('/data/{name}'); print(f.read_text() if f.is_file() else '')"
    return within(gate, pod, read).split()


def _asked(gate: Place, method: str, path: str, body: str) -> dict[str, Any]:
    host, _, port = place.URL.removeprefix("https://").removesuffix("/mcp").rpartition(":")
    asked = (host, port, method, path, body)
    said: dict[str, Any] = json.loads(once.run(gate.cluster, place.AGENTS[0], place.ORCHESTRATOR, _ASK, *asked))
    return said
