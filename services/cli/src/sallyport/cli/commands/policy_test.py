"""`sallyport policy test`: do the policies say what their tests expect, and does some test notice each of them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sallyport.cli import console, policy_set
from sallyport.cli.commands import policy_test_junit as junit_form
from sallyport.cli.commands import policy_test_terminal as terminal
from sallyport.cli.complaint import Complaint, Exit
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from sallyport.pdp.policy_tests import FileReport
    from sallyport.pdp.policy_tests.coverage import Coverage

_Chosen = Mapping[Path, frozenset[str]]  # policy directory -> its chosen files; empty: all of them


@dataclass(frozen=True, slots=True)
class Tested:
    """One policy directory. `coverage` is None where the set itself can't be used."""

    reports: tuple[FileReport, ...]
    coverage: Coverage | None = None


def run_tests(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR_OR_FILE", help="Policy directories, ones made by `sallyport init`, or single test files."
        ),
    ],
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML too.", show_default=False)
    ] = None,
    *,
    coverage: Annotated[bool, typer.Option("--coverage/--no-coverage", help="Show what no case decides by.")] = True,
    fail_under: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=0, max=100, help="Fail if fewer percent of the policies decide a case.", show_default=False
        ),
    ] = None,
    containing: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Only cases whose name holds this.", show_default=False)
    ] = "",
    cedar_cli: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write policies.cedar and schema.cedarschema for the Cedar CLI.", show_default=False
        ),
    ] = None,
) -> None:
    """Run the tests that stand beside the policies: NAME.test.yaml, and JSON of the Cedar CLI's `run-tests`.

    Exit code: 0 all passed, 1 some failed or too few policies were tested, 2 the set or a test file can't be used.
    """
    if containing and fail_under is not None:
        raise Complaint("--fail-under counts all cases, and --filter leaves some out", "give one of the two")
    tested = {place: _run(place, names, containing) for place, names in _chosen(places).items()}
    reports = [report for each in tested.values() for report in each.reports]
    for place, each in tested.items():
        if coverage and not containing and each.coverage is not None:
            terminal.show_coverage(each.coverage, place)
    terminal.show_total(reports)
    if junit is not None:
        with _writing("--junit", junit):
            junit.write_bytes(junit_form.encode(reports))
    if cedar_cli is not None:
        with _writing("--cedar-cli", cedar_cli):
            _export(list(tested), cedar_cli)
    if containing and not any(report.results or report.problems for report in reports):
        raise Complaint(f"no case's name holds {containing!r}", "look for its exact words in the test files")
    _end(reports, [each.coverage for each in tested.values() if each.coverage is not None], fail_under)


def _end(reports: Iterable[FileReport], coverages: Sequence[Coverage], fail_under: float | None) -> None:
    if any(report.problems for report in reports):
        _stop("some tests can't be used", "mend the lines above; nothing is proved by a test that doesn't run", 2)
    if any(report.failed for report in reports):
        _stop("some policies don't say what their tests expect", "mend the policy or the test", Exit.FAILED)
    worst = min((each.percent for each in coverages), default=0.0)
    if fail_under is not None and worst < fail_under:
        wrong = f"only {terminal.percent(worst)} % of the policies decided a case, and --fail-under says {fail_under:g}"
        _stop(wrong, "write a case for each policy that says `never` above", Exit.FAILED)


@contextmanager
def _writing(option: str, path: Path) -> Iterator[None]:
    """A place that can't be written is wrong usage: 1 would say that a test failed."""
    try:
        yield
    except OSError as error:
        wrong = f"can't write {option} {path}: {error.strerror or error}"
        raise Complaint(wrong, "name a place in a directory that is there and that you may write to") from None


def _stop(wrong: str, next_step: str, code: int) -> NoReturn:
    raise Complaint(wrong, next_step, Exit(code))


def _export(places: Sequence[Path], target: Path) -> None:
    """The set as the Cedar CLI reads it: the roles compiled, the tools typed."""
    if len(places) != 1:
        raise Complaint("--cedar-cli writes one policy set", "name one directory")
    snapshot = policy_set.load(places[0])
    target.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(policy.statement.text for policy in snapshot.policies)
    (target / "policies.cedar").write_text(text + "\n", encoding="utf-8")
    (target / "schema.cedarschema").write_text(snapshot.schema_text, encoding="utf-8")
    console.step(f"wrote policies.cedar and schema.cedarschema into {target}")


def _chosen(places: Iterable[Path]) -> _Chosen:
    """Every directory once, however many of its files are named."""
    chosen: dict[Path, frozenset[str]] = {}
    for place in places:
        if place.is_file():
            before = chosen.get(place.parent, frozenset([place.name]))
            chosen[place.parent] = before | {place.name} if before else before
        else:
            chosen[policy_set.locate(place)] = frozenset()
    return chosen


def _run(place: Path, names: frozenset[str], containing: str) -> Tested:
    try:
        return run_set(mounted_dir.read(place), place, names, containing)
    except ConfigError as error:
        return _unusable(place, error.problems)


def run_set(contents: Contents, place: Path, names: frozenset[str] = frozenset(), containing: str = "") -> Tested:
    """Run the tests in a set, and show them as those of `place`."""
    from sallyport.pdp.load import load  # noqa: PLC0415 — no other command needs Cedar
    from sallyport.pdp.policy_tests import Run  # noqa: PLC0415

    try:
        run = Run(load(contents), contents, containing)
    except ConfigError as error:
        return _unusable(place, error.problems)
    if strangers := sorted(names - set(run.files)):
        message = "is no test file; tests are called NAME.test.yaml, or are JSON as `cedar run-tests` takes it"
        return _unusable(place, [Problem(name, 0, 0, message) for name in strangers])
    if not run.files:
        message = "holds no tests; write NAME.test.yaml beside the policies"
        return _unusable(place, [Problem("", 0, 0, message)])
    reports = []
    for name in run.files:
        if not names or name in names:
            reports.append(_placed(place, run.file(name)))
            terminal.show_file(reports[-1], place)
    return Tested(tuple(reports), run.coverage)


def _unusable(place: Path, problems: Iterable[Problem]) -> Tested:
    from sallyport.pdp.policy_tests import FileReport  # noqa: PLC0415

    report = _placed(place, FileReport("", (), tuple(problems), 0.0))
    terminal.show_file(report, place)
    return Tested((report,))


def _placed(place: Path, report: FileReport) -> FileReport:
    """With paths that an editor and a CI system can open."""
    problems = tuple(
        problem if Path(problem.file).is_relative_to(place) else replace(problem, file=str(place / problem.file))
        for problem in report.problems
    )
    return replace(report, file=str(place / report.file), problems=problems)
