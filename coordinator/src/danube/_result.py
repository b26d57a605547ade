"""What a step gives back. Written out rather than a dataclass: importing `dataclasses` would cost more than the rest."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class StepResult:
    """How a step ended. Cannot be changed; equal to another with the same values.

    Attributes:
        exit_code: Of the step's main process; 128 + signal when a signal ended it.
        stdout: What it wrote, if it was asked for with `capture=True`, else empty. With `stderr="merge"` both streams.
            Bytes that are not UTF-8 are replaced by U+FFFD.
        stderr: Likewise, with `stderr="separate"`.
        duration: Seconds that the last attempt took.
        attempts: How often it was tried.

    Example:
        result = step.run("git describe --tags", capture=True, check=False)
        version = result.stdout.strip() if result.exit_code == 0 else "0.0.0"
    """

    __slots__ = ("attempts", "duration", "exit_code", "stderr", "stdout")
    __match_args__ = ("exit_code", "stdout", "stderr", "duration", "attempts")

    exit_code: int
    stdout: str
    stderr: str
    duration: float
    attempts: int

    def __init__(
        self, exit_code: int, stdout: str = "", stderr: str = "", duration: float = 0.0, attempts: int = 1
    ) -> None:
        values = (exit_code, stdout, stderr, duration, attempts)
        for field, value in zip(self.__match_args__, values, strict=True):
            object.__setattr__(self, field, value)

    def _values(self) -> tuple[int, str, str, float, int]:
        return (self.exit_code, self.stdout, self.stderr, self.duration, self.attempts)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a StepResult cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a StepResult cannot be changed: {name}")

    def __reduce__(self) -> tuple[type[StepResult], tuple[int, str, str, float, int]]:
        return (StepResult, self._values())

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, StepResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = zip(self.__match_args__, self._values(), strict=True)
        return f"StepResult({', '.join(f'{field}={value!r}' for field, value in fields)})"
