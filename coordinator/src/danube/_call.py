"""One step from call to result: attempts, the call itself, and the words for every way it can end."""

from __future__ import annotations

import os

from danube import _mailbox, _outbox, _scope
from danube._result import StepResult
from danube.errors import (
    CaptureTooLarge,
    InfraError,
    StepFailed,
    StepLost,
    StepStopped,
    StepTimeout,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from danube.errors import StepError

    E = TypeVar("E", bound=StepError)

any_started = False
"""Whether a step was ever about to be sent; the runner asks."""

in_flight: dict[str, StepCall] = {}
"""Steps that are about to be sent, or were sent and not answered; the runner asks."""


class StepCall:
    """A step that has not been started: what `step.call` returns. Calling it runs the step.

    Attributes:
        name: The step's name.
        location: The line that asked for it, such as `danubefile.py:12`, if known.
    """

    __slots__ = ("_attempts", "_check", "_params")

    def __init__(self, params: dict[str, Any], attempts: int) -> None:
        self._params = params
        self._attempts = attempts
        self._check: bool = params["check"]

    @property
    def name(self) -> str:
        """The step's name."""
        name: str = self._params["name"]
        return name

    @property
    def location(self) -> str | None:
        """The line that asked for it."""
        location: str | None = self._params.get("location")
        return location

    def __repr__(self) -> str:
        return f"<step {self.name!r}, not started>"

    def __call__(self) -> StepResult:
        """Runs the step, as `step.run` does."""
        for attempt in range(1, self._attempts):
            try:
                end = self._try(attempt)
            except (InfraError, StepTimeout):
                continue
            if end.result.exit_code == 0:
                return self._judge(end)
        return self._judge(self._try(self._attempts))

    def _try(self, attempt: int) -> _End:
        step_id = os.urandom(16).hex()
        params = {**self._params, "attempt": attempt, "attempts": self._attempts, "group": list(_scope.groups.get())}
        end = _End(self, _Flight(self, step_id).run(params), attempt)
        end.raise_unless_exited()
        return end

    def _judge(self, end: _End) -> StepResult:
        if end.result.exit_code and self._check:
            raise end.failure()
        if end.truncated:
            raise end.too_large()
        return end.result

    def not_started(self) -> StepStopped:
        """The error for a step that a failing `step.parallel` did not let start."""
        message = f"step `{self.name}` was not started, because another one beside it failed"
        return StepStopped(message, name=self.name, number=0, result=StepResult(-1), location=self.location)


class _Flight:
    """A step on its way: known to its `step.parallel`, so that it can be stopped, and to the runner."""

    def __init__(self, step: StepCall, step_id: str) -> None:
        self._step = step
        self._id = step_id
        self._scope = _scope.current()

    def run(self, params: dict[str, Any]) -> dict[str, Any]:
        if self._scope is not None and self._scope.stopped:
            raise self._step.not_started()
        with _outbox.Letter("step.run", params, self._id, "script") as call:
            try:
                self._known()
                return _mailbox.send(call, self._sent)
            finally:
                in_flight.pop(self._id, None)
                if self._scope is not None:
                    self._scope.remove(self._id)

    def _known(self) -> None:
        global any_started
        any_started = True
        in_flight[self._id] = self._step

    def _sent(self) -> None:
        if self._scope is not None:
            self._scope.add(self._id)
            if self._scope.stopped:
                cancel(self._id)


def cancel(step_id: str) -> None:
    """Asks the master to stop a step; the step's own answer tells when it has."""
    _mailbox.call("step.cancel", {"step_id": step_id}, os.urandom(16).hex())


class _End:
    """The master's answer about a step, and what it means."""

    def __init__(self, step: StepCall, answer: dict[str, Any], attempt: int) -> None:
        self._step = step
        self._attempt = attempt
        try:
            self._read(answer, attempt)
        except (KeyError, TypeError, ValueError) as error:
            raise InfraError(f"Danube's answer about step `{step.name}` cannot be read: {error!r}") from None

    def _read(self, answer: dict[str, Any], attempt: int) -> None:
        self._number = int(answer["number"])
        self._cause = str(answer["cause"])
        self._words = str(answer.get("message") or "")
        self.truncated = bool(answer.get("capture_truncated"))
        stdout, stderr = (_text(answer.get(stream)) for stream in ("stdout", "stderr"))
        duration = answer["duration_ms"] / 1000
        self.result = StepResult(int(answer["exit_code"]), stdout, stderr, duration, attempt)

    def raise_unless_exited(self) -> None:
        """A step that did not end by itself has no exit code worth the name, whatever `check` says."""
        if self._cause == "timed_out":
            took = f"was ended after {self.result.duration:.1f} s by its timeout"
            raise self.error(StepTimeout, took, "Raise timeout=, or find what takes the time.")
        if self._cause == "stopped":
            raise self.error(StepStopped, "was stopped", "The job ends, or another step beside it failed.")
        if self._cause not in ("exited", "not_started"):
            raise self.error(StepLost, "was lost", "Run the job again; with retries= Danube would do so itself.")

    def failure(self) -> StepFailed:
        """The error of a step with another exit code than 0."""
        times = f"failed {self._attempt} times, at last" if self._attempt > 1 else "failed"
        words = f"{times} with exit code {self.result.exit_code}"
        if self._cause == "not_started":
            words = "could not be started"
        return self.error(StepFailed, words, "Its log says more. If this may happen, pass check=False.")

    def too_large(self) -> CaptureTooLarge:
        """The error of a step that succeeded, but cannot be returned."""
        advice = "Write it to a file of the workspace instead."
        return self.error(CaptureTooLarge, "wrote more than the 1 MiB that can be captured", advice)

    def error(self, kind: type[E], words: str, advice: str) -> E:
        """What happened, where, and what to do: Danube's own words on it are better advice than ours."""
        step = self._step
        where = f" ({step.location})" if step.location else ""
        message = f"step {self._number} `{step.name}` {words}{where}" + (f": {self._words}" if self._words else f". {advice}")
        return kind(message, name=step.name, number=self._number, result=self.result, location=step.location)


def _text(captured: object) -> str:
    from binascii import a2b_base64

    return a2b_base64(captured).decode(errors="replace") if isinstance(captured, str) else ""
