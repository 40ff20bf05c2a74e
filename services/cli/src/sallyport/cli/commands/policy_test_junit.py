"""The results as JUnit XML, in the form that CI systems read: a suite a file, a failure with its diff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from sallyport.pdp.policy_tests import FileReport, Result


def encode(reports: Sequence[FileReport]) -> bytes:
    """The whole document. What can't be used at all is an error, which no CI system takes for a pass."""
    suites = ET.Element("testsuites", _totals(reports) | {"name": "sallyport policy test"})
    for report in reports:
        suite = ET.SubElement(suites, "testsuite", _totals([report]) | {"name": _visible(report.file)})
        for result in report.results:
            _case(suite, report, result)
        for problem in report.problems:
            place = {"name": f"line {problem.line}" if problem.line else "the file", "file": _visible(problem.file)}
            case = ET.SubElement(suite, "testcase", {"classname": _visible(report.file), "time": "0", **place})
            ET.SubElement(case, "error", {"type": "unusable", "message": _visible(problem.message)})
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _case(suite: ET.Element, report: FileReport, result: Result) -> None:
    file = _visible(report.file)
    each = report.seconds / len(report.results)
    place = {"classname": file, "file": file, "line": str(result.line), "time": f"{each:.6f}"}
    case = ET.SubElement(suite, "testcase", {"name": _visible(result.name), **place})
    if not result.passed:
        failure = ET.SubElement(case, "failure", {"type": "decision", "message": _visible(result.said)})
        failure.text = "\n".join(_lines(report, result))


def _lines(report: FileReport, result: Result) -> list[str]:
    lines = [f"{report.file}:{result.line}:{result.column}"]
    lines += [f"{label}: {value}" for label, value in result.asked]
    for difference in result.differences:
        lines += [f"- {difference.what}: {difference.expected}", f"+ {difference.what}: {difference.actual}"]
    return [_visible(line) for line in lines]


def _totals(reports: Sequence[FileReport]) -> dict[str, str]:
    problems = sum(len(report.problems) for report in reports)
    return {
        "tests": str(sum(len(report.results) for report in reports) + problems),
        "failures": str(sum(len(report.failed) for report in reports)),
        "errors": str(problems),
        "skipped": "0",
        "time": f"{sum(report.seconds for report in reports):.6f}",
    }


def _visible(text: str) -> str:
    """XML has no form at all for most control characters, and readers refuse the document."""
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)
