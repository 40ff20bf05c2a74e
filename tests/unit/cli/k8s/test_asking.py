"""Pods asked over real connections, one of them an opponent that drips, floods, or says nothing at all."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import asking, promptly, waiting
from sallyport.cli.k8s.asking import Answer, everybody, reasons
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.objects import Pod
from sallyport.cli.k8s.standing import Standing, table
from sallyport.cli.k8s.trouble import Unreachable
from tests.support.stopwatch import Stopwatch

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REVISION = "a" * 64
_PACE = 0.05  # seconds between two bytes of one that drips
_METRICS = f'sallyport_pdp_revision_info{{revision="{REVISION}"}} 1\nsallyport_pdp_last_reload_success 1\n'

Serve = Callable[[socket.socket, threading.Event], None]


def says(body: bytes) -> Serve:
    def serve(end: socket.socket, _: threading.Event) -> None:
        end.recv(4096)
        end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    return serve


def drips(end: socket.socket, over: threading.Event) -> None:
    """Never silent for long, and never done."""
    end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    while not over.wait(_PACE):
        end.sendall(b"#")


def drips_its_head(end: socket.socket, over: threading.Event) -> None:
    while not over.wait(_PACE):
        end.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def floods(end: socket.socket, over: threading.Event) -> None:
    end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while not over.is_set():
        end.sendall(b"#" * 65536)


def hangs(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def tls_drips(end: socket.socket, over: threading.Event) -> None:
    """A handshake that goes on: the header of a record, and its bytes one by one."""
    end.sendall(b"\x16\x03\x03\x40\x00")
    while not over.wait(_PACE):
        end.sendall(b"\x00")


class Pods:
    """Tunnels to real servers on this machine, and the pods of whom they are."""

    namespace = "h"

    def __init__(self, ports: Mapping[tuple[str, int], int]) -> None:
        self.ports = ports
        self.listing: Callable[[], object] = lambda: None
        self.opening: Callable[[], object] = lambda: None

    def pods(self, _namespace: str, _selector: str) -> tuple[Pod, ...]:
        self.listing()
        return pods(*dict.fromkeys(name for name, _ in self.ports))

    @contextmanager
    def tunnel(self, _namespace: str, pod: str, port: int) -> Iterator[socket.socket]:
        self.opening()
        try:
            with socket.create_connection(("127.0.0.1", self.ports[pod, port]), 5) as end:
                yield end
        except OSError as error:
            raise Unreachable(f"port {port} of pod {pod} doesn't answer: {error}", "look") from None

    @property
    def as_cluster(self) -> Cluster:
        return cast("Cluster", self)


def pods(*names: str) -> tuple[Pod, ...]:
    return tuple(Pod(name, ready=True, restarts=0, created=NOW, ending=False, waiting="", annotations={}, owner=None)
                 for name in names)  # fmt: skip


@contextmanager
def serving(**each: tuple[Serve, Serve]) -> Iterator[Pods]:
    """Each pod's metrics and management port."""
    over, ports, listeners = threading.Event(), {}, []
    for name, serves in each.items():
        for port, serve in zip((7353, 8444), serves, strict=True):
            listener = socket.create_server(("127.0.0.1", 0))
            threading.Thread(target=_accept, args=(listener, serve, over), daemon=True).start()
            listeners.append(listener)
            ports[name, port] = listener.getsockname()[1]
    try:
        yield Pods(ports)
    finally:
        over.set()
        for listener in listeners:
            listener.close()


def _accept(listener: socket.socket, serve: Serve, over: threading.Event) -> None:
    while True:
        try:
            end, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(end, serve, over), daemon=True).start()


def _serve(end: socket.socket, serve: Serve, over: threading.Event) -> None:
    with end:
        try:
            serve(end, over)
        except OSError:
            return


def gate(cluster: Pods) -> Gate:
    return Gate("h", "gate", cluster.pods("", ""))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_POD_SECONDS", 2.0)


@pytest.mark.parametrize("evil", [drips, drips_its_head, hangs, tls_drips])
def test_a_pod_that_never_ends_its_answer_holds_nobody_up(evil: Serve) -> None:
    with serving(good=(says(_METRICS.encode()), hangs), bad=(evil, evil)) as cluster:
        begun = Stopwatch()
        answers = everybody(cluster.as_cluster, gate(cluster))
        assert begun.seconds < 4
    assert answers["good"].revision == REVISION
    assert (answers["bad"].revision, answers["bad"].heard) == ("", False)
    assert any("7353" in error for error in answers["bad"].errors)


def test_a_handshake_that_never_ends_is_given_up_too() -> None:
    with serving(bad=(says(_METRICS.encode()), tls_drips)) as cluster:
        begun = Stopwatch()
        answer = everybody(cluster.as_cluster, gate(cluster))["bad"]
        assert begun.seconds < 4
    assert answer.revision == REVISION
    assert not answer.heard
    assert any("8444" in error for error in answer.errors)


def test_an_answer_without_end_is_not_read_to_the_end() -> None:
    with serving(bad=(floods, hangs)) as cluster:
        answer = everybody(cluster.as_cluster, gate(cluster))["bad"]
    assert any("more than 4194304 bytes" in error for error in answer.errors)


@pytest.mark.parametrize("head", [b"\xff\x00", b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"])
def test_what_is_no_http_is_an_answer_of_nobody(head: bytes) -> None:
    def babbles(end: socket.socket, _: threading.Event) -> None:
        end.recv(4096)
        end.sendall(head)

    with serving(bad=(babbles, babbles)) as cluster:
        answer = everybody(cluster.as_cluster, gate(cluster))["bad"]
    assert len(answer.errors) == 2
    assert not answer.heard


def test_a_tunnel_that_never_opens_is_not_waited_for() -> None:
    """The client's library has its own idea of patience there."""
    never = threading.Event()
    with serving(lost=(hangs, hangs)) as cluster:
        cluster.opening = lambda: never.wait(30)
        begun = Stopwatch()
        answer = everybody(cluster.as_cluster, gate(cluster))["lost"]
        assert begun.seconds < 4
        never.set()
    assert answer == Answer(errors=("no answer in time",))


def test_a_push_waits_as_long_as_it_said_whatever_a_pod_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_POD_SECONDS", 20.0)
    with serving(good=(says(_METRICS.encode()), hangs), bad=(drips, tls_drips)) as cluster:
        begun = time.monotonic()
        with pytest.raises(Complaint, match="1 of 2 pods don't serve revision aaaaaaaaaaaa after 2 s"):
            waiting.wait(cluster.as_cluster, gate(cluster), REVISION, 2)
        assert 1.9 < time.monotonic() - begun < 5


def test_a_push_waits_as_long_as_it_said_whatever_the_api_server_does() -> None:
    never = threading.Event()
    with serving(good=(hangs, hangs)) as cluster:
        here = gate(cluster)
        cluster.listing = lambda: never.wait(30)
        begun = time.monotonic()
        with pytest.raises(Complaint, match="1 of 1 pods don't serve"):
            waiting.wait(cluster.as_cluster, here, REVISION, 1)
        assert time.monotonic() - begun < 4
        never.set()


def test_a_push_ends_as_soon_as_all_serve() -> None:
    with serving(good=(says(_METRICS.encode()), says(b"[]"))) as cluster:
        begun = time.monotonic()
        waiting.wait(cluster.as_cluster, gate(cluster), REVISION, 60)
        assert time.monotonic() - begun < 5


def test_what_a_pod_says_is_of_bounded_length() -> None:
    listed = [{"name": "policies", "ok": False, "detail": "é" * 9000}] * 1000
    told = reasons(503, json.dumps(listed).encode())
    assert len(told) == 33
    assert told[-1] == "and 968 more"
    assert len(told[0].encode()) <= 4096
    assert told[0].endswith("é…")


def test_the_table_keeps_one_line_short_and_a_program_gets_it_all() -> None:
    (pod,) = pods("gate-0")
    errors = ("policies: " + "x" * 2000, "pdp: " + "y" * 2000)
    standing = Standing((pod,), {"gate-0": Answer(errors=errors)}, NOW)
    line = list(table(standing.rows()))[1]
    shown = line[line.index("policies") :]
    assert len(shown.encode()) == 300
    assert shown.endswith("x…")
    assert json.loads(standing.as_json("h", "gate", []))["pods"][0]["errors"] == list(errors)


def test_no_thread_is_left_when_one_of_them_fails_for_the_end_of_the_process_to_catch() -> None:
    begun, ended = threading.Barrier(3), list[str]()

    def fail() -> str:
        begun.wait(5)
        raise Complaint("wrong", "next")

    def work(name: str) -> str:
        begun.wait(5)
        threading.Event().wait(0.2)  # work that outlasts the other's failure
        ended.append(name)
        return name

    with pytest.raises(Complaint):
        promptly.gather({"a": fail, "b": lambda: work("b"), "c": lambda: work("c")}, time.monotonic() + 10, 3)
    assert sorted(ended) == ["b", "c"]
