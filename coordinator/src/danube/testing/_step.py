"""A step as the master sees it: what was asked for, and how it ended."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Cause = Literal["exited", "timed_out", "stopped", "not_started", "lost"]


@dataclass(eq=False)
class Step:
    """One try of a step. The last four attributes are None until it has ended.

    Attributes:
        name: As given, or the command's first telling line.
        command: A str for a script, a tuple for a program with its arguments.
        group: The names of the `step.group`s around it, outermost first.
        image: Where it runs: its own image, or the pipeline's.
        cwd: As given; None is the workspace.
        env: Its variables.
        secrets: Environment variable to the name of the secret that it gets.
        secret_files: Likewise, for secrets in files.
        timeout: Seconds, or None.
        memory: Bytes, or None.
        check: Whether its failure raises.
        capture: Whether its output is returned.
        shell: `sh` or `bash`, for a script.
        errexit: Whether a script stops at its first failing command.
        tty: Whether it has a terminal.
        attempt: Which try this is, from 1.
        attempts: How many tries there may be.
        location: The line that asked for it, such as `danubefile.py:12`.
        workspace: The job's workspace, in which a script may put what the step would have made.
        number: From 1, in order of start; 0 when it was refused.
        started: When it started, by the job's own clock.
        cause: How it ended.
        exit_code: 128 + signal when a signal ended it; -1 when it was lost.
        duration: Seconds, by the job's own clock.
        message: What the exit code does not say.
    """

    name: str
    command: str | tuple[str, ...]
    group: tuple[str, ...]
    image: str
    cwd: str | None
    env: dict[str, str]
    secrets: dict[str, str]
    secret_files: dict[str, str]
    timeout: float | None
    memory: int | None
    check: bool
    capture: bool
    shell: str
    errexit: bool
    tty: bool
    attempt: int
    attempts: int
    location: str | None
    workspace: Path
    number: int = 0
    started: float = 0.0
    cause: Cause | None = None
    exit_code: int | None = None
    duration: float | None = None
    message: str | None = None

    @property
    def title(self) -> str:
        """As in the log and in `danube run --json`: `build › tests (try 2 of 3)`."""
        name = " › ".join([*self.group, self.name])
        return f"{name} (try {self.attempt} of {self.attempts})" if self.attempt > 1 else name

    @property
    def text(self) -> str:
        """The command as one text."""
        return self.command if isinstance(self.command, str) else shlex.join(self.command)

    @property
    def failed(self) -> bool:
        """Whether it did not end with exit code 0."""
        return self.exit_code != 0

    def __repr__(self) -> str:
        return f"<step {self.number or '?'} {self.title!r}: {self.outcome}>"

    @property
    def outcome(self) -> str:
        """How it ended, in a few words."""
        if self.cause is None:
            return "refused" if not self.number else "running"
        words = f"exit code {self.exit_code}" if self.exit_code else "ok"
        return words if self.cause == "exited" else self.cause.replace("_", " ")


def of_call(params: dict[str, Any], image: str, workspace: Path, script: str | None) -> Step:
    """The step that a call of the SDK asks for."""
    argv: list[str] | None = params.get("argv")
    timeout: int | None = params.get("timeout_ms")
    return Step(
        name=params["name"],
        command=tuple(argv) if argv is not None else script or params["script"],
        group=tuple(params["group"]),
        image=params.get("image", image),
        cwd=params.get("cwd"),
        env=params["env"],
        secrets=params["secrets"],
        secret_files=params["secret_files"],
        timeout=None if timeout is None else timeout / 1000,
        memory=params.get("memory_bytes"),
        check=params["check"],
        capture=params["capture"],
        shell=params.get("shell", "sh"),
        errexit=params.get("errexit", True),
        tty=params["tty"],
        attempt=params["attempt"],
        attempts=params["attempts"],
        location=params.get("location"),
        workspace=workspace,
    )
