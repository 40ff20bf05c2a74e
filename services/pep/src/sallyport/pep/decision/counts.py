"""How many tool calls a compound identity was permitted within the last hour or is having judged now, as far as known.

A count that may be too low would open what a policy means to shut, so it errs upwards, by at most one bucket of time,
and is None (absent for the PDP) where calls may have been forgotten. Calls at the same moment see each other: whoever
asks first reserves. Each process counts for itself, from its start.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sallyport.pep.model import Caller, Identity

Key: TypeAlias = tuple[str, str, str, str]

BUCKET: Final = 300.0  # seconds
BUCKETS: Final = 13  # the running one and an hour's before it
IDENTITIES: Final = 16_384  # about 10 MiB when all of them are there


@dataclass(slots=True)
class _Entry:
    whole_from: int  # the bucket from which on nothing that was forgotten of them is within the hour
    last: int  # the bucket of the last call
    calls: array[int] = field(default_factory=lambda: array("L", [0] * BUCKETS))

    def add(self, bucket: int) -> None:
        for passed in range(self.last + 1, min(bucket, self.last + BUCKETS) + 1):
            self.calls[passed % BUCKETS] = 0
        self.last = bucket
        self.calls[bucket % BUCKETS] += 1

    def total(self, bucket: int) -> int:
        return sum(self.calls[within % BUCKETS] for within in range(bucket - BUCKETS + 1, self.last + 1))


class Reservation:
    """One call that is being judged, or has its permit and hasn't begun. Whoever made it settles it or gives it back."""

    __slots__ = ("_counts", "_held", "_key", "before")

    def __init__(self, counts: CallCounts, key: Key, before: int | None) -> None:
        self._counts = counts
        self._key = key
        self._held = True
        self.before = before  # the count without this call, or None where it isn't known

    def settle(self) -> None:
        """The call begins just now: from here on it counts for an hour."""
        self._counts._add(self._key)  # noqa: SLF001 — counted before it is let go: in between it may count twice, never not at all
        self.give_back()

    def give_back(self) -> None:
        """The call won't begin, or has been counted; a second time changes nothing."""
        if self._held:
            self._held = False
            self._counts._let_go(self._key)  # noqa: SLF001 — the other half of `reserve`


class CallCounts:
    """At most `most` identities; when a counted one has to go, for an hour whoever isn't here has no count."""

    def __init__(self, most: int = IDENTITIES, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._entries: dict[Key, _Entry] = {}  # in the order of their last calls
        self._whole_from = 0
        self._reserved: dict[Key, int] = {}  # as many as calls run at once, so it needs no bound of its own

    def of(self, who: Caller | Identity) -> int | None:
        """Calls within the last hour, or a little longer ago, and those reserved; None if some may have been forgotten."""
        bucket, key = self._bucket(), _key(who)
        reserved = self._reserved.get(key, 0)
        entry = self._entries.get(key)
        if entry is None:
            return reserved if bucket >= self._whole_from else None
        return entry.total(bucket) + reserved if bucket >= entry.whole_from else None

    def reserve(self, who: Caller | Identity) -> Reservation:
        """To be taken when a call's question is put, and ended with that call: others count it in between."""
        key, before = _key(who), self.of(who)
        self._reserved[key] = self._reserved.get(key, 0) + 1
        return Reservation(self, key, before)

    def _let_go(self, key: Key) -> None:
        left = self._reserved.pop(key) - 1
        if left:
            self._reserved[key] = left

    def _add(self, key: Key) -> None:
        bucket = self._bucket()
        entry = self._entries.pop(key, None)
        if entry is None:
            entry = _Entry(self._whole_from, bucket)  # whoever is forgotten for this one is somebody else
            self._make_room()
        entry.add(bucket)
        self._entries[key] = entry

    def _make_room(self) -> None:
        while len(self._entries) >= self._most:
            oldest = self._entries.pop(next(iter(self._entries)))
            # From then on their calls are out of every window; it's past already where nothing is lost.
            self._whole_from = max(self._whole_from, oldest.last + BUCKETS)

    def _bucket(self) -> int:
        return int(self._now() // BUCKET)


def _key(who: Caller | Identity) -> Key:
    return who.issuer, who.user, who.agent, who.org
