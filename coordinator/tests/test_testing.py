"""danube.testing as the authors of pipelines use it."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from pathlib import Path
from typing import Any, get_args

import danube
from danube import testing
from danube import (
    ImageUnavailable,
    InfraError,
    JobCancelled,
    JobTimeout,
    ServiceDied,
    ServiceNotReady,
    StepFailed,
    StepLost,
    StepTimeout,
    UsageError,
)
from danube.reports import Report
from danube.testing import Ends, Hangs, Job, OutOfMemory, Reason, Refused, Reported, Script, Services, Step, Unscripted, junit_xml, run
from danube.testing._verdict import Facts, Kind, verdict
from tests.job import pipeline
from tests.master import REPOSITORY, wire_fields

BINARY = os.environ.get("DANUBE_TEST_BINARY")
HEAD = "from danube import *\nimport os, sys, threading, time\n"
RELEASE = """
    from danube import ctx, pipeline, secrets, step

    @pipeline(name="release", timeout="1h", params={"env": {"default": "staging", "choices": ["staging", "prod"]}, "tries": 2})
    def release(env: str) -> None:
        step.run("make lint", name="lint")
        with step.group("test"):
            step.run(["cargo", "test", "--all"], name="unit tests", retries=int(ctx.params["tries"]), timeout="10m")
        if ctx.tag is None:
            print("no release: not a tag")
            return
        version = step.run("git describe", capture=True).stdout.strip()
        try:
            step.run(f"./publish {version} {env}", name="publish", secrets=["TOKEN"])
        finally:
            step.run("./tidy", name="tidy")
    """


class TestingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="danube-"))).resolve()

    def write(self, text: str, name: str = "danubefile.py") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def release(self, **given: Any) -> Job:
        return run(self.write(RELEASE), **given)

    def body(self, body: str, **given: Any) -> Job:
        return run(self.write(HEAD + pipeline(body)), **given)


class StoryTest(TestingTest):
    def test_a_release_is_published_on_a_tag_only(self) -> None:
        job = self.release(branch="main")
        job.assert_succeeded()
        job.assert_ran("lint", "unit tests")
        self.assertEqual(job.output, "no release: not a tag\n")
        job = self.release(tag="v1.2", steps={"git describe": "v1.2\n"}, params={"env": "prod"}, secrets={"TOKEN": "not-a-token"})
        job.assert_ran("lint", "unit tests", "git describe", "publish", "tidy")
        self.assertEqual(job.step("publish").command, "./publish v1.2 prod")
        self.assertEqual(job.step("publish").secrets, {"TOKEN": "TOKEN"})
        self.assertEqual((job.exit_code, job.exception, job.params), (0, None, {"env": "prod", "tries": 2}))

    def test_a_failing_step_raises_as_in_a_job(self) -> None:
        job = self.release(steps={"lint": 2})
        job.assert_failed()
        job.assert_ran("lint")
        assert isinstance(job.exception, StepFailed) and job.reason is not None
        self.assertEqual((job.status, job.reason.kind, job.reason.message), ("failure", "script", "the danubefile failed"))
        self.assertEqual(
            str(job.exception),
            "step 1 `lint` failed with exit code 2 (danubefile.py:6). Its log says more. If this may happen, pass check=False.",
        )
        self.assertIn('Traceback (most recent call last):\n  danubefile.py:6, in release\n    step.run("make lint"', job.output)

    def test_a_list_scripts_one_try_after_the_other(self) -> None:
        job = self.release(steps={"unit tests": [1, StepTimeout, 0]})
        job.assert_succeeded()
        tries = job.ran("unit tests")
        self.assertEqual([step.exit_code for step in tries], [1, 143, 0])
        self.assertEqual([step.title for step in tries][1:], ["test › unit tests (try 2 of 3)", "test › unit tests (try 3 of 3)"])
        with self.assertRaisesRegex(Unscripted, "runs for time 3: its script ends after 2"):
            self.release(steps={"unit tests": [1, 1]})

    def test_cleaning_up_is_tested_with_a_cancel(self) -> None:
        secrets = {"TOKEN": "not-a-token"}
        job = self.release(tag="v1", secrets=secrets, steps={"publish": JobCancelled})
        self.assertEqual((job.status, job.exit_code), ("cancelled", 130))
        self.assertEqual(job.names[-2:], ["publish", "tidy"])
        self.assertEqual((job.step("publish").cause, job.step("tidy").cause), ("stopped", "exited"))
        self.assertIsInstance(job.exception, JobCancelled)
        job = self.release(tag="v1", secrets=secrets, steps={"publish": Hangs()})
        self.assertEqual((job.status, job.duration, job.names[-1]), ("timeout", 3600.0, "tidy"))
        self.assertIsInstance(job.exception, JobTimeout)

    def test_a_step_that_takes_longer_than_the_job_may_is_a_timeout(self) -> None:
        job = self.release(steps={"lint": Ends(takes="2h")})
        self.assertEqual((job.status, job.duration, job.step("lint").cause), ("timeout", 3600.0, "stopped"))

    def test_cleaning_up_has_an_end_too(self) -> None:
        job = self.release(tag="v1", secrets={"TOKEN": "not-a-token"}, steps={"publish": JobCancelled, "tidy": Hangs()})
        self.assertEqual((job.status, job.duration, job.step("tidy").cause), ("cancelled", 60.0, "stopped"))

    def test_keys_are_names_commands_stars_patterns_and_functions(self) -> None:
        keys: list[Any] = ["unit tests", "test › unit tests", "cargo test --all", "cargo *", "*--all", re.compile("^carg"),
                           lambda step: step.group == ("test",)]  # fmt: skip
        for key in keys:
            job = self.release(steps={key: 7}, params={"tries": 0})
            self.assertEqual([step.exit_code for step in job.steps], [0, 7], key)
            self.assertEqual(job.ran(key), [job.steps[1]])
        job = self.release(steps={"*": 1, "lint": 0, "unit*": 0})
        self.assertEqual(job.status, "failure", "of two with stars the first counts")
        self.assertEqual([step.exit_code for step in job.steps], [0, 1, 1, 1], "what is written out counts first")

    def test_an_outcome_may_be_a_function_of_the_step(self) -> None:
        def build(step: Step) -> str:
            (step.workspace / "version").write_text(step.env["V"])
            return "built\n"

        job = self.body(
            """
            print(step.run("make", env={"V": "7"}, capture=True).stdout + (ctx.workspace / "version").read_text(), (ctx.workspace / "a/b").read_text())
            """,
            steps={"make": build},
            files={"a/b": "c"},
        )
        self.assertEqual(job.output, "built\n7 c\n")
        self.assertEqual((job.workspace / "version").read_text(), "7", "the workspace is there as long as the job")

    def test_what_the_tests_own_function_raises_is_raised_by_run(self) -> None:
        def unexpected(step: Step) -> None:
            raise LookupError(step.name)

        body = "try: step.parallel(step.call('a'), step.call('b'))\nexcept Exception: pass"
        with self.assertRaisesRegex(LookupError, "^b$"):
            self.body(body, steps={"b": unexpected})

    def test_strict_foresees_every_step_and_every_entry(self) -> None:
        with self.assertRaisesRegex(Unscripted, r"step `test › unit tests` \(danubefile.py:8\).*did you mean it by `unit test`"):
            self.release(strict=True, steps={"lint": 0, "unit test": 0})
        with self.assertRaisesRegex(Unscripted, "no step or service was `publish`\nrelease: success"):
            self.release(strict=True, steps={"lint": 0, "unit tests": 0, "publish": 0})
        self.release(strict=True, steps={"*": 0}).assert_succeeded()
        self.assertEqual(self.release(steps={"lnit": 1}).unused, ("lnit",))

    def test_assertions_show_what_ran(self) -> None:
        job = self.release(steps={"unit tests": 1, "lnit": 1})
        with self.assertRaises(AssertionError) as raised:
            job.assert_ran("lint", "unit tests", "publish")
        words = str(raised.exception)
        for part in ["    lint\n    unit tests\n  - publish\n  + unit tests\n  + unit tests\n", "release: failure: the danubefile failed",
                     "2  test › unit tests: exit code 1  (danubefile.py:8)", "in the script, but not run: lnit",
                     "  | StepFailed: step 4 `unit tests` failed 3 times"]:  # fmt: skip
            self.assertIn(part, words)
        for wrong in [job.assert_succeeded, lambda: job.assert_failed("oom"), lambda: job.assert_not_ran("make *"),
                      lambda: job.step("unit tests"), lambda: job.step("lnit")]:  # fmt: skip
            self.assertRaises(AssertionError, wrong)
        job.assert_not_ran("publish")
        self.assertEqual(repr(job), "<job 'release': failure (script), steps ['lint', 'unit tests', 'unit tests', 'unit tests']>")


class OutcomeTest(TestingTest):
    def test_each_failure_is_the_exception_that_the_danubefile_knows(self) -> None:
        cases: list[tuple[Any, type[BaseException], str, str | None]] = [
            (3, StepFailed, "failed with exit code 3", "script"),
            (Ends(127, started=False), StepFailed, "could not be started", "script"),
            (StepTimeout, StepTimeout, "by its timeout", "script"),
            (Ends(takes="6m"), StepTimeout, "was ended after 300.0 s by its timeout", "script"),
            (StepLost, StepLost, "the step was lost", "worker_lost"),
            (InfraError, InfraError, "cannot be reached", "script"),
            (ImageUnavailable("no such image"), ImageUnavailable, "^no such image$", "script"),
            (ImageUnavailable, ImageUnavailable, "`builder:x` cannot be had", "script"),
            (OutOfMemory(), StepFailed, "worker ran out of memory: limit 512 MiB", "oom"),
            (danube.SecretNotFound, danube.SecretNotFound, "no such secret", "script"),
            (danube.UsageError("no"), danube.UsageError, "^no$", "script"),
        ]
        for outcome, error, words, kind in cases:
            job = self.body("step.run('a', image='builder:x', timeout='5m', memory='512Mi')", steps={"a": outcome})
            self.assertIs(type(job.exception), error, job)
            self.assertRegex(str(job.exception), words)
            self.assertEqual(job.reason and job.reason.kind, kind)
            self.assertEqual(len(job.steps) + len(job.refused), 1)

    def test_a_fallback_for_an_image_is_taken(self) -> None:
        body = """
            try: step.run('make', image=f'builder:{ctx.branch}')
            except ImageUnavailable: step.run('make', image='builder:main')
            """
        job = self.body(body, branch="x", steps={lambda step: step.image == "builder:x": ImageUnavailable})
        job.assert_succeeded()
        self.assertEqual(([step.image for step in job.refused], job.step("make").image), (["builder:x"], "builder:main"))

    def test_output_is_returned_to_those_who_capture_it(self) -> None:
        body = """
            print([step.run('a').stdout, step.run('a', capture=True), step.run('a', capture=True, tty=True).stdout])
            """
        job = self.body(body, steps={"a": Ends(stdout=b"out\xff", stderr="err", takes=2)})
        self.assertIn("['', StepResult(exit_code=0, stdout='out\ufffd', stderr='err', duration=2.0, attempts=1)", job.output)
        self.assertIn("'out\ufffderr']", job.output)
        job = self.body("step.run('a', capture=True)", steps={"a": "x" * (1 << 20) + "y"})
        self.assertIsInstance(job.exception, danube.CaptureTooLarge)

    def test_what_a_step_leaves_can_be_kept(self) -> None:
        body = """
            step.run('make')
            print(artifacts.upload('dist'), artifacts.upload('a.txt', name='b')[0].sha256[:4])
            artifacts.upload('a.txt', name='b')
            """
        job = self.body(body, files={"a.txt": "a"}, steps={"make": Ends(files={"dist/x": "12", "dist/y/z": b"3"})})
        self.assertEqual(job.artifacts, {"dist/x": b"12", "dist/y/z": b"3", "b": b"a"})
        self.assertIn("[<artifact 'dist/x', 2 bytes>, <artifact 'dist/y/z', 1 bytes>] ca97\n", job.output)
        self.assertRegex(str(job.exception), "exists already")
        self.assertIsInstance(self.body("artifacts.upload('dist/*.whl')").exception, danube.ArtifactNotFound)

    def test_what_is_kept_can_be_had_again(self) -> None:
        body = """
            artifacts.upload('a.txt')
            (ctx.workspace / 'a.txt').unlink()
            print(artifacts.download('a.txt', 'sub/b.txt'), (ctx.workspace / 'sub/b.txt').read_text())
            artifacts.download('b.txt')
            """
        job = self.body(body, files={"a.txt": "kept"})
        self.assertIn("<artifact 'a.txt', 4 bytes> kept\n", job.output)
        self.assertIsInstance(job.exception, danube.ArtifactNotFound)
        body = "artifacts.upload('a.txt'); artifacts.download('a.txt', 'd')"
        job = self.body(body, files={"a.txt": "kept", "d/x": ""})
        self.assertIsInstance(job.exception, danube.UsageError)


    def test_reports_are_read_and_summaries_kept(self) -> None:
        body = """
            step.run('pytest', check=False)
            report = reports.junit('out', name='unit')
            summary.markdown(f'{report.tests} tests, {report.failed} failed, hunter2hunter2')
            summary.markdown('x' * 300000)
            summary.markdown('# Instead', append=False)
            summary.markdown(str(report.ok))
        """
        written = {"out/a.xml": junit_xml(passed=3, failed=1, skipped=1, flaky=1, seconds=3), "out/b.xml": junit_xml(errors=2)}
        job = self.body(body, steps={"pytest": Ends(1, files=written)}, secrets={"S": "hunter2hunter2"})
        job.assert_succeeded()
        self.assertEqual(job.summary, "# Instead\nFalse")
        counts = Report(8, passed=3, failed=1, errors=2, skipped=1, flaky=1, duration=3.0)
        self.assertEqual(job.report("unit"), Reported("unit", ("out/a.xml", "out/b.xml"), counts))
        with self.assertRaisesRegex(AssertionError, "no reports are 'x'; there are: 'unit'"):
            job.report("x")
        self.assertEqual(self.body("summary.markdown('is hunter2hunter2')", secrets={"S": "hunter2hunter2"}).summary, "is ***")

    def test_reports_that_are_not_there_or_broken(self) -> None:
        self.assertIsInstance(self.body("reports.junit('x.xml')").exception, danube.ReportNotFound)
        for text, words in (("<html/>", "line 1: <html> is no report"), ("<testsuite>\n<a", "line 2")):
            job = self.body("reports.junit('x.xml')", files={"x.xml": text})
            self.assertIsInstance(job.exception, danube.ReportInvalid)
            self.assertIn(words, str(job.exception))
        too_long = self.body("summary.markdown('x' * (1 << 20)); summary.markdown('y')").exception
        self.assertIsInstance(too_long, danube.UsageError)

    def test_steps_started_and_left_or_none_at_all_are_failures(self) -> None:
        self.body("pass").assert_failed("no_steps")
        self.body("sys.exit()").assert_failed("no_steps")
        self.body("step.run('a'); sys.exit(0)").assert_succeeded()
        self.body("step.run('a'); sys.exit(3)").assert_failed("script")
        runs, threads = threading.Event(), threading.active_count()

        def server(_step: Step) -> Hangs:
            runs.set()
            return Hangs()

        body = "threading.Thread(target=lambda: step.run('server')).start(); step.run('quick')"
        job = self.body(body, steps={"quick": lambda _: int(not runs.wait(30)), "server": server})
        job.assert_failed("steps_abandoned")
        self.assertEqual(threading.active_count(), threads, "what was left is gone")
        self.assertIn("1 of its steps still ran:\n  `server` (danubefile.py:5)\n", job.output)

    def test_what_would_hang_for_ever_fails_the_test(self) -> None:
        with self.assertRaisesRegex(AssertionError, r"nothing would ever end `sleep 1d` \(danubefile.py:6\), `x`"):
            self.body("\nstep.parallel(\n  step.call('sleep 1d'), step.call('x'))", steps={"sleep 1d": Hangs(), "x": Hangs()})


    def test_waiting_without_end_fails_the_test(self) -> None:
        with self.assertRaisesRegex(AssertionError, "10000 steps have run, the last is `ready`"):
            self.body("while step.run('ready', check=False).exit_code: time.sleep(60)", steps={"ready": 1})

    def test_a_wrong_outcome_is_told(self) -> None:
        wrong: list[Any] = [True, 1.5, StepFailed, ValueError("x"), lambda _: object()]
        for outcome in wrong:
            with self.assertRaisesRegex(TypeError, "exit code"):
                self.body("step.run('a')", steps={"a": outcome})

    def test_an_interrupt_from_the_keyboard_ends_the_test(self) -> None:
        with self.assertRaises(KeyboardInterrupt):
            self.body("step.run('a'); raise KeyboardInterrupt")

    def test_a_swallowed_cancel_is_still_one(self) -> None:
        body = "try: step.run('a')\nexcept BaseException: step.run('b')"
        job = self.body(body, steps={"a": JobCancelled})
        self.assertEqual((job.status, job.names, job.exception), ("cancelled", ["a", "b"], None))


class ServiceTest(TestingTest):
    def test_services_are_seen_and_ready_at_once(self) -> None:
        job = self.body(
            """
            with step.group("it"), service.start("postgres:17", ready=service.tcp(5432), env={"A": "b"}) as db:
                step.run("make test", env={"HOST": db.host})
            service.start("host", command=["./server"], ready=service.cmd(["true"]), memory="1Gi")
            """
        )
        job.assert_succeeded()
        db, server = job.services
        self.assertEqual((db.name, db.image, db.port, db.env, db.group, db.state, db.stopped), ("postgres", "postgres:17", 5432, {"A": "b"}, ("it",), "ready", True))
        self.assertEqual((server.command, server.probe, server.memory, server.stopped), (("./server",), ("true",), 1 << 30, False))
        self.assertEqual((db.number, job.steps[0].number, server.number), (1, 2, 3))
        self.assertIs(job.service("postgres"), db)
        self.assertIn("service postgres: ready, stopped", str(job))
        with self.assertRaisesRegex(AssertionError, "2 services are None"):
            job.service()

    def test_a_service_takes_its_time_on_the_job_s_own_clock(self) -> None:
        job = self.body("service.start('a', timeout=60); step.run('true')", services={"a": "50s"})
        job.assert_succeeded()
        self.assertEqual(job.duration, 50)
        late = self.body("try: service.start('a')\nexcept ServiceNotReady: step.run('without')", services={"a": "2m"})
        late.assert_ran("without")
        self.assertEqual((late.duration, late.service().state), (60, "not_ready"))

    def test_a_service_that_cannot_be_had(self) -> None:
        for outcome, kind in ((ImageUnavailable, "ImageUnavailable"), (UsageError("no"), "UsageError")):
            job = self.body("service.start('a')", services={"*": outcome})
            job.assert_failed()
            self.assertEqual((type(job.exception).__name__, job.service().number), (kind, 0))

    def test_a_service_that_dies_fails_the_job_whatever_the_danubefile_makes_of_it(self) -> None:
        body = "try: service.start('a')\nexcept ServiceDied as error: print(error)\nstep.run('true')"
        job = self.body(body, services={"a": ServiceDied})
        job.assert_failed("service")
        self.assertEqual((job.exit_code, job.output), (1, "the service `a` ended with exit code 1\n"))

    def test_a_service_may_die_while_a_step_runs(self) -> None:
        body = "service.start('a')\ntry: step.run('long')\nfinally: step.run('tidy')"
        job = self.body(body, steps={"long": ServiceDied("the service `a` ended")})
        job.assert_failed("service")
        job.assert_ran("long", "tidy")
        self.assertEqual((job.steps[0].cause, job.reason and job.reason.message), ("stopped", "the service `a` ended"))

    def test_the_script_must_fit(self) -> None:
        with self.assertRaisesRegex(Unscripted, "no step or service was `b`"):
            self.body("service.start('a'); step.run('true')", services={"b": 1}, steps={"true": 0}, strict=True)


class ParallelTest(TestingTest):
    def test_steps_beside_each_other_end_by_the_jobs_clock(self) -> None:
        body = """
            def package():
                step.run('build'); print('built'); step.run('pack')
            step.parallel(step.call('lint'), package, step.call('docs'))
            print(len(step.parallel(*[step.call(str(n)) for n in range(5)], limit=2)))
            """
        began = time.monotonic()
        for _ in range(20):
            job = self.body(body, steps={"lint": Ends(takes="1m"), "docs": Ends(takes="2h"), "build": Ends(takes="2m")})
            job.assert_ran("lint", "build", "docs", "pack", "0", "1", "2", "3", "4")
            self.assertEqual((job.duration, job.step("pack").started, job.output), (7200.0, 120.0, "built\n5\n"))
        self.assertLess(time.monotonic() - began, 60)

    def test_a_failure_stops_those_that_still_run(self) -> None:
        body = "step.parallel(step.call('a'), step.call('b'), step.call('c'), step.call('d'), limit=3)"
        job = self.body(body, steps={"b": Ends(1, takes=5), "a": Ends(takes=5), "c": Ends(takes=6)})
        job.assert_ran("a", "b", "c", "d")
        self.assertEqual([step.cause for step in job.steps], ["exited", "exited", "stopped", "stopped"])
        self.assertIsInstance(job.exception, ExceptionGroup)
        job = self.body(body, steps={"b": 1, "c": Ends(takes=1)})
        self.assertEqual(job.names, ["a", "b", "c", "d"])
        job = self.body(body.replace("limit=3", "limit=1"), steps={"b": 1})
        job.assert_ran("a", "b")

    def test_a_cancel_in_a_thread_strikes_the_main_thread(self) -> None:
        body = """
            try:
                step.parallel(step.call('a'), lambda: step.parallel(step.call('b'), step.call('c')), limit=2)
            finally:
                step.run('tidy')
            """
        job = self.body(body, steps={"a": Hangs(), "c": JobCancelled, "b": Hangs()})
        self.assertEqual((job.status, job.names), ("cancelled", ["a", "b", "c", "tidy"]))
        self.assertEqual([step.cause for step in job.steps], ["stopped", "stopped", "stopped", "exited"])

    def test_a_cancel_in_a_thread_of_ones_own_strikes_the_main_thread_where_it_waits(self) -> None:
        body = """
            from concurrent.futures import ThreadPoolExecutor
            try:
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(step.run, ['deploy']))
            finally:
                step.run('undo')
            """
        job = self.body(body, steps={"deploy": JobCancelled})
        self.assertEqual((job.status, job.names, type(job.exception)), ("cancelled", ["deploy", "undo"], JobCancelled))

    def test_many_beside_each_other(self) -> None:
        job = self.body("step.parallel(*[step.call(f's{n}') for n in range(256)])")
        self.assertEqual(job.names, [f"s{n}" for n in range(256)])

    def test_groups_hold_in_threads(self) -> None:
        job = self.body("with step.group('g'):\n    step.parallel(step.call('a'), lambda: step.run('b'))")
        self.assertEqual([step.title for step in job.steps], ["g › a", "g › b"])

    def test_threads_that_wait_for_each_other_are_overtaken(self) -> None:
        body = """
            ready = threading.Event()
            step.parallel(lambda: (ready.wait(30), step.run('client')), lambda: (step.run('server'), ready.set()))
            """
        self.body(body).assert_ran("server", "client")

    def test_threads_of_ones_own_are_answered_at_once(self) -> None:
        body = """
            from concurrent.futures import ThreadPoolExecutor
            with ThreadPoolExecutor(4) as pool:
                print(sorted(pool.map(lambda n: step.run(f'exit {n}', check=False).exit_code, range(8))))
            """
        job = self.body(body, steps={f"exit {n}": n for n in range(8)})
        self.assertEqual(job.output, "[0, 1, 2, 3, 4, 5, 6, 7]\n")

    def test_sleeping_passes_on_the_jobs_clock(self) -> None:
        body = """
            end = time.monotonic() + 3600
            while step.run('ready?', check=False).exit_code and time.monotonic() < end: time.sleep(300)
            """
        job = self.body(body, steps={"ready?": 1})
        self.assertEqual((len(job.steps), job.duration), (13, 3600.0))


class WorldTest(TestingTest):
    def test_the_context_is_as_the_test_says(self) -> None:
        body = """
            print(ctx.job_id[:4], ctx.pipeline, ctx.branch, ctx.tag, ctx.dirty, ctx.trigger_type, ctx.actor, ctx.attempt, ctx.commit_sha)
            print(ctx.pull_request['number'], ctx.changed_files, os.getcwd() == str(ctx.workspace)); step.run('a')
            """
        job = self.body(body, branch="b", tag="t", dirty=True, trigger_type="push", actor="ada", attempt=2, commit_sha=None,
                        pull_request={"number": 7}, changed_files=["a"])  # fmt: skip
        self.assertEqual(job.output, "0192 tests b t True push ada 2 None\n7 ('a',) True\n")

    def test_secrets_are_never_shown(self) -> None:
        body = "print(secrets.get('TOKEN')); step.run('a', secrets={'A': secrets.file('KEY')}); secrets.get('OTHER')"
        job = self.body(body, secrets={"TOKEN": "hunter2hunter2", "KEY": "a-key-of-a-kind"})
        self.assertEqual((job.output.splitlines()[0], job.secrets_read), ("***", ("TOKEN",)))
        self.assertEqual(job.step("a").secret_files, {"A": "KEY"})
        self.assertIsInstance(job.exception, danube.SecretNotFound)
        for shown in [repr(job), str(job), repr(job.steps), repr(vars(job))]:
            self.assertNotIn("hunter2", shown)
        with self.assertRaisesRegex(Refused, "shorter than 8 bytes"):
            self.body(body, secrets={"TOKEN": "short"})
        job = self.body("step.run('a', secrets=['TOKEN'])")
        self.assertEqual((job.names, [step.name for step in job.refused]), ([], ["a"]))

    def test_modules_of_the_repository_are_imported_anew_and_others_are_not(self) -> None:
        self.write("count = 0\n", "ci/helpers.py")
        body = "from ci import helpers; helpers.count += 1; print(helpers.count); step.run('a')"
        for _ in range(2):
            self.assertEqual(self.body(body).output, "1\n")
        self.assertFalse({"ci", "ci.helpers", "danubefile"} & set(sys.modules))
        self.assertEqual(list(self.folder.rglob("*.pyc")), [])
        installed = next(name for name in ["pytest", "pip", "setuptools", "tests"] if name in sys.modules or name == "tests")
        job = self.body(f"import {installed}")
        self.assertIsInstance(job.exception, ModuleNotFoundError)
        self.assertIn("run what needs", job.output)

    def test_the_process_is_as_before(self) -> None:
        before = (os.getcwd(), dict(os.environ), list(sys.path), sys.stdout, time.sleep, __import__)
        self.body("os.environ['X'] = '1'; os.chdir('/'); sys.path.append('/x'); step.run('a'); 1 // 0").assert_failed()
        self.assertEqual((os.getcwd(), dict(os.environ), list(sys.path), sys.stdout, time.sleep, __import__), before)
        with self.assertRaises(danube.NotInJob):
            danube.step.run("a")
        with self.assertRaises(danube.NotInJob):
            print(danube.ctx.branch)

    def test_a_large_script_arrives_whole(self) -> None:
        job = self.body("step.run('x' * 300_000, name='large')")
        self.assertEqual(job.step("large").text, "x" * 300_000)

    def test_a_danubefile_in_a_folder_has_the_repository_as_its_source(self) -> None:
        self.write("import lib.it\nfrom danube import *\n@pipeline\ndef p(): step.run('a')\n", "ci/pipe.py")
        self.write("", "lib/it.py")
        job = run(self.folder / "ci/pipe.py", source=self.folder)
        self.assertEqual(job.step("a").location, "ci/pipe.py:4")

    def test_a_script_cannot_run_a_danubefile_in_turn(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "is running in this thread"):
            self.body("step.run('a')", steps={"a": lambda _: self.release() and None})

    def test_the_sdk_in_a_virtual_environment_of_the_repository_is_not_the_users_code(self) -> None:
        code = f"from danube.testing import run; print(run({str(self.write(RELEASE))!r}).steps[0].location)"
        site = self.folder / ".venv/lib/site-packages"
        site.mkdir(parents=True)
        (site / "danube").symlink_to(Path(danube.__file__).parent)
        environment = {**os.environ, "PYTHONPATH": str(site)}
        ran = subprocess.run([sys.executable, "-B", "-c", code], env=environment, capture_output=True, text=True, check=True)
        self.assertEqual(ran.stdout, "danubefile.py:6\n")


BROKEN: list[tuple[str, str]] = [
    ("x = 1\n", "danubefile.py: no function is decorated with `@pipeline`"),
    ("from danube import *\n@pipeline\ndef a(): pass\n@pipeline()\ndef b(): pass\n",
     "danubefile.py:4:1: a danubefile has one `@pipeline`; the first is on line 2"),
    ("from danube import pipeline as p\n@p\nasync def a(): pass\n", "the pipeline's function must not be `async`"),
    ("import danube as d\nif True:\n  @d.pipeline\n  def a(): pass\n", "3:3: `@pipeline` must decorate a function at the top level"),
    ("from danube import *\n@pipeline\nclass A: pass\n", "`@pipeline` must decorate a function, not a class"),
    ("from danube import *\nL = 1\n@pipeline(timeout=L, name=f'{L}', params={'é': [L]})\ndef a(): pass\n",
     "danubefile.py:3:19: values in the decorator must be literals, not the name `L`"),
    ("from danube import *\n@pipeline(timeout=g())\ndef a(): pass\n", "2:19: values in the decorator must be literals, not a call"),
    ("from danube import *\n@pipeline(timout=1)\ndef a(): pass\n", "2:11: `@pipeline` has no keyword `timout`"),
    ("from danube import *\n@pipeline(concurrency='a-{ref}')\ndef a(): pass\n", "no braces but `{branch}`"),
    ("from danube import *\n@pipeline(concurrency='a', cancel_superseded=1)\ndef a(): pass\n", "must be True or False"),
    ("from danube import *\n@pipeline(cancel_superseded=True)\ndef a(): pass\n",
     "`cancel_superseded` needs a group within which jobs give way"),
    ("from danube import *\n@pipeline(**{})\ndef a(): pass\n", "`**` cannot be read without running the file"),
    ("from danube import *\n@pipeline(params={'a': {'choices': ['x'], 'default': 'y'}})\ndef a(): pass\n",
     "the default is not one of the choices"),
    ("from danube import *\n@pipeline(params={'a': {}})\ndef a(): pass\n", "a parameter needs a default or a type"),
    ("from danube import *\n@pipeline(params={'a': {'type': 'int', 'default': 'x'}})\ndef a(): pass\n",
     "`x` does not fit a parameter whose values are a whole number"),
    ("from danube import *\n@pipeline\ndef a(env): pass\n", "3:7: the pipeline has no parameter `env` to give to its function"),
    ("from danube import *\ndef a(:\n", "danubefile.py:2:"),
]  # fmt: skip


class RefusedTest(TestingTest):
    def test_what_danube_run_would_refuse_is_refused(self) -> None:
        for text, words in BROKEN:
            with self.assertRaises(Refused) as raised:
                run(self.write(text))
            self.assertIn(words, str(raised.exception))

    def test_parameters_are_values_or_as_they_are_typed(self) -> None:
        head = "from danube import *\n@pipeline(params={'n': 1, 'f': 0.5, 'b': False, 's': {'type': 'string'}})\ndef p(s): "
        file = self.write(head + "print(dict(ctx.params)); step.run(s)\n")
        values = run(file, params={"n": "7", "f": 2, "b": "yes", "s": "x"}).params
        self.assertEqual(values, {"n": 7, "f": 2.0, "b": True, "s": "x"})
        self.assertIs(type(values["f"]), float)
        wrong: dict[str, Any] = {"n": 1.5, "f": "nan", "b": 1, "m": 1}
        with self.assertRaises(Refused) as raised:
            run(file, params=wrong)
        self.assertEqual(
            raised.exception.problems,
            (
                'the parameter `n` must be a whole number, not "1.5"',
                'the parameter `f` must be a number, not "nan"',
                'the parameter `b` must be true or false, not "1"',
                "the pipeline has no parameter `m`; it has `n`, `f`, `b`, `s`",
                "the parameter `s` has no default: give it a value with `--param s=…`",
            ),
        )
        with self.assertRaisesRegex(Refused, 'the parameter `env` must be one of staging, prod, not "live"'):
            self.release(params={"env": "live"})

    def test_a_missing_file_is_named(self) -> None:
        with self.assertRaisesRegex(Refused, "gone.py: No such file"):
            run(self.folder / "gone.py")


class DocumentationTest(unittest.TestCase):
    def test_the_page_has_every_name_and_argument(self) -> None:
        page = (REPOSITORY / "docs/testing-danubefiles.md").read_text()
        attributes = [name for kind in (Job, Step, Ends) for name in [*kind.__dataclass_fields__, *vars(kind)]]
        for name in [*testing.__all__, *inspect.signature(run).parameters, *attributes]:
            if not name.startswith("_") and name != "seconds":
                self.assertRegex(page, rf"`(\w+\.)?{name}\b", name)

    def test_what_the_page_shows_holds(self) -> None:
        """Its danubefile is run by its tests."""
        page = (REPOSITORY / "docs/testing-danubefiles.md").read_text()
        danubefile, *tests = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        with tempfile.TemporaryDirectory(prefix="danube-") as folder:
            Path(folder, "danubefile.py").write_text(danubefile)
            shown: dict[str, Any] = {}
            for number, code in enumerate(tests):
                exec(compile(code, str(Path(folder, f"test_{number}.py")), "exec"), shown)
            functions = [value for name, value in shown.items() if name.startswith("test_")]
            self.assertGreater(len(functions), 8)
            for function in functions:
                function()
            case = unittest.defaultTestLoader.loadTestsFromTestCase(shown["ReleaseTest"])
            self.assertTrue(case.run(unittest.TestResult()).wasSuccessful())

    def test_every_public_name_has_a_docstring(self) -> None:
        for name in testing.__all__:
            if name not in ("Key", "Outcome", "Script", "ServiceOutcome", "Services"):
                self.assertTrue(inspect.getdoc(getattr(testing, name)), name)


class EngineTest(unittest.TestCase):
    """What is written down on both sides is the same."""

    def test_a_step_has_all_that_the_sdk_asks_for(self) -> None:
        renamed = {"script": "command", "script_file": "command", "argv": "command", "timeout_ms": "timeout", "memory_bytes": "memory"}
        asked = {renamed.get(name, name) for name in wire_fields("StepRun")} - {"separate"}
        self.assertEqual(asked - set(Step.__dataclass_fields__), set())
        self.assertEqual(wire_fields("StepAnswer") & set(Step.__dataclass_fields__), {"number", "exit_code", "cause", "message"})

    def test_every_call_of_the_sdk_is_answered(self) -> None:
        rust = (REPOSITORY / "crates/danube-engine/src/coordinator/mailbox.rs").read_text()
        methods = re.search(r"const METHODS: .*?\[(.*?)\];", rust, re.DOTALL)
        assert methods
        ours = (Path(testing.__file__).parent / "_master.py").read_text()
        for method in re.findall(r'"([a-z.]+)"', methods[1]):
            self.assertIn(f'call["method"] == "{method}"', ours)

    def test_verdicts_are_the_engines(self) -> None:
        rust = (REPOSITORY / "crates/danube-core/src/job.rs").read_text()
        kinds = dict(re.findall(r'Self::(\w+) => "(\w+)",', rust))
        classes = {kind: group for names, group in re.findall(r"((?:Self::\w+\s*\|?\s*)+)=>\s*\{?\s*ExitClass::(\w+)", rust)
                   for kind in re.findall(r"Self::(\w+)", names)}  # fmt: skip
        codes = {name: int(code) for name, code in re.findall(r"Self::(\w+) => (\d+),", rust)}
        for name, kind in kinds.items():
            if kind in get_args(Kind):
                self.assertEqual(Reason(kind, "").exit_code, codes[classes[name]], kind)
        self.assertLessEqual(set(get_args(Kind)), set(kinds.values()))
        for facts in [Facts(), Facts(interrupt="timeout"), Facts(interrupt="cancelled")]:
            for status in [0, 1, 12]:
                _, reason = verdict(status, facts)
                self.assertIn(f'"{reason.message}"' if reason else "", rust)


class WeightTest(unittest.TestCase):
    def test_danube_does_not_import_it(self) -> None:
        code = f"import sys; sys.path.append({str(Path(danube.__file__).parents[1])!r}); import danube; print(*sys.modules)"
        ran = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True, check=True)
        self.assertNotIn("danube.testing", ran.stdout.split())


def _up(step: Step) -> Hangs:
    (step.workspace / "up").touch()
    return Hangs()


AGREED: dict[str, tuple[str, Script]] = {
    "success": ("with step.group('g'):\n    step.run('true', name='a')\nstep.run(['echo', 'x y'])", {}),
    "a failing step": ("step.run('true'); step.run('exit 3', name='b'); step.run('true', name='c')", {"b": 3}),
    "retries": ("step.run('false', retries=2, check=False)", {"false": 1}),
    "no check": ("step.run('exit 4', check=False); step.run('echo v1', capture=True)", {"exit 4": 4, "echo v1": "v1\n"}),
    "no step": ("pass", {}),
    "an exception": ("step.run('true'); raise ValueError", {}),
    "an exit": ("step.run('true'); print('bye', file=sys.stderr); sys.exit(7)", {}),
    "a module that is not there": ("step.run('true')\nimport pytest, pip", {}),
    "an artifact that comes back": (
        "step.run('echo x > f'); artifacts.upload('f'); print(artifacts.download('f', 'd/g'), (ctx.workspace / 'd/g').read_text())\n"
        "artifacts.download('h')",
        {"echo*": Ends(files={"f": "x\n"})},
    ),
    "an artifact": ("step.run('echo x > f'); print(artifacts.upload('f')); artifacts.upload('g')", {"echo*": Ends(files={"f": "x\n"})}),
    "a report": (
        """
        step.run('true')
        (ctx.workspace / 'r.xml').write_text(XML)
        print(reports.junit('r.xml'), reports.junit('r.xml', name='again').duration)
        summary.markdown('# Done')
        reports.junit('none.xml')
        """.replace("XML", repr("<testsuites><testsuite name='s'><testcase name='a' time='0.25'/><testcase name='b'><failure/></testcase>"
                                "<testcase status='notrun'/><testcase><flakyError/></testcase></testsuite></testsuites>")),
        {},
    ),
    "a module of the repository": ("import lib.it; print(lib.it.__name__, ctx.params['n']); step.run('true')", {}),
    "an image that cannot be had": ("step.run('true', image='no-such-' + 'image')", {"true": ImageUnavailable}),
    "a danubefile out of time": ("try: step.run('sleep 60')\nfinally: step.run('true', name='tidy')", {"sleep 60": Hangs()}),
    "its own timeout": ("step.run('sleep 60', timeout=0.1)", {"sleep 60": StepTimeout}),
    "fail fast": (
        """
        def second():
            while not (ctx.workspace / 'up').exists(): time.sleep(0.01)
            step.run('exit 1', name='b')
        step.parallel(step.call('touch up; sleep 60', name='a'), second)
        """,
        {"a": _up, "b": 1},
    ),
    "no such program": ("step.run(['no-such-program'])", {"no-such-program": Ends(127, started=False)}),
    "services": (
        """
        with service.start('host', name='db', command=['sleep', '1000']) as db:
            print(db, db.number)
            try: service.start('host', name='db', command=['sleep', '1000'])
            except UsageError as error: print(error)
            step.run('true', name='a')
        try: service.start('host', command=['sleep', '1000'], ready=service.cmd(['false']), timeout=0.1)
        except ServiceNotReady as error: print(str(error).split(':')[0])
        service.start('host', name='db', command=['sleep', '1000'])
        step.run('true', name='b')
        """,
        {},
    ),
    "not in the secrets": ("try: step.run('true', secrets=['NO'])\nexcept SecretNotFound: step.run('true', name='b')", {}),
}


COMING_UP: Services = {"sleep": ServiceNotReady}


def _compared(log: list[str]) -> list[str]:
    """Without what differs by nature: how long a step took, why an image is not there, and what only a test need be told."""
    lines = [re.sub(r"after [0-9.]+ s", "after a while", line) for line in log if "run what needs" not in line]
    return [re.sub("(ImageUnavailable|StepFailed: .* could not be started .*?): .*", r"\1", line) for line in lines]


@unittest.skipUnless(BINARY, "DANUBE_TEST_BINARY names no danube to compare with")
class AgreementTest(TestingTest):
    """The same danubefile here and in a real job: the same steps in the same order, the same log, the same end."""

    def setUp(self) -> None:
        super().setUp()
        self.write("", "lib/it.py")

    def danube_run(self) -> subprocess.CompletedProcess[str]:
        command = [str(BINARY), "run", str(self.folder), "--json", "--data-dir", str(self.folder / ".data")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def test_jobs_end_alike(self) -> None:
        for name, (body, steps) in AGREED.items():
            with self.subTest(name):
                text = pipeline(body).replace("'tests'", "'tests', params={'n': 7}" + (", timeout=2" if "out of time" in name else ""))
                job = run(self.write(HEAD + text), steps=steps, services=COMING_UP if name == "services" else None)
                ran = self.danube_run()
                self.assertTrue(ran.stdout, ran.stderr)
                events = [json.loads(line) for line in ran.stdout.splitlines()]
                real = events[-1]
                log = [event["text"] for event in events if event["type"] == "log" and event["step"] == 0]
                self.assertEqual(_compared(job.output.splitlines()), _compared(log))
                ours = [(step.title, step.cause, step.exit_code) for step in job.steps]
                self.assertEqual(ours, [(step["name"], step["cause"], step["exit_code"]) for step in real["steps"] if step["kind"] == "step"])
                theirs = [(step["step"], step["name"]) for step in real["steps"] if step["kind"] == "service"]
                self.assertEqual([(service.number, service.name) for service in job.services if service.number], theirs)
                reason = real.get("reason") or {}
                self.assertEqual((job.status, job.exit_code), (real["status"], ran.returncode))
                self.assertEqual(job.reason and (job.reason.kind, job.reason.message),
                                 (reason["kind"], reason["message"]) if reason else None)  # fmt: skip

    def test_files_are_refused_alike(self) -> None:
        for text, words in BROKEN:
            self.write(text)
            ran = self.danube_run()
            self.assertEqual((ran.returncode, ran.stdout), (2, ""))
            self.assertIn(words, ran.stderr)


if __name__ == "__main__":
    unittest.main()
