"""Danubefiles as users write them and as they break, run by the real runner in a process of its own."""

from __future__ import annotations

import signal
import threading
import unittest
from typing import Any

from danube._runner import Exit
from tests.job import Job, pipeline
from tests.master import REPOSITORY, Answer, Master, Params, ended, until_stopped


class RunnerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.master = self.enterContext(Master())

    def run_file(self, danubefile: str | bytes, **context: Any) -> tuple[int, str, str]:
        return Job(danubefile, self.master, **context).run()

    def run_body(self, body: str) -> tuple[int, str, str]:
        return self.run_file(pipeline(body))

    def test_a_pipeline_runs_its_steps(self) -> None:
        status, out, err = self.run_body("print('before'); step.run('make test')\nprint('after', flush=False)")
        self.assertEqual((status, out, err), (Exit.SUCCESS, "before\nafter\n", ""))
        self.assertEqual(self.master.steps()[0]["location"], "danubefile.py:5")

    def test_the_decorator_may_be_bare_and_under_others(self) -> None:
        status, _, err = self.run_file(
            """
            import functools
            def twice(function):
                @functools.wraps(function)
                def both(**given):
                    function(**given); function(**given)
                return both
            @twice
            @pipeline
            def build(env="x"):
                step.run(env)
            """,
            params={"env": "prod", "other": 1},
        )
        self.assertEqual((status, err), (Exit.SUCCESS, ""))
        self.assertEqual([params["script"] for params in self.master.steps()], ["prod", "prod"])

    def test_the_context_is_typed_and_lazy(self) -> None:
        status, out, err = self.run_file(
            pipeline("""
            print(ctx.job_id, ctx.pipeline, ctx.branch, ctx.tag, ctx.dirty, ctx.trigger_type, ctx.actor, ctx.attempt)
            print(dict(ctx.params), ctx.pull_request['number'], ctx.changed_files, ctx.workspace / 'x', ctx.commit_sha[:3])
            try: ctx.params['a'] = 1
            except TypeError: print('read only')
            step.run('true')
            """),
            params={"env": "prod", "count": 3},
            pull_request={"number": 7},
            changed_files=["a", "b"],
            workspace="/workspace",
        )
        self.assertEqual((status, err), (Exit.SUCCESS, ""))
        self.assertEqual(
            out,
            "0192 tests main None True manual ada 1\n"
            "{'env': 'prod', 'count': 3} 7 ('a', 'b') /workspace/x aaa\nread only\n",
        )

    def test_a_failing_step_is_shown_with_the_users_frames_only(self) -> None:
        self.master.answers = lambda _method, _params: ended(2)
        status, _, err = self.run_body("def tests():\n    step.run('make test')\ntests()")
        self.assertEqual(status, Exit.RAISED)
        expected = (
            "Traceback (most recent call last):\n"
            "  danubefile.py:7, in build\n    tests()\n"
            "  danubefile.py:6, in tests\n    step.run('make test')\n"
            "StepFailed: step 1 `make test` failed with exit code 2 (danubefile.py:6). "
            "Its log says more. If this may happen, pass check=False.\n"
        )
        self.assertEqual(err, expected)

    def test_members_of_a_group_are_shown_once_each(self) -> None:
        self.master.answers = lambda _method, params: ended(int(params["name"]))
        status, _, err = self.run_body(
            "step.parallel(step.call('1'),\n  lambda: step.run('2'), lambda: 1 // 0, fail_fast=False)"
        )
        self.assertEqual(status, Exit.RAISED)
        for once in ["ExceptionGroup: 3 of 3", "  1. StepFailed: step 1 `1`", "`2` failed", "ZeroDivisionError: "]:
            self.assertEqual(err.count(once), 1, err)
        self.assertIn("  2. Traceback (most recent call last):\n       danubefile.py:6, in <lambda>\n", err)
        self.assertNotIn("/src/danube", err)

    def test_causes_and_notes_are_shown(self) -> None:
        _, _, err = self.run_body("""
            try:
                {}['a']
            except KeyError as error:
                new = ValueError('new'); new.add_note('a note')
                raise new from error
            """)
        self.assertIn("KeyError: 'a'\n\nThat caused this:\n\nTraceback", err)
        self.assertTrue(err.endswith("ValueError: new\na note\n"), err)

    def test_leaving_early_with_a_number_is_a_failure_in_words(self) -> None:
        status, _, err = self.run_body("step.run('a'); sys.exit(3)")
        self.assertEqual((status, err), (1, "danube: the danubefile called sys.exit(3) at danubefile.py:5, in build\n"))
        status, _, err = self.run_body("step.run('a'); sys.exit('no way')")
        self.assertEqual(status, 1)
        self.assertIn("sys.exit('no way')", err)

    def test_leaving_early_without_is_a_success(self) -> None:
        for leave in ["sys.exit()", "sys.exit(0)", "raise SystemExit"]:
            self.assertEqual(self.run_body(f"step.run('a'); {leave}")[0], Exit.SUCCESS)
        self.assertEqual(self.run_body("sys.exit()")[0], Exit.NO_STEPS)

    def test_no_step_is_no_success(self) -> None:
        status, _, err = self.run_body("pass")
        self.assertEqual(status, Exit.NO_STEPS)
        self.assertIn("started no step", err)

    def test_steps_left_running_are_named(self) -> None:
        running = threading.Event()

        def sleeps(_method: str, params: Params) -> Answer:
            if params["name"] == "quick":
                running.wait(30)
                return ended()
            running.set()
            return until_stopped(params)

        self.master.answers = sleeps
        status, _, err = self.run_body("threading.Thread(target=lambda: step.run('sleep 1d')).start()\nstep.run('quick')")
        self.assertEqual(status, Exit.STEPS_ABANDONED)
        self.assertIn("1 of its steps still ran:\n  `sleep 1d` (danubefile.py:5)\n", err)
        for call in self.master.cancelled.values():
            call.set()

    def test_threads_left_behind_do_not_keep_the_job(self) -> None:
        status, out, _ = self.run_body(
            "threading.Thread(target=threading.Event().wait).start(); step.run('a'); print('end', end='')"
        )
        self.assertEqual((status, out), (Exit.SUCCESS, "end"))

    def test_what_cannot_be_loaded_is_told_with_its_place(self) -> None:
        two = "@pipeline\ndef a(): pass\n@pipeline()\ndef b(): pass\n"
        cases: list[tuple[str | bytes, str]] = [
            ("x = 1\n", "danubefile.py has no pipeline"),
            (two, "danubefile.py has 2 pipelines, on lines 3 and 5"),
            ("@pipeline\nasync def a(): pass\n", "danubefile.py:3: the pipeline's function must not be `async`"),
            ("def a(:\n", "not valid Python:\n  danubefile.py:3".replace("\n  ", "\nTraceback (most recent call last):\n  ")),
            (b"x = '\xff'\n", "danubefile.py is not valid Python"),
            (b"x = '\0'\n", "danubefile.py is not valid Python"),
            (b"(" * 100_000, "danubefile.py is not valid Python"),
            (b"x = " + b"-" * 1_000_000 + b"1", "danubefile.py is not valid Python"),
            (b"# coding: nonsense\n", "danubefile.py is not valid Python"),
        ]
        for danubefile, words in cases:
            with self.subTest(danubefile=danubefile[:40]):
                status, _, err = self.run_file(danubefile)
                self.assertIn(words, err)
                self.assertEqual(status, Exit.UNLOADABLE, err)
        status, _, err = self.run_file("", entry_point="ci/other.py")
        self.assertEqual((status, err), (Exit.UNLOADABLE, "danube: ci/other.py cannot be read: No such file or directory\n"))

    def test_a_syntax_error_has_a_caret(self) -> None:
        _, _, err = self.run_file(b"\xef\xbb\xbffrom danube import *\r\nif True:\r\n    x = = 1\r\n")
        self.assertIn("  danubefile.py:3\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n", err)

    def test_line_ends_and_marks_of_every_editor_are_read(self) -> None:
        text = b"\xef\xbb\xbffrom danube import pipeline, step\r\n@pipeline\r\ndef build():\r\n\tstep.run('a')\r\n"
        self.assertEqual(self.run_file(text)[0], Exit.SUCCESS)

    def test_an_error_while_loading_is_the_danubefiles(self) -> None:
        status, _, err = self.run_file("1 // 0\n")
        self.assertEqual(status, Exit.RAISED)
        self.assertIn("danubefile.py:3\n    1 // 0\nZeroDivisionError", err)

    def test_modules_beside_the_danubefile_are_importable(self) -> None:
        job = Job(pipeline("import helper; helper.work()"), self.master)
        (job.source / "helper.py").write_text("from danube import step\ndef work():\n    step.run('make', name='')\n")
        status, _, err = job.run()
        self.assertEqual(status, Exit.RAISED)
        self.assertIn("danubefile.py:5, in build\n    import helper; helper.work()\n  helper.py:3, in work\n", err)

    def test_no_exception_is_too_strange_to_be_shown(self) -> None:
        cases = {
            "class E(Exception):\n    def __str__(self): raise self\nraise E()": "E: (its text cannot be shown: E)",
            "class E(Exception):\n    def __str__(self): os._exit\n    __repr__ = None\nraise E()": "E: (its text",
            "def f(n): f(n + 1)\nf(0)": "RecursionError: maximum recursion depth exceeded",
            "raise MemoryError": "MemoryError",
            "raise Exception('\\udcff\\ud800')": "Exception: \\udcff\\ud800",
            "a = Exception('a'); b = Exception('b'); a.__cause__ = b; b.__cause__ = a; raise a": "Exception: a",
            "e = ExceptionGroup('deep', [ValueError(1)])\nfor n in range(500): e = ExceptionGroup('deep', [e])\nraise e": "deep",
            "raise ExceptionGroup('many', [ValueError(n) for n in range(5000)])": "and 4900 more",
            "e = ValueError('same'); raise ExceptionGroup('twice', [e, e])": "  2. ValueError: same (see above)",
            "raise KeyboardInterrupt": "KeyboardInterrupt",
            "raise Exception('x' * 10**7)": "xxx ...",
            "e = Exception(); e.__notes__ = 7; raise e": "Exception",
            "class E(SyntaxError): pass\nraise E('m', ('f', -5, -7, 'text', 0, 10**9))": "E: m",
            "sys.stdout.close(); sys.stderr.close(); 1 // 0": "ZeroDivisionError",
            "os.close(1); print('x'); raise ValueError": "",
            "sys.stderr = sys.stdout = None; 1 // 0": "ZeroDivisionError",
            "del sys.modules['danube']; del sys.modules['os']; 1 // 0": "ZeroDivisionError",
        }
        for body, words in cases.items():
            with self.subTest(body=body):
                status, _, err = self.run_body("step.run('a')\n" + body)
                self.assertEqual(status, Exit.RAISED, err)
                self.assertIn(words, err)
                self.assertLess(len(err), 100_000)

    def test_deep_recursion_is_shortened(self) -> None:
        _, _, err = self.run_body("def f(n):\n    f(n + 1)\nf(0)")
        self.assertLess(err.count("\n"), 100, err)
        self.assertIn(" frames ...", err)

    def test_printed_bytes_reach_the_log(self) -> None:
        status, out, _ = self.run_body("sys.stdout.write('ü\\udcff'); sys.stdout.flush(); step.run('a')")
        self.assertEqual((status, out), (Exit.SUCCESS, "ü\\udcff"))

    def test_the_statuses_are_the_ones_the_engine_knows(self) -> None:
        source = (REPOSITORY / "crates/danube-core/src/job.rs").read_text()
        for name in ["RAISED", "NO_STEPS", "STEPS_ABANDONED", "UNLOADABLE"]:
            self.assertIn(f"pub const {name}: i32 = {getattr(Exit, name)};", source)


class InterruptTest(unittest.TestCase):
    """Cancel and timeout: a step tells the test that the danubefile is where it should be struck."""

    def run_interrupted(self, body: str, *signals: signal.Signals) -> tuple[int, str, str, list[str]]:
        arrived = threading.Event()

        def answer(_method: str, params: Params) -> Answer:
            if params["name"] == "here":
                arrived.set()
                params["stop"].wait(30)
            return ended()

        with Master(answer) as master:
            job = Job(pipeline(body), master)
            job.start()
            self.assertTrue(arrived.wait(30))
            for number in signals:
                job.signal(number)
            status, out, err = job.finish()
            for stop in master.cancelled.values():
                stop.set()
            return status, out, err, [params["name"] for params in master.steps()]

    def test_a_cancel_strikes_inside_of_a_step_and_finally_runs_steps(self) -> None:
        body = "try:\n    step.run('here')\nexcept Exception:\n    print('swallowed')\nfinally:\n    step.run('clean')"
        status, out, err, steps = self.run_interrupted(body, signal.SIGTERM)
        self.assertEqual((status, out, steps), (Exit.CANCELLED, "", ["here", "clean"]))
        self.assertEqual(err, "danube: the job was cancelled at danubefile.py:6, in build\n")

    def test_the_jobs_timeout_is_an_exception_of_its_own(self) -> None:
        body = "try:\n    step.run('here')\nexcept JobTimeout:\n    step.run('clean')\n    raise"
        status, _, err, steps = self.run_interrupted(body, signal.SIGUSR1)
        self.assertEqual((status, steps), (Exit.TIMEOUT, ["here", "clean"]))
        self.assertIn("the job's time is up at danubefile.py:6", err)

    def test_only_the_first_signal_strikes(self) -> None:
        body = """
            try:
                step.run('here')
            finally:
                for number in [signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM]:
                    os.kill(os.getpid(), number)
                step.run('clean')
                print('cleaned')
            """
        status, out, _, _ = self.run_interrupted(body, signal.SIGUSR1)
        self.assertEqual((status, out), (Exit.TIMEOUT, "cleaned\n"))

    def test_a_cancel_stops_parallel_steps_before_cleaning_up(self) -> None:
        running, cleaning = threading.Barrier(4), threading.Event()
        too_early: list[bool] = []

        def answer(_method: str, params: Params) -> Answer:
            if params["name"] == "clean":
                cleaning.set()
                return ended()
            running.wait(30)
            stopped = until_stopped(params)
            # Cleaning up must not begin while this step still ends.
            too_early.append(cleaning.wait(0.3))
            return stopped

        body = """
            try:
                step.parallel(*[step.call('here')] * 3, lambda: threading.Event().wait())
            finally:
                step.run('clean')
            """
        with Master(answer) as master:
            job = Job(pipeline(body), master)
            job.start()
            running.wait(30)
            job.signal(signal.SIGTERM)
            status, _, err = job.finish()
        self.assertEqual((status, err), (Exit.CANCELLED, "danube: the job was cancelled at danubefile.py:6, in build\n"))
        self.assertTrue(cleaning.is_set())
        self.assertEqual(too_early, [False, False, False])

    def test_an_endless_loop_is_struck(self) -> None:
        body = "threading.Thread(target=lambda: step.run('here'), daemon=True).start()\nwhile True: pass"
        self.assertEqual(self.run_interrupted(body, signal.SIGTERM)[0], Exit.CANCELLED)

    def test_a_lost_exception_strikes_again(self) -> None:
        """Python drops what is raised inside of a `__del__`; the job must end all the same."""
        body = """
            class Deleted:
                def __del__(self):
                    os.kill(os.getpid(), signal.SIGTERM)
                    for n in range(1000): pass
            Deleted()
            while True: pass
            """
        with Master() as master:
            self.assertEqual(Job(pipeline(body), master).run()[0], Exit.CANCELLED)

    def test_a_swallowed_cancel_is_the_engines_to_judge(self) -> None:
        body = "try:\n    step.run('here')\nexcept BaseException:\n    pass"
        self.assertEqual(self.run_interrupted(body, signal.SIGTERM)[0], Exit.SUCCESS)


if __name__ == "__main__":
    unittest.main()
