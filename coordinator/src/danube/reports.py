"""What tests found, for people to look at."""

from __future__ import annotations

import os
import sys

from danube import _arguments, _mailbox, _patterns
from danube._context import ctx
from danube.errors import InfraError, ReportNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

__all__ = ["Report", "junit"]

_LONGEST_NAME = 200


class Report:
    """How many tests ended how.

    Attributes:
        tests: All of them.
        passed: Those that passed at once.
        failed: Those that failed.
        errors: Those that could not be carried out to their end.
        skipped: Those that were left out.
        flaky: Those that failed first and passed when tried again.
        duration: Seconds that they took together.
    """

    __slots__ = ("duration", "errors", "failed", "flaky", "passed", "skipped", "tests")

    tests: int
    passed: int
    failed: int
    errors: int
    skipped: int
    flaky: int
    duration: float

    def __init__(
        self,
        tests: int = 0,
        *,
        passed: int = 0,
        failed: int = 0,
        errors: int = 0,
        skipped: int = 0,
        flaky: int = 0,
        duration: float = 0.0,
    ) -> None:
        self.tests = tests
        self.passed = passed
        self.failed = failed
        self.errors = errors
        self.skipped = skipped
        self.flaky = flaky
        self.duration = duration

    @property
    def ok(self) -> bool:
        """Whether no test failed. A report without a test is ok."""
        return self.failed == 0 and self.errors == 0

    def __repr__(self) -> str:
        kinds = ("failed", "errors", "flaky", "skipped")
        counts = [f"{getattr(self, kind)} {kind}" for kind in kinds if getattr(self, kind)]
        return f"<report: {', '.join([f'{self.tests} tests', *counts])}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))


def junit(
    *patterns: str,
    name: str | None = None,
    if_missing: Literal["error", "warn", "ignore"] = "error",
) -> Report:
    """Reads what tests wrote as JUnit's XML: pytest, Maven, Gradle, go-junit-report, Jest, cargo-nextest, googletest, …

    The tests are shown with the job. A test that failed does not fail the job: the step that ran it does, or you do.

    Args:
        patterns: Each a file, a folder (all `.xml` files in it), or a pattern with `*`, `?`, `[...]` and `**`, relative to
            the workspace. Links are not followed. All files together are one report.
        name: What it is called; the patterns unless given.
        if_missing: What to do about a pattern that matches nothing: `error` raises, `warn` prints a line, `ignore` goes on.

    Returns:
        How many tests ended how.

    Raises:
        ReportNotFound: A pattern matches nothing.
        ReportInvalid: A file is no such report, or it is broken.
        UsageError: A file is too large, or a job may not keep so many tests.
        NotInJob: This is no job.
        TypeError, ValueError: An argument is of a wrong type or form.

    Example:
        try:
            step.run("pytest --junit-xml=report.xml")
        finally:
            reports.junit("report.xml", if_missing="warn")
    """
    _arguments.choice(if_missing, "if_missing=", ("error", "warn", "ignore"))
    texts = [_patterns.pattern(pattern) for pattern in patterns]
    if not texts:
        raise ValueError("nothing to read: name a file, a folder or a pattern")
    label = _default_name(texts) if name is None else _arguments.label(name, "name=")
    paths = sorted({path for text in texts for path in _matches(text, if_missing)})
    if not paths:
        return Report()
    return _report(_mailbox.call("reports.junit", {"paths": paths, "name": label}, os.urandom(16).hex()))


def _default_name(patterns: list[str]) -> str:
    name = "".join(character if character.isprintable() else "\ufffd" for character in ", ".join(patterns))
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _matches(pattern: str, if_missing: str) -> list[str]:
    paths = _patterns.matches(str(ctx.workspace), pattern, ".xml")
    if not paths:
        message = f"no file of the workspace matches {pattern!r}. Do the tests write it, under this path?"
        if if_missing == "error":
            raise ReportNotFound(message)
        if if_missing == "warn":
            print(f"warning: {message}", file=sys.stderr)
    return paths


def _report(answer: dict[str, Any]) -> Report:
    try:
        counts = {kind: int(answer[kind]) for kind in ("passed", "failed", "errors", "skipped", "flaky")}
        return Report(int(answer["tests"]), **counts, duration=answer["duration_ms"] / 1000)
    except (KeyError, TypeError, ValueError) as error:
        raise InfraError(f"Danube's answer about the report cannot be read: {error!r}") from None
