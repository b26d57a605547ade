"""Calls beside each other in threads: one list of results or one ExceptionGroup, and nothing left behind."""

from __future__ import annotations

from danube import _call, _scope
from danube._result import StepResult
from danube.errors import DanubeError, InfraError, StepStopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from queue import SimpleQueue
    from typing import Any

MOST_AT_ONCE = 256


class _Ended:
    """What a call came to."""

    __slots__ = ("error", "index", "value")

    def __init__(self, index: int, value: object = None, error: BaseException | None = None) -> None:
        self.index = index
        self.value = value
        self.error = error


class _ThreadEnded:
    """A thread has nothing left to do."""


class Crew:
    """The threads of one `step.parallel`.

    They report to the main line through a queue; a `None` in it only wakes it up. `SimpleQueue` is one C object that a
    signal's exception cannot leave in disorder.
    """

    def __init__(self, calls: Sequence[Callable[[], Any]], *, fail_fast: bool) -> None:
        from queue import SimpleQueue

        self._calls = calls
        self._fail_fast = fail_fast
        self._todo: SimpleQueue[int] = SimpleQueue()
        for index in range(len(calls)):
            self._todo.put(index)
        self._reports: SimpleQueue[_Ended | _ThreadEnded | None] = SimpleQueue()
        self._scope = _scope.Scope(lambda: self._reports.put(None))
        self._ended: dict[int, _Ended] = {}

    def run(self, threads: int) -> list[Any]:
        """Runs every call, at most `threads` at once, and returns their values in order."""
        try:
            self._follow(self._start(threads))
        except BaseException:
            # The main thread is interrupted: the job ends. What it waits for are steps, never code of the user's.
            self._scope.close()
            self._cancel()
            while self._scope.sent:
                self._wait_for_report()
                self._reports.get()
            raise
        return self._judge()

    def _start(self, threads: int) -> int:
        for started in range(threads):
            try:
                self._spawn()
            except RuntimeError as error:
                if not started:
                    raise InfraError(f"step.parallel cannot start a thread: {error}") from None
                return started
        return threads

    def _spawn(self) -> None:
        from contextvars import copy_context
        from threading import Thread

        # Daemons: a thread that never ends must not keep the job from ending.
        Thread(target=copy_context().run, args=(self._work,), daemon=True).start()

    def _wait_for_report(self) -> None:
        """Whoever waits by other means than the queue's own does so here."""

    def _work(self) -> None:
        from queue import Empty

        self._scope.activate()
        try:
            while not self._scope.stopped:
                self._reports.put(self._one(self._todo.get_nowait()))
        except Empty:
            pass
        finally:
            self._reports.put(_ThreadEnded())

    def _one(self, index: int) -> _Ended:
        try:
            return _Ended(index, value=self._calls[index]())
        except BaseException as error:
            if self._fail_fast or not isinstance(error, Exception):
                self._scope.close()
            return _Ended(index, error=error)

    def _follow(self, threads: int) -> None:
        cancelled = False
        while threads:
            self._wait_for_report()
            report = self._reports.get()
            if isinstance(report, _ThreadEnded):
                threads -= 1
            elif report is not None:
                self._ended[report.index] = report
            if self._scope.stopped and not cancelled:
                cancelled = True
                self._cancel()

    def _cancel(self) -> None:
        """Stops every step that was sent; one that is sent later sees the closed scope and stops itself."""
        for step_id in list(self._scope.sent):
            try:
                _call.cancel(step_id)
            except DanubeError:
                # Then its own answer will not come either, or has come.
                pass

    def _judge(self) -> list[Any]:
        ended = [self._ended[index] for index in sorted(self._ended)]
        errors = [end.error for end in ended if end.error is not None]
        for error in errors:
            if not isinstance(error, Exception):
                raise error
        stopped = self._scope.stopped
        failures = [error for error in _exceptions(errors) if not (stopped and isinstance(error, StepStopped))]
        if failures:
            raise ExceptionGroup(f"{len(failures)} of {len(self._calls)} parallel calls failed", failures)
        if errors or len(ended) < len(self._calls):
            raise next((error for error in errors), _not_all(len(ended), len(self._calls)))
        return [end.value for end in ended]


def _exceptions(errors: Iterable[BaseException]) -> list[Exception]:
    return [error for error in errors if isinstance(error, Exception)]


def _not_all(ended: int, calls: int) -> StepStopped:
    message = f"step.parallel was stopped after {ended} of {calls} calls, because another call beside it failed"
    return StepStopped(message, name="step.parallel", number=0, result=StepResult(-1))
