"""The script of a test: which step ends how."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from threading import Lock
from typing import TypeAlias, TypeGuard, Union

from danube import _quantity
from danube.errors import (
    ImageUnavailable,
    InfraError,
    JobCancelled,
    JobTimeout,
    SecretNotFound,
    ServiceDied,
    StepLost,
    StepTimeout,
    UsageError,
)
from danube.testing._step import Step

RAISED = (ImageUnavailable, InfraError, JobCancelled, JobTimeout, SecretNotFound, ServiceDied, StepLost, StepTimeout, UsageError)
"""What a step may be scripted to raise. `ServiceDied` is what strikes while it runs, as `JobCancelled` does."""

Raised: TypeAlias = (
    type[ImageUnavailable]
    | type[InfraError]
    | type[JobCancelled]
    | type[JobTimeout]
    | type[SecretNotFound]
    | type[ServiceDied]
    | type[StepTimeout]
    | type[UsageError]
    | ImageUnavailable
    | InfraError
    | JobCancelled
    | JobTimeout
    | SecretNotFound
    | ServiceDied
    | UsageError
)


@dataclass(frozen=True)
class Ends:
    """How a step ends.

    Attributes:
        exit_code: 0 is success.
        stdout: What a step with `capture=True` returns.
        stderr: Likewise.
        takes: How long it takes on the job's own clock: seconds, or a text such as `"10m"`. Nothing waits for it; its
            `timeout=`, the pipeline's `timeout`, and `step.parallel` go by it.
        files: What it leaves in the workspace: path to content.
        message: What the exit code does not say.
        started: False when the program or its working directory is not there.

    Example:
        run(steps={"unit tests": Ends(1, stdout="3 failed", takes="4m")})
    """

    exit_code: int = 0
    stdout: str | bytes = ""
    stderr: str | bytes = ""
    takes: float | str = 0
    files: Mapping[str, str | bytes] = field(default_factory=dict[str, str | bytes])
    message: str | None = None
    started: bool = True

    def seconds(self) -> float:
        """How long it takes."""
        return 0.0 if self.takes == 0 else _quantity.milliseconds(self.takes, "takes=") / 1000


@dataclass(frozen=True)
class Hangs:
    """The step never ends by itself: its `timeout=`, the pipeline's, or a failure beside it ends it.

    Example:
        job = run(steps={"integration": Hangs()})
        assert job.status == "timeout"
    """


@dataclass(frozen=True)
class OutOfMemory:
    """The step is killed because it used more memory than its limit.

    Attributes:
        takes: How long that takes on the job's own clock.
    """

    takes: float | str = 0


Outcome: TypeAlias = Union[
    int, str, Ends, Hangs, OutOfMemory, Raised, Callable[[Step], "Outcome | None"], Sequence["Outcome"], None
]
"""How a step ends: an exit code, what it prints, one of the classes above, what it raises, a function of the step that gives
one of these, or a list with one of these for each try. None is success."""

Key: TypeAlias = str | re.Pattern[str] | Callable[[Step], bool]
"""Which step: a name or a command, in which `*` stands for anything; a compiled pattern, searched in both; or a function."""

Script: TypeAlias = Mapping[Key, Outcome]
"""Which step ends how. What is written out counts before what has a `*`, and that before the others; then the order."""

End: TypeAlias = Ends | Hangs | OutOfMemory | Raised
"""An outcome with nothing left to find out."""


class Unscripted(AssertionError):
    """The danubefile did what the test did not foresee."""


class Prompter:
    """Tells for each step of one job how it ends."""

    def __init__(self, script: Script, *, strict: bool) -> None:
        self._script = sorted(script.items(), key=lambda entry: _rank(entry[0]))
        self._strict = strict
        self._used: dict[int, int] = {}
        self._lock = Lock()

    def outcome(self, step: Step) -> End:
        """How this step ends."""
        for index, (key, outcome) in enumerate(self._script):
            if _matches(key, step):
                with self._lock:
                    before = self._used.get(index, 0)
                    self._used[index] = before + 1
                return self._resolved(outcome, step, before)
        if self._strict:
            raise Unscripted(f"{_where(step)} is not in the script{self._near(step)}")
        return Ends()

    def unused(self) -> list[str]:
        """Entries that no step matched."""
        return [_shown(key) for index, (key, _) in enumerate(self._script) if index not in self._used]

    def _near(self, step: Step) -> str:
        near = get_close_matches(step.name, [key for key, _ in self._script if isinstance(key, str)], 1)
        return f": did you mean it by `{near[0]}`?" if near else ", and strict=True wants every step there"

    def _resolved(self, outcome: Outcome, step: Step, before: int) -> End:
        if outcome is None:
            return Ends()
        if isinstance(outcome, bool):
            raise TypeError(f"`{step.name}`: an outcome is an exit code, not {outcome!r}")
        if isinstance(outcome, int):
            return Ends(outcome)
        if isinstance(outcome, str):
            return Ends(stdout=outcome)
        if isinstance(outcome, (Ends, Hangs, OutOfMemory)):
            return outcome
        if _is_raised(outcome):
            return outcome
        if _is_sequence(outcome):
            if before >= len(outcome):
                raise Unscripted(f"{_where(step)} runs for time {before + 1}: its script ends after {len(outcome)}")
            return self._resolved(outcome[before], step, 0)
        if callable(outcome) and not isinstance(outcome, type):
            return self._resolved(outcome(step), step, 0)
        hint = "an exit code, a text, Ends(…), a list of these, or a function; see danube.testing.Outcome"
        raise TypeError(f"`{step.name}` cannot end with {outcome!r}: give {hint}")


def _is_raised(outcome: object) -> TypeGuard[Raised]:
    return isinstance(outcome, RAISED) or (isinstance(outcome, type) and issubclass(outcome, RAISED))


def _is_sequence(outcome: object) -> TypeGuard[Sequence[Outcome]]:
    return isinstance(outcome, Sequence)


def _rank(key: Key) -> int:
    if isinstance(key, str):
        return 1 if "*" in key else 0
    return 2


def matches_text(key: str, text: str) -> bool:
    """Whether a text is the key, in which `*` stands for anything."""
    # A command may have a `*` of its own.
    pattern = re.compile(".*".join(map(re.escape, key.split("*"))), re.DOTALL)
    return key == text or pattern.fullmatch(text) is not None


def _matches(key: Key, step: Step) -> bool:
    texts = (step.name, step.title, step.text)
    if isinstance(key, str):
        return any(matches_text(key, text) for text in texts)
    if isinstance(key, re.Pattern):
        return any(key.search(text) for text in texts)
    return key(step)


def matches(key: Key, step: Step) -> bool:
    """Whether a step is meant by a key of a script."""
    return _matches(key, step)


def _shown(key: Key) -> str:
    if isinstance(key, str):
        return key
    return key.pattern if isinstance(key, re.Pattern) else getattr(key, "__name__", repr(key))


def _where(step: Step) -> str:
    return f"step `{step.title}`" + (f" ({step.location})" if step.location else "")
