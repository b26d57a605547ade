"""reports.junit and summary.markdown, against a master on a real socket."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from danube import ReportInvalid, ReportNotFound, UsageError, reports, summary
from danube.reports import Report
from tests.master import Answer, Master, Params, refused, wire_fields

COUNTS = {"tests": 7, "passed": 1, "failed": 2, "errors": 1, "skipped": 2, "flaky": 1, "duration_ms": 1500}


class JunitTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        workspace = Path(folder.name)
        for name in ("report.xml", "out/a.xml", "out/b.xml", "out/b.txt", "out/deep/c.xml", "results"):
            path = workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        (workspace / "link.xml").symlink_to("/etc/passwd")
        patched = mock.patch.object(reports, "ctx", mock.Mock(workspace=folder.name))
        patched.start()
        self.addCleanup(patched.stop)
        self.asked: list[Params] = []
        self.reply: Answer = {"ok": COUNTS}

    def answer(self, method: str, params: Params) -> Answer:
        assert method == "reports.junit", method
        asked = {key: value for key, value in params.items() if key != "stop"}
        assert asked.keys() <= wire_fields("ReportsJunit"), asked
        self.asked.append(asked)
        return self.reply

    def junit(self, *patterns: Any, **options: Any) -> Report:
        with Master(self.answer) as master, mock.patch.dict(os.environ, master.environment):
            return reports.junit(*patterns, **options)

    def test_counts_come_back(self) -> None:
        report = self.junit("report.xml")
        self.assertEqual(report, Report(7, passed=1, failed=2, errors=1, skipped=2, flaky=1, duration=1.5))
        self.assertEqual(repr(report), "<report: 7 tests, 2 failed, 1 errors, 1 flaky, 2 skipped>")
        self.assertFalse(report.ok)
        self.assertTrue(Report(2, passed=1, flaky=1).ok)
        self.assertFalse(Report(1, errors=1).ok)

    def test_all_files_are_one_report(self) -> None:
        self.junit("out", "report.xml", "results")
        self.junit("out/*.xml", "out/a.xml", name="unit")
        wanted = [
            {"paths": ["out/a.xml", "out/b.xml", "out/deep/c.xml", "report.xml", "results"], "name": "out, report.xml, results"},
            {"paths": ["out/a.xml", "out/b.xml"], "name": "unit"},
        ]
        self.assertEqual(self.asked, wanted)

    def test_what_is_missing(self) -> None:
        with self.assertRaisesRegex(ReportNotFound, r"matches 'none/\*\.xml'"):
            self.junit("report.xml", "none/*.xml")
        with self.assertRaises(ReportNotFound):
            self.junit("link.xml")
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            self.assertEqual(self.junit("none.xml", if_missing="ignore"), Report())
            self.assertEqual(stderr.getvalue(), "")
            self.assertEqual(self.junit("none.xml", if_missing="warn"), Report())
        self.assertRegex(stderr.getvalue(), r"^warning: no file of the workspace matches 'none.xml'\. .*\n$")
        self.assertEqual(self.asked, [], "nobody is asked about nothing")

    def test_refusals_have_their_own_exceptions(self) -> None:
        for code, kind in (("report_invalid", ReportInvalid), ("report_not_found", ReportNotFound), ("invalid", UsageError)):
            with self.subTest(code), self.assertRaisesRegex(kind, "line 3"):
                self.reply = refused(code, "line 3")
                self.junit("report.xml")

    def test_wrong_arguments(self) -> None:
        wrong: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
            ((), {}, ValueError, "nothing to read"),
            (("/etc/passwd",), {}, ValueError, "not below the workspace"),
            ((7,), {}, TypeError, "a pattern must be a str"),
            (("report.xml",), {"if_missing": "x"}, ValueError, '"error" or "warn" or "ignore"'),
            (("report.xml",), {"name": "a\nb"}, ValueError, "one line"),
        ]
        for patterns, options, error, words in wrong:
            with self.subTest(patterns), self.assertRaisesRegex(error, words):
                self.junit(*patterns, **options)


class MarkdownTest(unittest.TestCase):
    def setUp(self) -> None:
        self.asked: list[Params] = []

    def answer(self, method: str, params: Params) -> Answer:
        assert method == "summary.markdown", method
        asked = {key: value for key, value in params.items() if key != "stop"}
        assert asked.keys() <= wire_fields("SummaryMarkdown"), asked
        if path := asked.get("text_file"):
            asked["content"] = Path(path).read_text()
        self.asked.append(asked)
        return {"ok": {}}

    def markdown(self, text: Any, **options: Any) -> None:
        with Master(self.answer) as master, mock.patch.dict(os.environ, master.environment):
            summary.markdown(text, **options)
            self.assertEqual(os.listdir(master.outbox), [])

    def test_a_text_goes_in_the_call_and_a_long_one_by_file(self) -> None:
        self.markdown("# Größe\n")
        self.markdown("", append=False)
        self.assertEqual(self.asked, [{"text": "# Größe\n", "append": True}, {"text": "", "append": False}])
        long = "ä" * (1 << 19)
        self.markdown(long)
        self.assertEqual((self.asked[2]["content"], "text" in self.asked[2]), (long, False))

    def test_wrong_arguments(self) -> None:
        wrong: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
            (7, {}, TypeError, "must be a str"),
            ("a\0", {}, ValueError, "NUL"),
            ("ä" * (1 << 19) + "x", {}, ValueError, "1048577 bytes"),
            ("x", {"append": 1}, TypeError, "append="),
        ]
        for text, options, error, words in wrong:
            with self.subTest(words), self.assertRaisesRegex(error, words):
                self.markdown(text, **options)


if __name__ == "__main__":
    unittest.main()
