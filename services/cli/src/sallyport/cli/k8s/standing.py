"""How a release stands: a line a pod, and who disagrees with the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sallyport.cli.k8s.asking import Answer
from sallyport.cli.k8s.objects import Event, Pod
from sallyport.cli.plain import cut, plain

_HEAD: Final = ("POD", "READY", "REVISION", "RESTARTS", "AGE", "LAST ERROR")
SHORT: Final = 12  # of a revision, as everywhere
MAX_SHOWN: Final = 300  # bytes of a pod's errors, where people read them
_DAY, _HOUR, _MINUTE = 86_400, 3600, 60


@dataclass(frozen=True, slots=True)
class Standing:
    pods: tuple[Pod, ...]
    answers: Mapping[str, Answer]
    now: datetime
    missing: tuple[str, ...] = ()  # ConfigMaps that pods mount

    @property
    def revision(self) -> str:
        """The one that most pods have; empty if none has any."""
        found = Counter(filter(None, (answer.revision for answer in self.answers.values())))
        return max(sorted(found), key=lambda each: found[each]) if found else ""

    @property
    def good(self) -> bool:
        """Every pod answers and is ready, on one revision, with nothing newer refused, and another could start."""
        staying = [pod for pod in self.pods if not pod.ending]
        answers = [self.answers[pod.name] for pod in staying]
        one = {answer.revision for answer in answers} == {self.revision} != {""}
        well = all(answer.heard and not answer.refused for answer in answers)
        return one and well and not self.missing and all(pod.ready for pod in staying)

    def differs(self, pod: Pod) -> bool:
        found = self.answers[pod.name].revision
        return bool(found) and found != self.revision

    def rows(self) -> Iterator[tuple[str, ...]]:
        yield _HEAD
        for pod in self.pods:
            answer = self.answers[pod.name]
            ready = "ending" if pod.ending else "yes" if pod.ready else "no"
            revision = answer.revision[:SHORT] or "-"
            shown = f"{revision} differs" if self.differs(pod) else revision
            errors = cut(plain("; ".join(answer.errors)), MAX_SHOWN) or "-"
            yield pod.name, ready, shown, str(pod.restarts), age(pod.created, self.now), errors

    def as_json(self, namespace: str, release: str, events: Sequence[Event]) -> str:
        pods = [
            {
                "name": pod.name,
                "ready": pod.ready,
                "ending": pod.ending,
                "revision": self.answers[pod.name].revision or None,
                "differs": self.differs(pod),
                "refused": self.answers[pod.name].refused,
                "restarts": pod.restarts,
                "age_seconds": int((self.now - pod.created).total_seconds()),
                "errors": list(self.answers[pod.name].errors),
            }
            for pod in self.pods
        ]
        told = [{"time": event.at.isoformat(), "reason": event.reason, "message": event.message} for event in events]
        whole = {"namespace": namespace, "release": release, "good": self.good, "revision": self.revision or None}
        seen = {"missing_config_maps": list(self.missing), "pods": pods, "events": told}
        return json.dumps({**whole, **seen}, indent=2)


def table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Plain columns: they survive a pipe."""
    cells = [tuple(map(plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def age(since: datetime, now: datetime) -> str:
    """As kubectl tells it, in its largest unit."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, length in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
