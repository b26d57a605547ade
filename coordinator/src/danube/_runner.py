"""The process that runs a danubefile: loads it, calls its pipeline, and ends with a status that says what became of it.

Nothing here decides the job's result: the engine has its own records. Started by `danube-runner.py`.
"""

from __future__ import annotations

import _thread
import os
import sys
import time

from danube import _call, _context, _pipeline, _source
from danube.errors import JobCancelled, JobTimeout, ServiceDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType, FrameType, ModuleType
    import signal
    from typing import NoReturn
else:
    # The part in C is all that is needed here, and imports nothing.
    import _signal as signal

_MODULE = "danubefile"


class Exit:
    """Exit statuses of the runner, known to the engine (`danube_core::job::runner_exit`). Numbers: an enum costs every job."""

    SUCCESS = 0
    """The pipeline's function returned, or called `sys.exit(0)`, and its steps had ended."""
    RAISED = 1
    """The danubefile raised, or called `sys.exit` with anything else."""
    NO_STEPS = 10
    """The pipeline's function returned and had started no step."""
    STEPS_ABANDONED = 11
    """The pipeline's function returned while steps still ran."""
    UNLOADABLE = 12
    """The danubefile is missing, is no Python, or has no or more than one pipeline."""
    SERVICE = 123
    """`ServiceDied` came through."""
    TIMEOUT = 124
    """`JobTimeout` came through."""
    CANCELLED = 130
    """`JobCancelled` came through."""


_ENDED_BY: Mapping[type[BaseException], int] = {
    JobCancelled: Exit.CANCELLED,
    JobTimeout: Exit.TIMEOUT,
    ServiceDied: Exit.SERVICE,
}


class Unloadable(Exception):
    """The danubefile cannot be loaded."""


def main() -> NoReturn:
    """Runs the danubefile named by the job's context and ends the process.

    Threads that the danubefile left behind, and its `atexit` functions, have no say in when that is.
    """
    ended = Exit.RAISED
    try:
        _line_by_line()
        ended = status(load)
    except BaseException as error:
        # Not even the report could be written as it should: say the least, and never look like success.
        complain(f"danube: the danubefile failed with {type(error).__name__}\n")
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:
                pass
        os._exit(ended)


def _line_by_line() -> None:
    """What the danubefile prints stands in the log in order, whatever characters are in it."""
    import io

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def status(load: Callable[[], Callable[[], object]]) -> int:
    """Loads the danubefile, calls its pipeline, and says in a number and in the log what became of it."""
    interrupt = Interrupt()
    try:
        interrupt.arm()
        pipeline = load()
        pipeline()
        interrupt.disarm()
        return _returned()
    except Unloadable as error:
        interrupt.disarm()
        complain(f"danube: {error}\n")
        return Exit.UNLOADABLE
    except SystemExit as error:
        interrupt.disarm()
        return _exited(error)
    except (JobCancelled, JobTimeout, ServiceDied) as error:
        interrupt.disarm()
        complain(f"danube: {error}{_where(error)}\n")
        return _ENDED_BY[type(error)]
    except BaseException as error:
        interrupt.disarm()
        complain(_report_of(error))
        return Exit.RAISED


def _returned() -> int:
    running = list(_call.in_flight.values())
    if running:
        names = "".join(f"  `{step.name}`" + (f" ({step.location})" if step.location else "") + "\n" for step in running)
        complain(f"danube: the pipeline's function returned while {len(running)} of its steps still ran:\n{names}")
        return Exit.STEPS_ABANDONED
    if not _call.any_started:
        complain("danube: the pipeline's function returned and had started no step. Call step.run(...) in it.\n")
        return Exit.NO_STEPS
    return Exit.SUCCESS


def _exited(error: SystemExit) -> int:
    if error.code is None or error.code == 0:
        return _returned()
    complain(f"danube: the danubefile called sys.exit({error.code!r}){_where(error)}\n")
    return Exit.RAISED


def _report_of(error: BaseException) -> str:
    from danube import _report

    return _report.report(error)


def _where(error: BaseException) -> str:
    from danube import _report

    return _report.where(error)


def complain(text: str) -> None:
    """Writes to the log even when Python's own streams are closed or broken."""
    try:
        sys.stdout.flush()
    except BaseException:
        pass
    try:
        os.write(2, text.encode(errors="backslashreplace"))
    except OSError:
        # The log is gone; the exit status still says what happened.
        pass


class Interrupt:
    """Turns the engine's signals into exceptions in the main thread: the first one, once.

    Those that come later find cleanup code under way and leave it alone; when its time is over the engine kills.
    """

    _RAISES: Mapping[int, tuple[type[BaseException], str]] = {
        signal.SIGTERM: (JobCancelled, "the job was cancelled"),
        signal.SIGUSR1: (JobTimeout, "the job's time is up"),
        signal.SIGUSR2: (ServiceDied, "a service of the job has died"),
    }

    def __init__(self) -> None:
        self._armed = False

    def arm(self) -> None:
        """From now on the signals raise."""
        self._armed = True
        for number in self._RAISES:
            signal.signal(number, self._strike)
        sys.unraisablehook = self._unraisable

    def disarm(self) -> None:
        """From now on nothing raises: the danubefile has ended."""
        self._armed = False

    def _strike(self, number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            kind, words = self._RAISES[number]
            raise kind(words)

    def _unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """An exception that struck inside of a `__del__` is dropped by Python: strike again, when that is left."""
        for number, (kind, _) in self._RAISES.items():
            if lost.exc_type is kind:
                self._armed = True
                _thread.start_new_thread(_strike_later, (number,))
                return
        sys.__unraisablehook__(lost)


def _strike_later(number: int) -> None:
    time.sleep(0.01)
    os.kill(os.getpid(), number)


def load() -> Callable[[], object]:
    """Loads the danubefile and returns its pipeline, with the parameters that its function asks for.

    Raises:
        Unloadable: It is missing, is no Python, or has no or more than one pipeline.
        BaseException: Whatever its own code raises.
    """
    context = _context.load()
    module = _execute(context["entry_point"])
    return _pipeline_of(module, context["entry_point"], context["params"])


def _execute(entry_point: str) -> ModuleType:
    path = os.path.join(_source.root(), entry_point)
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise Unloadable(f"{entry_point} cannot be read: {error.strerror}") from None
    module = type(sys)(_MODULE)
    module.__file__ = path
    sys.modules[_MODULE] = module
    # Compiled here and not imported, so that no bytecode is written and none is believed.
    exec(_compiled(source, path, entry_point), module.__dict__)  # noqa: S102: it is what a runner does
    return module


def _compiled(source: bytes, path: str, entry_point: str) -> CodeType:
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Unloadable(f"{entry_point} is not valid Python:\n{_report_of(error.with_traceback(None))}") from None
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise Unloadable(f"{entry_point} is not valid Python: {type(error).__name__}: {error}") from None


def _pipeline_of(module: ModuleType, entry_point: str, params: Mapping[str, object]) -> Callable[[], object]:
    found = [function for function in _pipeline.recorded if function.__module__ == _MODULE]
    if not found:
        raise Unloadable(f"{entry_point} has no pipeline: decorate one function with `@pipeline` of danube")
    if len(found) > 1:
        lines = " and ".join(str(function.__code__.co_firstlineno) for function in found)
        raise Unloadable(f"{entry_point} has {len(found)} pipelines, on lines {lines}: keep one `@pipeline`")
    code = found[0].__code__
    if code.co_flags & 0x80:
        raise Unloadable(f"{entry_point}:{code.co_firstlineno}: the pipeline's function must not be `async`")
    asked = code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]
    given = {name: params[name] for name in asked if name in params}
    # By its name, so that decorators above `@pipeline` have their effect.
    function = getattr(module, found[0].__name__, found[0])
    return lambda: function(**given)
