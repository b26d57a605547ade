"""step.parallel: threads, limits, failures, stopping."""

from __future__ import annotations

import os
import socket
import threading
import unittest
from typing import Any
from unittest import mock

from danube import MasterUnavailable, StepFailed, StepResult, StepStopped, _mailbox, secrets, step
from danube._scope import Scope
from tests.master import Answer, Master, Params, ended, refused, until_stopped


class ParallelTest(unittest.TestCase):
    def master(self, by_name: dict[str, Any]) -> Master:
        """A master that answers each step by its name; functions are called with the step's parameters."""

        def answer(_method: str, params: Params) -> Answer:
            found = by_name.get(params.get("name", ""), ended())
            return found(params) if callable(found) else found

        master = self.enterContext(Master(answer))
        self.enterContext(mock.patch.dict(os.environ, master.environment))
        return master

    def names(self, master: Master) -> set[str]:
        return {params["name"] for params in master.steps()}

    def test_results_are_in_the_order_of_the_calls(self) -> None:
        first_may_end = threading.Event()

        def slow(_params: Params) -> Answer:
            first_may_end.wait(30)
            return ended(exit_code=0, stdout=b"slow")

        def fast(_params: Params) -> Answer:
            first_may_end.set()
            return ended(exit_code=0, stdout=b"fast")

        self.master({"slow": slow, "fast": fast})
        results = step.parallel(step.call("slow", capture=True), lambda: step.run("fast", capture=True), lambda: 7)
        self.assertEqual([r.stdout if isinstance(r, StepResult) else r for r in results], ["slow", "fast", 7])
        self.assertEqual(step.parallel(), [])

    def test_a_hundred_steps_run_at_once(self) -> None:
        barrier = threading.Barrier(100)

        def together(params: Params) -> Answer:
            barrier.wait(30)
            return ended(stdout=params["name"].encode())

        self.master({f"n{n}": together for n in range(100)})
        results = step.parallel(*(step.call(f"n{n}", capture=True) for n in range(100)))
        self.assertEqual([result.stdout for result in results], [f"n{n}" for n in range(100)])

    def test_a_limit_holds(self) -> None:
        running, most, lock = 0, 0, threading.Lock()
        both = threading.Barrier(2)

        def counted(_params: Params) -> Answer:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            both.wait(30)
            with lock:
                running -= 1
            return ended()

        self.master({f"n{n}": counted for n in range(10)})
        step.parallel(*(step.call(f"n{n}") for n in range(10)), limit=2)
        self.assertEqual(most, 2)

    def test_the_first_failure_stops_the_others(self) -> None:
        sleeping = threading.Barrier(3)

        def sleeps(params: Params) -> Answer:
            sleeping.wait(30)
            return until_stopped(params)

        def fails(_params: Params) -> Answer:
            sleeping.wait(30)
            return ended(1)

        master = self.master({"a": sleeps, "b": sleeps, "c": fails})
        calls = [step.call(name) for name in "abcdefgh"]
        with self.assertRaises(ExceptionGroup) as caught:
            step.parallel(*calls, limit=3)
        self.assertEqual(str(caught.exception), "1 of 8 parallel calls failed (1 sub-exception)")
        (failure,) = caught.exception.exceptions
        assert isinstance(failure, StepFailed)
        self.assertEqual(failure.name, "c")
        self.assertEqual(self.names(master), {"a", "b", "c"}, "nothing may start after a failure")

    def test_without_fail_fast_everything_runs(self) -> None:
        master = self.master({"a": ended(1), "c": refused("infra", "broken")})
        with self.assertRaises(ExceptionGroup) as caught:
            step.parallel(*(step.call(name) for name in "abcd"), fail_fast=False, limit=1)
        self.assertEqual(len(caught.exception.exceptions), 2)
        self.assertEqual(self.names(master), set("abcd"))

    def test_a_step_that_was_already_stopped_elsewhere_is_no_group(self) -> None:
        self.master({"a": ended(143, "stopped")})
        with self.assertRaisesRegex(StepStopped, "step 1 `a` was stopped"):
            step.parallel(step.call("a"))

    def test_a_failure_stops_what_runs_in_a_parallel_within(self) -> None:
        sleeping = threading.Barrier(2)

        def sleeps(params: Params) -> Answer:
            sleeping.wait(30)
            return until_stopped(params)

        def fails(_params: Params) -> Answer:
            sleeping.wait(30)
            return ended(1)

        master = self.master({"deep": sleeps, "fails": fails})

        def inner() -> list[StepResult]:
            return step.parallel(step.call("deep"), step.call("x"), step.call("y"), limit=1)

        with self.assertRaises(ExceptionGroup) as caught:
            step.parallel(inner, step.call("fails"))
        self.assertEqual([str(e)[:14] for e in caught.exception.exceptions], ["step 1 `fails`"])
        self.assertEqual(self.names(master), {"deep", "fails"})

    def test_a_step_that_is_sent_while_others_are_stopped_stops_itself(self) -> None:
        """The failure happens between a step's last look and its sending: then nobody else knows of it."""
        on_its_way, closed = threading.Event(), threading.Event()
        connect, close = _mailbox._connect, Scope.close

        def connects() -> socket.socket:
            if threading.current_thread().name == "late":
                threading.current_thread().name = "sent"
                on_its_way.set()
                closed.wait(30)
            return connect()

        def closes(scope: Scope) -> None:
            close(scope)
            closed.set()

        def fails(_params: Params) -> Answer:
            on_its_way.wait(30)
            return ended(1)

        def late() -> StepResult:
            threading.current_thread().name = "late"
            return step.run("late")

        master = self.master({"fails": fails, "late": until_stopped})
        with mock.patch.object(_mailbox, "_connect", connects), mock.patch.object(Scope, "close", closes):
            with self.assertRaises(ExceptionGroup):
                step.parallel(late, step.call("fails"))
        self.assertEqual(self.names(master), {"late", "fails"})

    def test_a_function_that_goes_on_after_a_stop_starts_nothing(self) -> None:
        sleeping = threading.Barrier(2)

        def sleeps(params: Params) -> Answer:
            sleeping.wait(30)
            return until_stopped(params)

        def fails(_params: Params) -> Answer:
            sleeping.wait(30)
            return ended(1)

        def stubborn() -> None:
            try:
                step.run("sleeps")
            except StepStopped:
                with self.assertRaisesRegex(StepStopped, "`another` was not started"):
                    step.run("another")

        master = self.master({"sleeps": sleeps, "fails": fails})
        with self.assertRaises(ExceptionGroup):
            step.parallel(stubborn, step.call("fails"))
        self.assertEqual(self.names(master), {"sleeps", "fails"})

    def test_groups_hold_in_threads(self) -> None:
        master = self.master({})

        def inner() -> None:
            with step.group("inner"):
                step.run("b")

        with step.group("outer"):
            step.parallel(step.call("a"), inner)
        groups = {params["name"]: params["group"] for params in master.steps()}
        self.assertEqual(groups, {"a": ["outer"], "b": ["outer", "inner"]})

    def test_other_errors_are_in_the_group_too(self) -> None:
        self.master({"b": b""})
        with self.assertRaises(ExceptionGroup) as caught:
            step.parallel(lambda: 1 // 0, step.call("b"), lambda: secrets.get(""), fail_fast=False)
        kinds = [type(error) for error in caught.exception.exceptions]
        self.assertEqual(kinds, [ZeroDivisionError, MasterUnavailable, ValueError])

    def test_an_exit_in_a_thread_is_an_exit(self) -> None:
        self.master({})

        def leaves() -> None:
            raise SystemExit(3)

        with self.assertRaises(SystemExit):
            step.parallel(leaves, step.call("a"), fail_fast=False)

    def test_what_is_no_call_is_refused(self) -> None:
        master = self.master({})
        for wrong, words in [
            (StepResult(0), r"call 2 .* is a StepResult, not a function: it has run already. Write step.call"),
            ("make", "call 2 .* is a str, not a function"),
        ]:
            given: Any = wrong
            with self.assertRaisesRegex(TypeError, words):
                step.parallel(step.call("a"), given)
        for limit in [0, -1, True, 1.5, 1000]:
            anything: Any = limit
            with self.assertRaises((TypeError, ValueError)):
                step.parallel(step.call("a"), limit=anything)
        self.assertEqual(master.calls, [])


if __name__ == "__main__":
    unittest.main()
