"""The policy set that serves, or why none does. A live reload will swap it here, whole, by one reference."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp.load import load
from sallyport.pdp.snapshot import Snapshot, Store
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError, Problem

# More would not help an operator, and would not fit into one message.
_MAX_PROBLEMS: Final = 100
_MAX_PROBLEM_CHARACTERS: Final = 500
_log: Final = structlog.get_logger()


class InForce:
    """`snapshot` is read once per question; None means that everything is denied."""

    def __init__(self) -> None:
        self._store = Store()
        self.problems: tuple[Problem, ...] = ()

    @property
    def snapshot(self) -> Snapshot | None:
        return self._store.current

    def load(self, directory: Path) -> None:
        """Put the directory in force if all of it is good. If not, log every problem; nothing else changes."""
        try:
            snapshot = load(mounted_dir.read(directory))
        except ConfigError as error:
            self._refuse(error.problems)
            return
        except Exception as error:  # noqa: BLE001 — a set that breaks the loader is a bad set, and denied
            self._refuse(ConfigError.about(directory, f"can't be loaded: {type(error).__name__}").problems)
            return
        self._store.swap(snapshot)
        self.problems = ()
        _log.info("policy set in force", revision=snapshot.revision)

    def _refuse(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        for problem in problems:
            _log.error("policy set refused", problem=str(problem), policy=problem.subject)

    def revision_answer(self, nonce: bytes) -> pb.RevisionAnswer:
        snapshot = self.snapshot
        return pb.RevisionAnswer(
            nonce=nonce,
            ready=snapshot is not None,
            revision=snapshot.revision if snapshot else "",
            catalog_digest=snapshot.catalog_digest if snapshot else "",
            problems=[str(problem)[:_MAX_PROBLEM_CHARACTERS] for problem in self.problems[:_MAX_PROBLEMS]],
        )
