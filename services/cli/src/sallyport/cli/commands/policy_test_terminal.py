"""How `sallyport policy test` shows its results on a terminal: a line a file, a diff a failure, a table at the end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from sallyport.cli import console

if TYPE_CHECKING:
    from sallyport.pdp.policy_tests import FileReport, Result
    from sallyport.pdp.policy_tests.coverage import Coverage


def show_file(report: FileReport, place: Path) -> None:
    word, style, told = _summary(report)
    console.out.print(Text(f"{word:<5} ", style=f"bold {style}").append(f"{report.file}: {told}", "not bold default"))
    for problem in report.problems:
        console.out.print(Text(f"  {problem}", style="red"))
    for failed in report.failed:
        _show_failure(failed, report.file, place)


def _summary(report: FileReport) -> tuple[str, str, str]:
    cases = _count(len(report.results), "case")
    if report.problems:
        return "BAD", "red", f"{_count(len(report.problems), 'problem')}; {cases} ran, {len(report.failed)} failed"
    if report.failed:
        return "FAIL", "red", f"{len(report.failed)} of {cases} failed"
    return "ok", "green", f"{cases}, {report.seconds:.2f} s"


def _show_failure(failed: Result, file: str, place: Path) -> None:
    console.out.print(Text(f"  {file}:{failed.line}:{failed.column}: {failed.name}", style="bold"))
    for label, value in failed.asked:
        console.out.print(f"    {label:<4}  {value}")
    for difference in failed.differences:
        console.out.print(Text(f"    - {difference.what:<11} {difference.expected}", style="red"))
        console.out.print(Text(f"    + {difference.what:<11} {difference.actual}", style="green"))
    console.out.print(f"    {failed.said}")
    if file.endswith(".yaml"):  # who asks in Cedar's own words can't be asked about in ours
        why = console.command("policy", "explain", "--dir", place, "--request", file, "--case", failed.name)
        console.out.print(Text(f"    why: {why}", style="dim"))


def show_coverage(coverage: Coverage, place: Path) -> None:
    """Plain columns: they survive a pipe."""
    rows = [("POLICY", "EFFECT", "CASES", "WHERE")]
    rows += [
        (p.id, p.effect, str(p.cases) if p.cases else "never", f"{place / p.file}:{p.line}") for p in coverage.policies
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    console.out.print()
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        console.out.print(Text(line, style="yellow" if row[2] == "never" else ""))
    decided = len(coverage.policies) - len(coverage.never)
    total = _count(len(coverage.policies), "policy", "policies")
    console.out.print(f"{decided} of {total} decided a case: {percent(coverage.percent)} %")


def show_total(reports: Iterable[FileReport]) -> None:
    reports = list(reports)
    cases, failed = sum(len(report.results) for report in reports), sum(len(report.failed) for report in reports)
    seconds = sum(report.seconds for report in reports)
    files = _count(len(reports), "file")
    console.out.print(f"{_count(cases, 'case')} in {files}: {cases - failed} passed, {failed} failed, {seconds:.2f} s")


def percent(value: float) -> str:
    """Cut, not rounded: 99.97 is not 100."""
    return f"{math.floor(value * 10) / 10:g}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
