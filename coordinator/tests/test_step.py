"""step.run and what surrounds it, against a master on a real socket."""

from __future__ import annotations

import os
import random
import unittest
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

from danube import (
    CaptureTooLarge,
    ImageUnavailable,
    InfraError,
    JobCancelled,
    JobTimeout,
    MasterUnavailable,
    NotInJob,
    SecretNotFound,
    StepFailed,
    StepLost,
    StepResult,
    StepStopped,
    StepTimeout,
    UsageError,
    _mailbox,
    secrets,
    step,
)
from tests.master import Answer, Master, Params, ended, refused

WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ("", {}, ValueError, "the command is empty"),
    (" \n", {}, ValueError, "the command is empty"),
    ([], {}, ValueError, "the command is empty"),
    ([""], {}, ValueError, "the command is empty"),
    (b"make", {}, TypeError, "must be a str or a list of str, not bytes"),
    (7, {}, TypeError, "not int"),
    (None, {}, TypeError, "not NoneType"),
    ({"make": "a"}, {}, TypeError, "not dict"),
    (["make", 7], {}, TypeError, "argument 1 of the command must be a str, not int"),
    (["make", b"a"], {}, TypeError, "not bytes: decode it first"),
    ("a\0b", {}, ValueError, "NUL"),
    (["a", "b\0"], {}, ValueError, "argument 1 of the command has a NUL"),
    ("echo \udcff", {}, ValueError, "cannot be sent"),
    ("a", {"name": ""}, ValueError, "name="),
    ("a", {"name": "a\nb"}, ValueError, "one line"),
    ("a", {"name": "x" * 201}, ValueError, "at most 200"),
    ("a", {"env": {"A=B": "c"}}, ValueError, "'A=B' is not a name"),
    ("a", {"env": {"": "c"}}, ValueError, "is not a name"),
    ("a", {"env": {"1A": "c"}}, ValueError, "is not a name"),
    ("a", {"env": {"A": 1}}, TypeError, "env['A'] must be a str, not int"),
    ("a", {"env": {"A": "b\0"}}, ValueError, "NUL"),
    ("a", {"env": [("A", "b")]}, TypeError, "env= must be a dictionary"),
    ("a", {"timeout": -1}, ValueError, "above 0"),
    ("a", {"timeout": 0}, ValueError, "above 0"),
    ("a", {"timeout": float("nan")}, ValueError, "above 0"),
    ("a", {"timeout": float("inf")}, ValueError, "above 0"),
    ("a", {"timeout": True}, TypeError, "number of seconds"),
    ("a", {"timeout": "10 minutes"}, ValueError, '"10m"'),
    ("a", {"timeout": "10"}, ValueError, '"10m"'),
    ("a", {"timeout": "9" * 5000 + "s"}, ValueError, "30 days"),
    ("a", {"memory": "512m"}, ValueError, '"512Mi"'),
    ("a", {"memory": 1}, ValueError, "at least 1Mi"),
    ("a", {"shell": "zsh"}, ValueError, '"sh" or "bash"'),
    (["a"], {"shell": "bash"}, ValueError, "executed without a shell"),
    ("a", {"stderr": "merged"}, ValueError, '"merge" or "separate"'),
    ("a", {"tty": True, "stderr": "separate"}, ValueError, "one stream"),
    ("a", {"check": 1}, TypeError, "check= must be True or False"),
    ("a", {"retries": -1}, ValueError, "from 0"),
    ("a", {"retries": 1.5}, TypeError, "whole number"),
    ("a", {"cwd": 7}, TypeError, "cwd="),
    ("a", {"cwd": ""}, ValueError, "cwd="),
    ("a", {"cwd": ".."}, UsageError, "cwd='..' leaves the workspace"),
    ("a", {"cwd": "../.."}, UsageError, "cwd="),
    ("a", {"cwd": Path("a/../../b")}, UsageError, "cwd="),
    ("a", {"cwd": "./a//..//.."}, UsageError, "cwd="),
    ("a", {"image": ""}, ValueError, "image="),
    ("a", {"secrets": "TOKEN"}, TypeError, 'a list such as ["NAME"]'),
    ("a", {"secrets": secrets.file("A")}, TypeError, "a list such as"),
    ("a", {"secrets": ["A-B"]}, ValueError, "environment variable"),
    ("a", {"secrets": ["A"], "env": {"A": "b"}}, ValueError, "in env= and in secrets="),
    ("a", {"env": {"A": "x" * (1 << 20)}}, ValueError, "put data into files"),
]


class StepTest(unittest.TestCase):
    def master(self, *answers: Answer) -> Master:
        """A master that gives these answers one after the other; then each step succeeds."""
        waiting = list(answers)

        def answer(_method: str, _params: Params) -> Answer:
            return waiting.pop(0) if waiting else ended()

        master = self.enterContext(Master(answer))
        self.enterContext(mock.patch.dict(os.environ, master.environment))
        return master

    def test_a_step_travels_with_everything_it_was_given(self) -> None:
        master = self.master()
        result = step.run(
            "make", name="n", env={"A": "b"}, timeout="1h30m", image="i", cwd=Path("sub"), shell="bash", errexit=False,
            check=False, capture=True, stderr="separate", secrets={"T": "TOKEN", "K": secrets.file("KEY")}, memory="2G",
        )  # fmt: skip
        self.assertEqual(result, StepResult(0, "", "", 0.812, 1))
        expected = {
            "name": "n", "script": "make", "shell": "bash", "errexit": False, "env": {"A": "b"},
            "secrets": {"T": "TOKEN"}, "secret_files": {"K": "KEY"}, "image": "i", "cwd": "sub", "timeout_ms": 5400000,
            "memory_bytes": 2 * 10**9, "capture": True, "separate": True, "tty": False, "check": False,
            "location": None, "attempt": 1, "attempts": 1, "group": [],
        }  # fmt: skip
        self.assertEqual(master.steps(), [expected])

    def test_a_working_directory_may_be_anywhere_in_the_workspace_or_absolute(self) -> None:
        master = self.master()
        paths = [".", "a/../b", "a/b/../..", "..a", "/", "/tmp/../etc", "/.."]
        for path in paths:
            step.run("make", cwd=path)
        self.assertEqual([params["cwd"] for params in master.steps()], paths)

    def test_a_list_is_a_program(self) -> None:
        master = self.master()
        step.run(("echo", "a b", ""))
        self.assertEqual(master.steps()[0]["argv"], ["echo", "a b", ""])
        self.assertNotIn("script", master.steps()[0])

    def test_a_name_is_the_first_telling_line(self) -> None:
        master = self.master()
        for command in ["make", "\n# about\nset -x\n  make a\nmake b", "x" * 100, ["echo", "a b"], "a\tb", "# only"]:
            step.run(command)
        names = [params["name"] for params in master.steps()]
        self.assertEqual(names, ["make", "make a …", "x" * 58 + " …", "echo 'a b'", "a b", "script"])

    def test_what_is_wrong_is_said_where_it_is_written(self) -> None:
        master = self.master()
        for command, arguments, kind, words in WRONG:
            with self.subTest(command=str(command)[:20], arguments=str(arguments)[:80]):
                with self.assertRaises(kind) as caught:
                    step.run(command, **arguments)
                self.assertIn(words, str(caught.exception))
        self.assertEqual(master.calls, [])

    def test_a_failure_says_what_where_and_what_to_do(self) -> None:
        self.master(ended(2))
        with self.assertRaises(StepFailed) as caught:
            step.run("make test")
        failure = caught.exception
        self.assertEqual((failure.name, failure.number, failure.result.exit_code), ("make test", 1, 2))
        self.assertIn("step 1 `make test` failed with exit code 2. Its log says more", str(failure))
        self.assertIn("check=False", str(failure))

    def test_danube_s_own_words_on_a_failure_are_passed_on(self) -> None:
        self.master(ended(137, message="out of memory: raise memory="))
        with self.assertRaisesRegex(StepFailed, "exit code 137: out of memory: raise memory=$"):
            step.run("make")

    def test_each_end_has_its_exception(self) -> None:
        cases: list[tuple[Answer, type[BaseException]]] = [
            (ended(143, "timed_out"), StepTimeout),
            (ended(143, "stopped"), StepStopped),
            (ended(-1, "lost"), StepLost),
            (ended(0, "unheard of"), StepLost),
            (refused("invalid"), UsageError),
            (refused("unsupported"), UsageError),
            (refused("image_unavailable"), ImageUnavailable),
            (refused("secret_not_found"), SecretNotFound),
            (refused("infra"), InfraError),
            (refused("step_conflict"), InfraError),
            (refused("unheard of"), InfraError),
            (refused("cancelled"), JobCancelled),
            (refused("timeout"), JobTimeout),
            (b"", MasterUnavailable),
            (b'{"ok":{"num', MasterUnavailable),
            (b"nonsense\n", InfraError),
            (b"[1]\n", MasterUnavailable),
            (b"\xff\xfe\n", InfraError),
            (b"[" * 100_000 + b"\n", InfraError),
            (b'{"ok":{}}\n', InfraError),
            (b'{"ok":{"number":"x","exit_code":0,"cause":"exited","duration_ms":1}}\n', InfraError),
            (ended(0, stdout="*not base64*!"), InfraError),
            (b"x" * (5 << 20), InfraError),
        ]
        for answer, kind in cases:
            with self.subTest(answer=str(answer)[:60]):
                self.master(answer)
                with self.assertRaises(kind) as caught:
                    step.run("make", check=False, capture=True)
                self.assertIs(type(caught.exception), kind)
                self.assertTrue(str(caught.exception))

    def test_lines_before_the_last_are_passed_over(self) -> None:
        final = b'{"ok":{"number":1,"exit_code":0,"cause":"exited","duration_ms":1,"new":1}}\n'
        self.master(b'{"progress":1}\n' * 3 + final)
        self.assertEqual(step.run("make").exit_code, 0)

    def test_an_answer_may_come_in_any_pieces(self) -> None:
        class Pieces:
            def __init__(self, pieces: list[bytes]) -> None:
                self._pieces = pieces

            def recv(self, _size: int) -> bytes:
                return self._pieces.pop(0) if self._pieces else b""

        text = b'{"a":1}\n\n{"b":22}\n{"c":333}\n'
        seed = int(os.environ.get("DANUBE_SEED", random.randrange(1 << 32)))
        choose = random.Random(seed)
        for _ in range(300):
            cuts = sorted(choose.sample(range(len(text) + 1), choose.randrange(6)))
            pieces: Any = Pieces([text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b])
            lines = list(_mailbox._lines(pieces))
            self.assertEqual(lines, text.split(b"\n")[:-1], f"DANUBE_SEED={seed} {cuts}")

    def test_a_result_is_returned_unless_it_must_succeed(self) -> None:
        self.master(ended(3), ended(127, "not_started"), ended(127, "not_started", message="no such directory: x"))
        self.assertEqual(step.run("false", check=False).exit_code, 3)
        self.assertEqual(step.run("nothing", check=False).exit_code, 127)
        with self.assertRaisesRegex(StepFailed, "could not be started: no such directory: x"):
            step.run("nothing")

    def test_captured_bytes_become_text(self) -> None:
        self.master(ended(stdout="grüß\n".encode() + b"\xff", stderr=b"e"), ended(stdout=b"x" * (1 << 20)))
        result = step.run("make", capture=True, stderr="separate")
        self.assertEqual((result.stdout, result.stderr), ("grüß\n\ufffd", "e"))
        self.assertEqual(len(step.run("make", capture=True).stdout), 1 << 20)

    def test_too_much_captured_is_an_error_with_the_beginning(self) -> None:
        self.master(ended(stdout=b"beginning", capture_truncated=True), ended(1, stdout=b"b", capture_truncated=True))
        with self.assertRaises(CaptureTooLarge) as caught:
            step.run("make", capture=True)
        self.assertEqual(caught.exception.result.stdout, "beginning")
        with self.assertRaises(StepFailed):
            step.run("make", capture=True)

    def test_retries_are_calls_of_their_own(self) -> None:
        master = self.master(ended(1), refused("infra"), ended(-1, "lost"), ended(143, "timed_out"), ended(0))
        result = step.run("make", retries=9)
        self.assertEqual((result.attempts, result.exit_code), (5, 0))
        tries = [(params["attempt"], params["attempts"]) for params in master.steps()]
        self.assertEqual(tries, [(n, 10) for n in range(1, 6)])

    def test_retries_end(self) -> None:
        self.master(ended(1), ended(2))
        with self.assertRaisesRegex(StepFailed, "failed 2 times, at last with exit code 2"):
            step.run("make", retries=1)
        self.master(ended(1), ended(2))
        self.assertEqual(step.run("make", retries=1, check=False), StepResult(2, "", "", 0.812, 2))

    def test_what_was_stopped_or_refused_is_not_tried_again(self) -> None:
        for answer in [ended(143, "stopped"), refused("cancelled"), refused("invalid"), b""]:
            master = self.master(answer)
            with self.assertRaises(BaseException):
                step.run("make", retries=5)
            self.assertEqual(len(master.steps()), 1)

    def test_a_long_script_goes_by_file_and_leaves_none(self) -> None:
        master = self.master()
        script = "# ü\n" + "true\n" * 1_000_000
        step.run(script)
        step.run("\x01" * 255_000)
        self.assertEqual(master.scripts, [script.encode(), b"\x01" * 255_000])
        self.assertEqual([params.get("script") for params in master.steps()], [None, None])
        self.assertEqual(os.listdir(master.outbox), [])

    def test_without_a_job_the_error_says_so(self) -> None:
        with mock.patch.dict(os.environ, {"DANUBE_SOCKET": ""}), self.assertRaisesRegex(NotInJob, "danube run"):
            step.run("make")
        with (
            mock.patch.dict(os.environ, {"DANUBE_SOCKET": "/nonexistent"}),
            self.assertRaisesRegex(MasterUnavailable, "/nonexistent: No such file"),
        ):
            step.run("make")

    def test_groups_nest(self) -> None:
        master = self.master()
        with step.group("a"):
            with step.group("b"):
                step.run("1")
            step.run("2")
        step.run("3")
        self.assertEqual([params["group"] for params in master.steps()], [["a", "b"], ["a"], []])
        with self.assertRaises(ValueError):
            step.group("")

    def test_secrets(self) -> None:
        master = self.master({"ok": {"value": "hunter2"}}, refused("secret_not_found", "no `X` here"))
        self.assertEqual(secrets.get("TOKEN"), "hunter2")
        with self.assertRaisesRegex(SecretNotFound, "no `X` here"):
            secrets.get("X")
        self.assertEqual([call["params"] for call in master.calls], [{"name": "TOKEN"}, {"name": "X"}])
        step.run("a", secrets=["A", secrets.file("B")])
        self.assertEqual(master.steps()[0]["secrets"], {"A": "A"})
        self.assertEqual(master.steps()[0]["secret_files"], {"B": "B"})


class ResultTest(unittest.TestCase):
    def test_a_result_is_a_value(self) -> None:
        import copy
        import pickle

        result = StepResult(1, "a", "b", 0.5, 2)
        self.assertEqual(result, StepResult(exit_code=1, stdout="a", stderr="b", duration=0.5, attempts=2))
        self.assertNotEqual(result, StepResult(0))
        self.assertEqual(len({result, StepResult(1, "a", "b", 0.5, 2)}), 1)
        self.assertEqual(pickle.loads(pickle.dumps(result)), copy.deepcopy(result))
        self.assertIn("exit_code=1, stdout='a'", repr(result))
        with self.assertRaises(AttributeError):
            result.exit_code = 0
        with self.assertRaises(AttributeError):
            del result.stdout
        match result:
            case StepResult(code, out):
                self.assertEqual((code, out), (1, "a"))


if __name__ == "__main__":
    unittest.main()
