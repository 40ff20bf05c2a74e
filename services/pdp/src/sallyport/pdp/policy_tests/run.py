"""The test files of one directory, run against the snapshot that the same directory loads to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from sallyport.pdp.decider import decide
from sallyport.pdp.model import Effect, Purpose
from sallyport.pdp.policy_tests import cases, cedar_form, compare
from sallyport.pdp.policy_tests.cedar_engine import CedarEngine
from sallyport.pdp.policy_tests.coverage import Coverage
from sallyport.pdp.policy_tests.limits import MAX_PROBLEMS, Budget, TooMuchError
from sallyport.pdp.policy_tests.model import Actual, Case, FileReport, Question, Result
from sallyport.pdp.policy_tests.names import Names
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

YAML: Final = ".test.yaml"


class Run:
    """One run; `coverage` counts the cases of the files that were run so far."""

    def __init__(self, snapshot: Snapshot, contents: Contents, containing: str = "") -> None:
        """Cases whose name holds `containing`, or all."""
        self._snapshot = snapshot
        self._contents = contents
        self._containing = containing
        self._names = Names(snapshot)
        self._cedar = CedarEngine(snapshot, self._names, contents.files)
        self._budget = Budget()
        self.coverage = Coverage(snapshot.policies)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The test files, by name."""
        return tuple(name for name in sorted(self._contents.files) if is_test_file(name, self._contents.files[name]))

    def file(self, name: str) -> FileReport:
        """Run every case that is in order, and say what is wrong with the others."""
        begun = time.perf_counter()
        problems: list[Problem] = []
        results: list[Result] = []
        try:
            results += (self._result(case) for case in self._cases(name, problems) if self._containing in case.name)
        except ConfigError as error:
            problems += error.problems
        except TooMuchError as error:
            problems.append(Problem(name, 0, 0, str(error)))
        return FileReport(name, tuple(results), cut(problems), time.perf_counter() - begun)

    def _cases(self, name: str, problems: list[Problem]) -> Iterator[Case]:
        data = self._contents.files[name]
        if name.endswith(YAML):
            return cases.read(data, name, self._names, self._budget, problems)
        return cedar_form.read(data, name, self._contents.files, self._names, self._budget, problems)

    def _result(self, case: Case) -> Result:
        actual = self._actual(case)
        self.coverage.count(actual)
        return compare.result(case, actual)

    def _actual(self, case: Case) -> Actual:
        question = case.question
        if not isinstance(question, Question):
            return self._cedar.judge(question, case.expected.num_errors or 0)
        (verdict,) = decide(
            self._snapshot,
            question.principal,
            [question.query],
            Purpose.CALL,
            catalog_digest=self._snapshot.catalog_digest,
            now=question.at,
        )
        return Actual(
            verdict.effect is Effect.PERMIT,
            verdict.reasons,
            tuple(code.name for code in verdict.errors),
            verdict.obligations,
            verdict.advice,
            verdict.scopes,
        )


def cut(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """In the order of their places, and not endless."""
    found = sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))
    if len(found) <= MAX_PROBLEMS:
        return tuple(found)
    return *found[:MAX_PROBLEMS], Problem(found[0].file, 0, 0, "there is more; mend these first")


def is_test_file(name: str, data: bytes) -> bool:
    return name.endswith(YAML) or (name.endswith(".json") and cedar_form.is_test_file(name, data))
