"""Reports of tests: those that a danubefile has read, and those that a test makes for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from xml.etree import ElementTree

from danube.reports import Report
from danube.testing._files import Kept

_KINDS = {
    "failure": "failed", "rerunFailure": "failed", "error": "errors", "rerunError": "errors", "skipped": "skipped",
    "flakyFailure": "flaky", "flakyError": "flaky",
}  # fmt: skip
_MARKS = {"passed": "", "failed": "<failure/>", "errors": "<error/>", "skipped": "<skipped/>", "flaky": "<flakyFailure/>"}


@dataclass(frozen=True)
class Reported:
    """One `reports.junit`.

    Attributes:
        name: As given, or the patterns.
        paths: The files that were read, relative to the workspace.
        result: What the danubefile got.
    """

    name: str
    paths: tuple[str, ...]
    result: Report


def junit_xml(
    *, passed: int = 0, failed: int = 0, errors: int = 0, skipped: int = 0, flaky: int = 0, seconds: float = 0
) -> str:
    """A report as a test runner would write it, for `files=` of `Ends`.

    Args:
        passed, failed, errors, skipped, flaky: How many tests end how.
        seconds: What they take together.

    Example:
        job = run(steps={"pytest": Ends(1, files={"report.xml": junit_xml(passed=8, failed=1)})})
        assert job.report().result.failed == 1
    """
    counts = {"passed": passed, "failed": failed, "errors": errors, "skipped": skipped, "flaky": flaky}
    marks = list(chain.from_iterable(repeat(_MARKS[kind], count) for kind, count in counts.items()))
    each = seconds / max(1, len(marks))
    cases = [f'<testcase classname="Tests" name="test_{n}" time="{each:.6f}">{mark}</testcase>' for n, mark in enumerate(marks)]
    return f'<testsuites><testsuite name="tests">{"".join(cases)}</testsuite></testsuites>'


class Reports:
    """What `reports.junit` reads, with Python's own parser."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self.read: list[Reported] = []

    def junit(self, paths: list[str], name: str) -> Kept:
        """Reads files as one report."""
        counts = dict.fromkeys(_MARKS, 0)
        seconds = 0.0
        for path in paths:
            try:
                for kind, took in _cases(self._workspace / path):
                    counts[kind] += 1
                    seconds += took
            except OSError:
                return "report_not_found", f"there is no file `{path}` in the workspace"
            except ElementTree.ParseError as error:
                return "report_invalid", f"`{path}` is no report of tests: line {error.position[0]}: {error}"
            except ValueError as error:
                return "report_invalid", f"`{path}` is no report of tests: line 1: {error}"
        duration = int(seconds * 1000)
        result = Report(sum(counts.values()), **counts, duration=duration / 1000)
        self.read.append(Reported(name, tuple(paths), result))
        return {"tests": result.tests, **counts, "duration_ms": duration}


def _cases(path: Path) -> Iterator[tuple[str, float]]:
    """How each test ended, and how long it took."""
    root = ElementTree.fromstring(path.read_bytes())
    if _local(root) not in ("testsuites", "testsuite"):
        raise ValueError(f"<{_local(root)}> is no report of tests in JUnit's form: that begins with <testsuites>")
    for case in root.iter():
        if _local(case) == "testcase":
            kinds = {_KINDS[_local(part)] for part in case.iter() if _local(part) in _KINDS}
            left_out = case.get("status") in ("notrun", "disabled", "skipped") or case.get("result") in ("suppressed", "skipped")
            kinds |= {"skipped"} if left_out and not kinds else set()
            first = next((kind for kind in ("failed", "errors", "skipped", "flaky") if kind in kinds), "passed")
            yield first, _seconds(case.get("time", ""))


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _seconds(text: str) -> float:
    try:
        seconds = float(text.replace(",", "") if "." in text else text.replace(",", "."))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 366 * 86400 else 0.0
