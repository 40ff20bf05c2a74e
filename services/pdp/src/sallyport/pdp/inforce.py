"""The policy set that serves, what is wrong with the one tried last, and what of it the PEP may be told."""

from __future__ import annotations

from collections.abc import Iterable

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import MAX_PROBLEM_BYTES, MAX_PROBLEMS
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.problems import Problem


class InForce:
    """`snapshot` is read once per question; None, as before the first good set, means that everything is denied."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.problems: tuple[Problem, ...] = ()  # of the last attempt; an older set may serve beside them

    def put(self, snapshot: Snapshot) -> None:
        """Serve this set from the next question on: one reference is swapped."""
        self.snapshot = snapshot
        self.problems = ()

    def confirm(self) -> None:
        """What was tried last is what serves."""
        self.problems = ()

    def refuse(self, problems: Iterable[Problem]) -> None:
        """What serves goes on serving."""
        self.problems = tuple(problems)

    def revision_answer(self, nonce: bytes, failure: str) -> pb.RevisionAnswer:
        """`failure` is why nothing can be recorded, or empty: then everything is denied, and whoever asks looks away."""
        snapshot = self.snapshot
        unrecorded = (Problem("audit", 0, 0, failure),) if failure else ()
        return pb.RevisionAnswer(
            nonce=nonce,
            ready=snapshot is not None and not failure,
            revision=snapshot.revision if snapshot else "",
            catalog_digest=snapshot.catalog_digest if snapshot else "",
            problems=told(unrecorded + self.problems),
        )

    def catalog_answer(self, question: pb.CatalogQuestion) -> pb.CatalogAnswer:
        """The catalog's bytes if it is the one asked for: a PEP must never take another one for it."""
        snapshot = self.snapshot
        wanted = snapshot is not None and snapshot.catalog_digest == question.catalog_digest
        return pb.CatalogAnswer(nonce=question.nonce, catalog=snapshot.catalog_bytes if snapshot and wanted else b"")


def told(problems: tuple[Problem, ...]) -> list[str]:
    """As many problems, and as much of each, as fit into one message."""
    if len(problems) <= MAX_PROBLEMS:
        return [_cut(str(problem)) for problem in problems]
    shown = MAX_PROBLEMS - 1
    return [*told(problems[:shown]), f"and {len(problems) - shown} more; `sallyport policy check` shows all"]


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:MAX_PROBLEM_BYTES].decode("utf-8", "ignore")
