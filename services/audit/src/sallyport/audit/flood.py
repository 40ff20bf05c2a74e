"""Records of strangers' refusals, from a budget of their own: a flood neither fills the disk nor crowds out the known.

Ten a second stand one by one. The rest is counted by reason and network (/24 or /64) and goes into one summary a second,
as far as the bytes of the day reach; what they don't reach for waits, counted, for a later summary.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, Protocol

from sallyport.audit import record
from sallyport.audit.record import clean

_DAY: Final = 86400.0
_OVERHEAD: Final = 400  # bytes that place, time and chain add to a record's fields
_MAX_NETWORKS: Final = 256  # counted apart at a time; all others together
_MAX_TEXT: Final = 512  # characters of one field
_MAX_LISTED: Final = 32  # in one summary, the biggest
_OTHER: Final = "other"


class Appender(Protocol):
    """What a budget needs of the writer."""

    def append(self, kind: str, fields: Mapping[str, Any]) -> object: ...
    def add_source(self, source: Callable[[], list[tuple[str, Mapping[str, Any]]]]) -> None: ...


class Budget:
    """In any 24 hours at most `bytes_per_day`: a quarter at once, three quarters as it trickles back."""

    def __init__(
        self,
        writer: Appender,
        *,
        each_per_second: int = 10,
        bytes_per_day: int = 64 << 20,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._writer = writer
        self._each = each_per_second
        self._capacity = bytes_per_day / 4
        self._refill = bytes_per_day * 3 / 4 / _DAY
        self._clock = clock
        self._bytes = self._capacity
        self._at = self._second = clock()
        self._written = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        writer.add_source(self.due)

    def refuse(self, reason: str, address: str, fields: Mapping[str, Any]) -> None:
        """Record one refusal of an unauthenticated peer, or count it. Never waits; the answer needn't either."""
        told = {key: clean(value, _MAX_TEXT) if isinstance(value, str) else value for key, value in fields.items()}
        known = {**told, "reason": reason, "address": clean(address, 64), "effect": "deny"}
        size = len(record.encode(known)) + _OVERHEAD
        with self._lock:
            alone = self._admits(size)
            if not alone:
                self._add(clean(reason, 64), network(address))
        if alone:
            self._writer.append("refusal", known)

    def due(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The summary of what was only counted, if there is any and its bytes are there. Called once a second."""
        with self._lock:
            self._pour()
            if not self._counts:
                return []
            summary = _summary(self._counts)
            size = len(record.encode(summary)) + _OVERHEAD
            if size > self._bytes:
                return []
            self._bytes -= size
            self._counts = Counter()
            return [("summary", summary)]

    def _admits(self, size: int) -> bool:
        """Single records leave half of the bytes to summaries."""
        now = self._pour()
        if now - self._second >= 1:
            self._second, self._written = now, 0
        if self._written >= self._each or self._bytes - size < self._capacity / 2:
            return False
        self._written += 1
        self._bytes -= size
        return True

    def _pour(self) -> float:
        now = self._clock()
        self._bytes = min(self._capacity, self._bytes + (now - self._at) * self._refill)
        self._at = now
        return now

    def _add(self, reason: str, source: str) -> None:
        key = (reason, source)
        if key not in self._counts and len(self._counts) >= _MAX_NETWORKS:
            key = (reason, _OTHER) if (reason, _OTHER) in self._counts else (_OTHER, _OTHER)
        self._counts[key] += 1


def network(address: str) -> str:
    """The /24 or /64 that one source can't leave cheaply; a v4-mapped address counts as IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False))  # noqa: PLR2004 — IPv4


def _summary(counts: Counter[tuple[str, str]]) -> dict[str, Any]:
    listed = counts.most_common(_MAX_LISTED)
    rest = counts.total() - sum(count for _, count in listed)
    entries = [{"reason": reason, "network": source, "count": count} for (reason, source), count in listed]
    if rest:
        entries.append({"reason": _OTHER, "network": _OTHER, "count": rest})
    return {"total": counts.total(), "counts": entries}
