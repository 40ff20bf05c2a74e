"""What Prometheus gets to see: counts in closed lists of labels, of what serves now, and nothing that anybody said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sallyport.pdp import web
from sallyport.pdp.http import Limits, Listener
from sallyport.pdp.http.listener import _holder as holder
from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Verdict
from sallyport.pdp.observer import Decision, Observer, Observers, Reloaded
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.telemetry import Metrics
from sallyport.runtime.problems import Problem
from tests.support.policy_dir import alice, snapshot, tool
from tests.support.raw_http import BOUND, RawClient, request

GET = request(method="GET", target="/metrics", length=False)


class Gauge:
    """A snapshot that a test exchanges, and the metrics that look at it."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.failure = ""
        self.unsealed = 0
        self.before: tuple[Observer, ...] = ()  # who hears of a decision before the metrics
        self.metrics = Metrics(lambda: self.snapshot, lambda: self.failure, lambda: self.unsealed)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"sallyport_pdp_{name}", labels)

    def decided(self, *verdicts: Verdict, actions: tuple[str, ...] = ("read_file",), **changes: Any) -> None:
        given: dict[str, Any] = {
            "decision_id": "0" * 32,
            "source": "grpc",
            "principal": alice(),
            "purpose": Purpose.CALL,
            "queries": tuple(Query(action) for action in actions),
            "verdicts": verdicts,
            "revision": "",
            "question_sha256": b"",
            "seconds": 0.00007,
        }
        Observers((*self.before, self.metrics)).decided(Decision(**{**given, **changes}))

    def reloaded(self, *, serves: bool = True, trigger: str = "change", seconds: float = 0.2) -> None:
        problems = () if serves else (Problem("a.cedar", 1, 1, "canary-1"),)
        Observers((self.metrics,)).reloaded(Reloaded(serves, "r", "r", problems, seconds, trigger))


@pytest.fixture
def gauge() -> Gauge:
    return Gauge()


PERMIT, DENY = Verdict(Effect.PERMIT), Verdict(Effect.DENY)
LABELS = {"source": "grpc", "purpose": "call", "effect": "permit"}


@pytest.mark.parametrize(
    ("action", "group"),
    [
        ("read_file", "read_only"),
        ("write_file", "write"),
        ("drop", "destructive"),
        ("tools/list", "method"),
        ("method:ping", "method"),
        ("canary-2", "unknown"),
        ("group:read_only", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_decision_counts_by_what_its_action_may_do(gauge: Gauge, action: str, group: str) -> None:
    gauge.snapshot = snapshot(tools=[tool("read_file", resources=[{"type": "File", "id": "/p"}], input=_path()),
                                     tool("write_file", "write"), tool("drop", "destructive")])  # fmt: skip
    gauge.decided(PERMIT, actions=(action,))
    assert gauge.value("decisions_total", **LABELS, group=group) == 1
    assert action not in _labels(gauge) - {group}


def _path() -> dict[str, Any]:
    return {"type": "object", "properties": {"p": {"type": "string"}}, "required": ["p"]}


def test_each_verdict_of_a_batch_counts_and_each_kind_of_error_once(gauge: Gauge) -> None:
    gauge.snapshot = snapshot()
    broken = Verdict(Effect.DENY, errors=(ErrorCode.POLICY_ERROR, ErrorCode.INTERNAL))
    gauge.decided(PERMIT, DENY, broken, broken, actions=("read_file", "write_file", "status", "status"))
    assert gauge.value("decisions_total", **{**LABELS, "effect": "deny"}, group="read_only") == 2
    assert gauge.value("decisions_total", **{**LABELS, "effect": "deny"}, group="write") == 1
    assert (gauge.value("errors_total", kind="POLICY_ERROR"), gauge.value("errors_total", kind="INTERNAL")) == (1, 1)
    assert gauge.value("decision_seconds_count", source="grpc") == 1
    assert gauge.value("decision_seconds_bucket", source="grpc", le="5e-05") == 0
    assert gauge.value("decision_seconds_bucket", source="grpc", le="0.0001") == 1


class Full:
    """A record that takes nothing."""

    def decided(self, decision: Decision) -> None:
        raise OSError(decision.decision_id)

    def reloaded(self, event: Reloaded) -> None:
        raise AssertionError(event)


def test_what_can_not_be_recorded_counts_as_the_denial_that_it_becomes(gauge: Gauge) -> None:
    gauge.snapshot, gauge.before = snapshot(), (Full(),)
    with pytest.raises(OSError, match="0" * 32):
        gauge.decided(PERMIT, DENY, actions=("read_file", "write_file"))
    assert gauge.value("decisions_total", **LABELS, group="read_only") is None
    assert gauge.value("decisions_total", **{**LABELS, "effect": "deny"}, group="read_only") == 1
    assert gauge.value("decisions_total", **{**LABELS, "effect": "deny"}, group="write") == 1
    assert gauge.value("errors_total", kind="INTERNAL") == 1


def test_whether_decisions_can_be_recorded_is_shown_as_it_is_when_somebody_looks(gauge: Gauge) -> None:
    assert gauge.value("audit_writable") == 1
    gauge.failure = "no space left on the canary-1 device"
    assert gauge.value("audit_writable") == 0
    assert b"canary" not in gauge.metrics.exposition()
    gauge.failure = ""
    assert gauge.value("audit_writable") == 1


def test_questions_without_a_seal_of_ours_are_counted(gauge: Gauge) -> None:
    assert gauge.value("unsealed_total") == 0
    gauge.unsealed = 7
    assert gauge.value("unsealed_total") == 7


def test_answers_over_authzen_count_by_a_closed_list_of_statuses(gauge: Gauge) -> None:
    for status in (200, 400, 400, *range(600, 700)):
        gauge.metrics.answered(status)
    assert gauge.value("authzen_answers_total", status="400") == 2
    assert gauge.value("authzen_answers_total", status="other") == 100
    assert _labels(gauge) >= {"200", "400", "other"}
    assert not _labels(gauge) & {"600", "699"}


def test_a_listing_and_a_question_that_could_not_be_read_count_by_themselves(gauge: Gauge) -> None:
    gauge.snapshot = snapshot()
    gauge.decided(Verdict(Effect.CONDITIONAL), purpose=Purpose.VISIBILITY)
    refused = Verdict(Effect.DENY, errors=(ErrorCode.INVALID_QUESTION,))
    gauge.decided(refused, refused, principal=None, purpose=None, queries=())
    listed = {"source": "grpc", "purpose": "visibility", "effect": "conditional", "group": "read_only"}
    unread = {"source": "grpc", "purpose": "unknown", "effect": "deny", "group": "unknown"}
    assert (gauge.value("decisions_total", **listed), gauge.value("decisions_total", **unread)) == (1, 2)


def test_n26_no_word_of_a_caller_becomes_a_label(gauge: Gauge) -> None:
    gauge.snapshot = snapshot()
    before = len(_labels(gauge))
    for number in range(100):
        who = Principal(f"canary-{number}", f"canary-{number}", f"canary-{number}", f"canary-{number}")
        denied = Verdict(Effect.DENY, reasons=(f"canary-{number}",), advice=(f"canary-{number}",))
        gauge.decided(denied, actions=(f"canary-{number}",), principal=who, source=f"canary-{number}")
        gauge.reloaded(trigger=f"canary-{number}", serves=False)
    assert b"canary" not in gauge.metrics.exposition()
    assert len(_labels(gauge)) < before + 30


def _labels(gauge: Gauge) -> set[str]:
    families = text_string_to_metric_families(gauge.metrics.exposition().decode())
    return {label for family in families for sample in family.samples for label in sample.labels.values()}


def test_the_revision_in_force_is_the_only_one_that_is_shown(gauge: Gauge) -> None:
    assert (gauge.value("policies"), gauge.value("tools"), _revisions(gauge)) == (0, 0, [])
    gauge.snapshot = first = snapshot()
    assert gauge.value("revision_info", revision=first.revision) == 1
    assert (gauge.value("policies"), gauge.value("tools")) == (len(first.policies), len(first.catalog.tools))
    gauge.snapshot = second = snapshot(tools=[tool("read_file", resources=[{"type": "File", "id": "/p"}],
                                                   input=_path())])  # fmt: skip
    assert _revisions(gauge) == [second.revision]
    assert gauge.value("tools") == 1
    gauge.snapshot = None
    assert _revisions(gauge) == []


def _revisions(gauge: Gauge) -> list[str]:
    families = text_string_to_metric_families(gauge.metrics.exposition().decode())
    return [s.labels["revision"] for family in families for s in family.samples if "revision" in s.labels]


def test_a_reload_tells_its_result_its_time_and_its_age(gauge: Gauge, monkeypatch: pytest.MonkeyPatch) -> None:
    wall, monotonic = 1_700_000_000.0, 500.0
    monkeypatch.setattr("sallyport.pdp.telemetry.time.time", lambda: wall)
    monkeypatch.setattr("sallyport.pdp.telemetry.time.monotonic", lambda: monotonic)
    assert gauge.value("last_successful_reload_timestamp_seconds") is None
    gauge.reloaded(trigger="start")
    wall, monotonic = wall - 3600, monotonic + 30  # a wall clock that is put back ages nothing
    assert gauge.value("last_reload_success") == 1
    assert gauge.value("last_successful_reload_timestamp_seconds") == 1_700_000_000
    assert gauge.value("last_successful_reload_age_seconds") == 30
    gauge.reloaded(serves=False, trigger="signal")
    assert gauge.value("last_reload_success") == 0
    assert gauge.value("last_successful_reload_timestamp_seconds") == 1_700_000_000
    assert gauge.value("reloads_total", result="served", trigger="start") == 1
    assert gauge.value("reloads_total", result="refused", trigger="signal") == 1
    assert (gauge.value("reload_seconds_count"), gauge.value("reload_seconds_sum")) == (2, 0.4)


# The port


@pytest.fixture
async def port(gauge: Gauge) -> AsyncIterator[int]:
    listener = web.metrics_page(gauge.metrics)
    address = await listener.start("127.0.0.1:0")
    yield int(address.rpartition(":")[2])
    await listener.stop(0.5)


async def test_metrics_are_served_in_prometheuss_own_format(gauge: Gauge, port: int) -> None:
    gauge.snapshot = snapshot()
    gauge.decided(PERMIT)
    async with RawClient(port) as client:
        first, second = await client.ask(GET), await client.ask(GET)
    assert (first.status, first.body) == (200, second.body)
    assert first.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(first.body.decode())}
    assert {"sallyport_pdp_decisions", "sallyport_pdp_decision_seconds", "sallyport_pdp_revision_info"} <= families


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request(method="GET", target="/", length=False), 404),
        (request(method="GET", target="/metrics/", length=False), 404),
        (request(method="GET", target="/metrics?x=1", length=False), 404),
        (request(method="GET", target="/access/v1/evaluation", length=False), 404),
        (request(method="POST", target="/metrics"), 405),
        (request(method="HEAD", target="/metrics", length=False), 405),
        (request(b"x", method="GET", target="/metrics"), 400),
        (b"canary\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (GET[:-2] + b"X: " + b"x" * 20_000 + b"\r\n\r\n", 400),
    ],
    ids=range(10),
)
async def test_nothing_else_is_served(port: int, raw: bytes, status: int) -> None:
    async with RawClient(port) as client:
        await client.send(raw)
        whole = await client.closed()
    assert whole.startswith((b"HTTP/1.1 %d" % status, b"HTTP/1.0 %d" % status))
    assert b"canary" not in whole
    assert b"sallyport_pdp" not in whole


@pytest.mark.parametrize(
    ("address", "hosts"), [("[::]:0", ("127.0.0.1", "::1")), ("0.0.0.0:0", ("127.0.0.1",)), ("[::1]:0", ("::1",))]
)
async def test_the_page_is_there_for_ipv4_and_ipv6(gauge: Gauge, address: str, hosts: tuple[str, ...]) -> None:
    listener = web.metrics_page(gauge.metrics)
    bound = await listener.start(address)
    try:
        for host in hosts:
            async with RawClient(int(bound.rpartition(":")[2]), host=host) as client:
                assert (await client.ask(GET)).status == 200
    finally:
        await listener.stop(0)


def test_n26_two_ipv4_clients_of_a_socket_for_both_are_two_holders() -> None:
    first, second = holder("::ffff:10.0.0.1"), holder("::ffff:10.0.0.2")
    assert first != second
    assert first == holder("10.0.0.1")
    assert holder("2001:db8::1") == holder("2001:db8::2") != holder("2001:db9::1")


async def test_n24_a_client_that_never_finishes_its_head_is_cut(gauge: Gauge) -> None:
    async def never(_: object) -> Any:
        raise AssertionError

    listener = Listener("metrics", {"/metrics": {"GET": never}}, Limits(idle_seconds=0.2))
    address = await listener.start("127.0.0.1:0")
    try:
        async with RawClient(int(address.rpartition(":")[2])) as client:

            async def trickle() -> None:
                for byte in GET[:-4]:
                    await client.send(bytes([byte]))
                    await asyncio.sleep(0.02)

            trickling = asyncio.create_task(trickle())
            async with asyncio.timeout(BOUND):
                assert await client.closed() == b""
            trickling.cancel()
    finally:
        await listener.stop(0)


async def test_n26_silent_clients_hold_no_place(port: int) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
    async with RawClient(port) as client:
        assert (await client.ask(GET)).status == 200
    for _, writer in silent:
        writer.transport.abort()


async def test_n26_clients_that_have_been_answered_hold_no_place(gauge: Gauge) -> None:
    listener = web.metrics_page(gauge.metrics)
    port = int((await listener.start("127.0.0.1:0")).rpartition(":")[2])
    try:
        async with contextlib.AsyncExitStack() as held:
            answered = [await held.enter_async_context(RawClient(port)) for _ in range(16)]
            for client in answered:
                assert (await client.ask(GET)).status == 200
            assert (await answered[0].ask(GET)).status == 200  # now the second has waited longest
            newcomer = await held.enter_async_context(RawClient(port))
            assert (await newcomer.ask(GET)).status == 200
            assert await answered[1].closed() == b""
            assert (await answered[0].ask(GET)).status == 200
    finally:
        await listener.stop(0)


async def test_n26_an_address_that_takes_every_place_takes_none_from_another(port: int) -> None:
    other, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    many = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
    async with asyncio.timeout(BOUND):
        assert [await reader.read() for reader, _ in many[:48]] == [b""] * 48
        writer.write(GET)
        assert (await other.readline()).startswith(b"HTTP/1.1 200")
    for _, each in (*many, (other, writer)):
        each.transport.abort()
