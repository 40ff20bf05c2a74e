"""A flood of strangers: ten a second one by one, the rest counted, within the bytes of the day and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sallyport.audit import record
from sallyport.audit.flood import Budget, network
from tests.unit.audit.made import SCALE, Home, records


class Log:
    """Where a budget's records go, with a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[tuple[str, Mapping[str, Any]]] = []
        self.source: Callable[[], list[tuple[str, Mapping[str, Any]]]]

    def append(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.lines.append((kind, fields))

    def add_source(self, source: Callable[[], list[tuple[str, Mapping[str, Any]]]]) -> None:
        self.source = source

    def tick(self) -> None:
        self.now += 1
        self.lines += self.source()

    @property
    def bytes(self) -> int:
        return sum(len(record.encode(fields)) + 300 for _, fields in self.lines)


def test_n26_ten_stand_alone_and_the_rest_is_one_summary_a_second() -> None:
    log = Log()
    budget = Budget(log, clock=lambda: log.now)
    for second in range(3):
        for number in range(100):
            budget.refuse("unauthenticated", f"192.0.2.{number}", {"detail": "no token"})
        log.tick()
        assert [kind for kind, _ in log.lines[second * 11 :]] == [*["refusal"] * 10, "summary"]
        counts = [{"reason": "unauthenticated", "network": "192.0.2.0/24", "count": 90}]
        assert log.lines[-1][1] == {"total": 90, "counts": counts}


def test_n26_a_million_sources_keep_memory_and_disk_bounded_and_none_uncounted() -> None:
    log, total = Log(), 100_000 * SCALE
    budget = Budget(log, clock=lambda: log.now)
    for number in range(total):
        address = (
            f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            if number % 2
            else f"2001:db8:{number & 0xFFFF:x}::1"
        )
        budget.refuse("tls", address, {})
        assert len(budget._counts) <= 258
        if number % 10_000 == 9_999:
            log.tick()
    alone = sum(kind == "refusal" for kind, _ in log.lines)
    assert alone + sum(fields.get("total", 0) for _, fields in log.lines) == total
    assert all(len(fields.get("counts", ())) <= 33 for _, fields in log.lines)


def test_n26_a_day_of_flood_stays_within_the_days_bytes_and_is_still_told() -> None:
    log = Log()
    budget = Budget(log, bytes_per_day=200_000, clock=lambda: log.now)
    for _ in range(2000):
        log.now += 43.2 - 1
        for number in range(50):
            budget.refuse("tls", f"10.0.{number}.1", {"detail": "x" * 100})
        log.tick()
    assert log.bytes <= 200_000
    last = log.lines[-1][1]
    assert log.lines[-1][0] == "summary"
    assert last["total"] > 100


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("nonsense]\n", "unknown"),
    ],
)
def test_a_source_is_counted_by_the_network_it_cant_leave(address: str, expected: str) -> None:
    assert network(address) == expected


def test_n26_the_last_summary_is_written_before_the_close(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.writing() as writer:
        budget = Budget(writer)
        for _ in range(30):
            budget.refuse("unauthenticated", "192.0.2.1", {"detail": "bad\r\ntoken\ud800" * 10_000})
    lines = records(home.audit / writer.stream)
    assert [line["kind"] for line in lines] == ["open", *["refusal"] * 10, "summary", "close"]
    assert lines[-2]["total"] == 20
