"""Who reaches whom: the whole matrix of sources, destinations and ports has exactly the edges that the values list."""

from __future__ import annotations

import concurrent.futures
import os

import pytest

from tests.cluster import kube, once, place
from tests.cluster.conftest import Place
from tests.support.pki import Authority

pytestmark = pytest.mark.usefixtures("gate")

SOURCES = {
    "orchestrator a": (place.AGENTS[0], "orchestrator"),
    "orchestrator b": (place.AGENTS[1], "orchestrator"),
    "another pod beside orchestrator a": (place.AGENTS[0], "colleague"),
    "a pod elsewhere with the orchestrator's labels": (place.ELSEWHERE, "stranger"),
    "Prometheus": (place.MONITORING, "prometheus"),
    "a pod in the gate's namespace": (place.GATE, "neighbour"),
    "the PEP's network position": (place.GATE, "position"),
}
SERVICE = f"{place.RELEASE}.{place.GATE}.svc:8443"
CRM = f"crm.{place.CRM}.svc:8443"
POSTGRES = f"postgres.{place.DATA}.svc:5432"
DNS = "kube-dns.kube-system.svc:53"
API = "kubernetes.default.svc:443"


# Says "cut" where the connection ends without one byte of HTTP, and else what came.
KNOCK = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/identity/ca.crt")
if sys.argv[3] != "none":
    context.load_cert_chain(f"/identity/{sys.argv[3]}.crt", f"/identity/{sys.argv[3]}.key")
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname=sys.argv[1]) as channel:
            channel.sendall(b"GET /.well-known/oauth-protected-resource HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            print(channel.recv(100)[:12].decode() or "cut")
except (ssl.SSLError, ConnectionError) as error:
    print("cut")
"""


def destinations(gate: Place) -> dict[str, str]:
    """What a row shows -> the address."""
    found = {"the gate's Service": SERVICE}
    for pod in gate.cluster.pods(place.GATE, place.SELECTOR):
        for each in pod.status.pod_ips:
            address = f"[{each.ip}]" if ":" in each.ip else each.ip
            found |= {
                f"{pod.metadata.name} {address}:{port}": f"{address}:{port}" for port in (7351, 7352, 7353, 8443, 8444)
            }
    bystander = gate.cluster.core.read_namespaced_pod("bystander", place.GATE).status.pod_ip
    found |= {
        "the listed upstream": CRM,
        "another port of the listed upstream": f"crm.{place.CRM}.svc:9443",
        "an unlisted service": f"unlisted.{place.CRM}.svc:8443",
        "the database": POSTGRES,
        "a bystander in the gate's namespace": f"{bystander}:9999",
        "the cluster's DNS": DNS,
        "the API server": API,
    }
    return found | {f"outside {address}": address for address in os.environ.get("OUTSIDE", "").split()}


def expected(gate: Place) -> set[tuple[str, str]]:
    """The edges that values and floor list, for these sources. Those in other namespaces go out as they like."""
    rows = destinations(gate)
    free = {"the listed upstream", "another port of the listed upstream", "an unlisted service", "the database"}
    free |= {"the cluster's DNS", "the API server"} | {row for row in rows if row.startswith("outside")}
    edges = {(source, row) for source, (namespace, _) in SOURCES.items() for row in free if namespace != place.GATE}
    for source in ("orchestrator a", "orchestrator b"):
        edges |= {(source, "the gate's Service")} | {
            (source, row) for row in rows if row.startswith(place.RELEASE) and row.endswith(":8443")
        }
    edges |= {("Prometheus", row) for row in rows if row.endswith((":8444", ":7353"))}
    edges |= {(source, "the cluster's DNS") for source in SOURCES}
    return edges | {("the PEP's network position", row) for row in ("the listed upstream", "the database")}


def test_k2_exactly_the_listed_edges_exist(gate: Place) -> None:
    rows, wanted = destinations(gate), expected(gate)

    def reached(source: str) -> set[tuple[str, str]]:
        namespace, pod = SOURCES[source]
        found = kube.probe(gate.cluster, namespace, pod, list(rows.values()))
        return {(source, row) for row, address in rows.items() if found[address]}

    def whole() -> bool:
        with concurrent.futures.ThreadPoolExecutor(len(SOURCES)) as threads:
            found = set().union(*threads.map(reached, SOURCES))
        assert not found - wanted, f"too many: {found - wanted}"
        if missing := wanted - found:
            raise LookupError(f"missing: {missing}")
        return True

    # A new pod's rules reach the nodes a little later; no look may show one too many.
    kube.until("every listed edge", whole)


@pytest.mark.parametrize(("certificate", "answer"), [("tls", "HTTP/1.1 200"), ("none", "cut"), ("other", "cut")])
def test_k1_without_a_certificate_of_the_ca_no_byte_comes_back(gate: Place, certificate: str, answer: str) -> None:
    stranger = Authority("Another CA").client(f"{place.DOMAIN}/{place.AGENTS[0]}")
    files = gate.identity(place.AGENTS[0])
    more = {"other.crt": stranger.certificate_pem, "other.key": stranger.key_pem}
    gate.cluster.apply(place.secret(place.AGENTS[0], "identity-and-another", files | more))
    host, _, port = SERVICE.rpartition(":")
    said = once.run(
        gate.cluster, place.AGENTS[0], place.ORCHESTRATOR, KNOCK, host, port, certificate, secret="identity-and-another"
    )
    assert said == answer


# The status of a list of tools, asked as the identity in /identity with alice's token.
ASK = """
import http.client, json, pathlib, ssl, sys
identity = pathlib.Path("/identity")
context = ssl.create_default_context(cafile=identity / "ca.crt")
context.load_cert_chain(identity / "tls.crt", identity / "tls.key")
there = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), timeout=60, context=context)
token = (identity / "token").read_text().strip()
told = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
there.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}), told)
print(there.getresponse().status)
"""


@pytest.mark.parametrize(
    ("called", "answer"),
    [(place.AGENTS[0], "200"), ("prometheus", "401"), ("nobody", "401")],
    ids=["orchestrator", "prometheus", "nobody"],
)
def test_k1_a_certificate_of_the_ca_that_is_not_an_orchestrators_calls_nothing(
    gate: Place, called: str, answer: str
) -> None:
    gate.cluster.apply(place.secret(place.AGENTS[0], f"identity-{called}", gate.identity(called)))
    host, _, port = SERVICE.rpartition(":")
    said = once.run(gate.cluster, place.AGENTS[0], place.ORCHESTRATOR, ASK, host, port, secret=f"identity-{called}")
    assert said == answer


# Status and the names of the metrics that came back, over TLS with the certificate in /identity or without one.
SCRAPE = """
import http.client, ssl, sys
host, port, certificate = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if port == 7353:
    there = http.client.HTTPConnection(host, port, timeout=60)
else:
    context = ssl.create_default_context(cafile="/identity/ca.crt")
    context.check_hostname = False  # asked by a pod's address; the chart's ServiceMonitor says the server's name
    if certificate == "tls":
        context.load_cert_chain("/identity/tls.crt", "/identity/tls.key")
    there = http.client.HTTPSConnection(host, port, timeout=60, context=context)
there.request("GET", "/metrics")
answer = there.getresponse()
print(answer.status, "sallyport_" in answer.read().decode())
"""


@pytest.mark.parametrize(
    ("port", "certificate", "answer"),
    [("8444", "tls", "200 True"), ("8444", "none", "403 False"), ("7353", "none", "200 True")],
)
def test_prometheus_sees_each_replicas_metrics_by_its_certificate(
    gate: Place, port: str, certificate: str, answer: str
) -> None:
    gate.identify(place.MONITORING, "prometheus")
    labels = {"app.kubernetes.io/name": "prometheus"}
    for pod in gate.cluster.pods(place.GATE, place.SELECTOR):
        said = once.run(gate.cluster, place.MONITORING, labels, SCRAPE, str(pod.status.pod_ip), port, certificate)
        assert said == answer
