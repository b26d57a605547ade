"""Steps: commands that run in the job's containers.

Each step is a process of its own, in `/workspace` unless told otherwise. A `cd` or an exported variable of one step
is gone in the next. Steps find `CI=true` and `DANUBE=true`, and variables that ask tools for colour, unless set.
"""

from __future__ import annotations

from danube import _arguments, _scope, _source
from danube._call import StepCall
from danube._result import StepResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal, TypeVar

    from danube._secret_file import SecretFile

    T = TypeVar("T")

__all__ = ["call", "group", "parallel", "run"]


def run(
    command: str | Sequence[str],
    *,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | str | None = None,
    image: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    shell: Literal["sh", "bash"] = "sh",
    errexit: bool = True,
    check: bool = True,
    capture: bool = False,
    stderr: Literal["merge", "separate"] = "merge",
    tty: bool = False,
    retries: int = 0,
    secrets: Sequence[str | SecretFile] | Mapping[str, str | SecretFile] = (),
    memory: int | str | None = None,
) -> StepResult:
    """Runs a command and waits for its end. Its output goes to the job's log.

    Args:
        command: A str is a script for a fresh shell, stopped at the first failing command. A list is a program with its
            arguments, executed directly; the image needs no shell for it.
        name: What is shown; the command's first telling line unless given.
        env: Environment variables, over the image's.
        timeout: Seconds, or a text such as `"10m"` or `"1h30m"`. None means the job's.
        image: Where it runs; the pipeline's default unless given.
        cwd: Its working directory: relative to `/workspace`, which it must not leave, or absolute.
        shell: Which shell reads a script.
        errexit: Whether a script stops at its first failing command (`sh -e`).
        check: Whether an exit code other than 0 raises `StepFailed`.
        capture: Whether the output is returned too, at most 1 MiB of each stream.
        stderr: `"separate"` gives stderr a pipe of its own; its order relative to stdout is then approximate.
        tty: Whether the step gets a pseudo-terminal, with `TERM=xterm-256color`. Nobody types at it: stdin is empty.
        retries: How often it is tried again after an exit code other than 0, a timeout, or a failure of Danube's or the
            machine's. Each try has its own log. A step that was stopped is not tried again.
        secrets: Names of secrets, each in the environment variable of the same name; or environment variable to name.
            A name marked by `secrets.file` is put into a file, and the variable has its path.
        memory: The most memory it may use: bytes, or a text such as `"512Mi"`.

    Returns:
        How it ended.

    Raises:
        StepFailed: It ended with another exit code than 0, or could not be started; not with `check=False`.
        StepTimeout: It took longer than `timeout`.
        StepStopped: It was stopped, by `step.parallel` or because the job ends.
        StepLost, InfraError, MasterUnavailable: Danube or the machine failed.
        CaptureTooLarge: It succeeded, and wrote more than can be captured.
        ImageUnavailable: Its image cannot be had.
        SecretNotFound: A secret is not there for this job.
        UsageError: Danube refuses what it asks for.
        NotInJob: This is no job.
        TypeError, ValueError: An argument is wrong.

    Example:
        step.run("make test", name="tests", timeout="10m")
        step.run(["cargo", "build", "--release"], env={"RUSTFLAGS": "-Dwarnings"})
        version = step.run("git describe", capture=True).stdout.strip()
        step.run("npm publish", secrets=["NPM_TOKEN"], retries=2)
    """
    return call(
        command,
        name=name,
        env=env,
        timeout=timeout,
        image=image,
        cwd=cwd,
        shell=shell,
        errexit=errexit,
        check=check,
        capture=capture,
        stderr=stderr,
        tty=tty,
        retries=retries,
        secrets=secrets,
        memory=memory,
    )()


def call(
    command: str | Sequence[str],
    *,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | str | None = None,
    image: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    shell: Literal["sh", "bash"] = "sh",
    errexit: bool = True,
    check: bool = True,
    capture: bool = False,
    stderr: Literal["merge", "separate"] = "merge",
    tty: bool = False,
    retries: int = 0,
    secrets: Sequence[str | SecretFile] | Mapping[str, str | SecretFile] = (),
    memory: int | str | None = None,
) -> StepCall:
    """Describes a step without starting it, for `parallel`. Takes what `run` takes, and checks it at once.

    Returns:
        The step; calling it runs it.

    Raises:
        TypeError, ValueError: An argument is wrong.

    Example:
        step.parallel(step.call("make lint"), step.call("make test", timeout="10m"))
    """
    program = _arguments.program(command, shell, errexit)
    variables = _arguments.env(env)
    params = {
        "name": _arguments.name(name, program),
        **program,
        "env": variables,
        **_arguments.secrets(secrets, variables),
        **_arguments.place(image, cwd),
        **_arguments.limits(timeout, memory),
        **_arguments.streams(capture, stderr, tty),
        "check": _arguments.flag(check, "check="),
        "location": _source.caller(),
    }
    return StepCall(params, _arguments.attempts(retries))


def parallel(*calls: Callable[[], T], limit: int | None = None, fail_fast: bool = True) -> list[T]:
    """Runs calls beside each other and waits for all of them.

    Args:
        calls: Steps described by `step.call`, or functions without arguments, which may run several steps one after the
            other. Each is called in a thread of its own.
        limit: How many run at once at most; None means all (at most 256).
        fail_fast: Whether the first failure stops the steps that still run, and keeps the others from starting.

    Returns:
        What the calls returned, in their order.

    Raises:
        ExceptionGroup: Calls failed, with what each raised. Steps that were stopped because of them are not in it.
        StepStopped: All of this was stopped, by a `step.parallel` around it or because the job ends.
        TypeError, ValueError: An argument is wrong.

    Example:
        def package() -> StepResult:
            step.run("make build")
            return step.run("make package")

        step.parallel(step.call("make lint"), package, lambda: step.run("make docs"), limit=2)
    """
    from danube import _parallel

    for index, function in enumerate(calls, start=1):
        _check_callable(function, index)
    most = _parallel.MOST_AT_ONCE if limit is None else _arguments.count(limit, "limit=", 1, _parallel.MOST_AT_ONCE)
    crew = _parallel.Crew(calls, fail_fast=_arguments.flag(fail_fast, "fail_fast="))
    return crew.run(min(most, len(calls)))


def _check_callable(value: object, index: int) -> None:
    if not callable(value):
        hint = ": it has run already. Write step.call(...)" if isinstance(value, StepResult) else ""
        raise TypeError(f"call {index} of step.parallel is a {type(value).__name__}, not a function{hint}")


def group(name: str) -> _scope.Group:
    """Shows the steps inside of a `with` under one heading. Groups nest, and hold in the threads of `parallel`.

    Args:
        name: The heading.

    Returns:
        A context manager.

    Raises:
        TypeError, ValueError: `name` is not one line of text.

    Example:
        with step.group("frontend"):
            step.run("npm ci")
            step.run("npm test")
    """
    return _scope.Group(name)
