"""What a danubefile finds around it in a job, for the time of a `with`; the test's own process is as before after it."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextvars import copy_context
from importlib.machinery import PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from danube import _call, _context, _mailbox, _parallel, _pipeline, _runner
from danube.testing._master import Master
from danube.testing._turns import STRIKE

_MODULE = "danubefile"
_INSTALLED = ("site-packages", "dist-packages")


@contextlib.contextmanager
def world(master: Master, source: Path, workspace: Path, variables: Mapping[str, str]) -> Generator[io.StringIO, None, None]:
    """Everything at once; gives what the danubefile prints."""
    output = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment({**variables, "DANUBE_SOURCE": str(source)}))
        stack.enter_context(_modules(source))
        stack.enter_context(_folder(workspace))
        stack.enter_context(_sdk(master, output))
        stack.enter_context(_clock(master))
        stack.enter_context(_threads(master))
        stack.enter_context(contextlib.redirect_stdout(output))
        stack.enter_context(contextlib.redirect_stderr(output))
        yield output


@contextlib.contextmanager
def _swapped(owner: object, **values: object) -> Generator[None, None, None]:
    """Gives a module or an object other attributes."""
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Generator[None, None, None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _folder(workspace: Path) -> Generator[None, None, None]:
    before = os.getcwd()
    os.chdir(workspace)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _modules(source: Path) -> Generator[None, None, None]:
    """The repository's own modules can be imported, are new in every run, and leave no bytecode."""
    before, path = dict(sys.modules), list(sys.path)
    sys.path.append(str(source))
    importing = _Importing(source, set(before) - {_MODULE}, builtins.__import__)
    try:
        with _swapped(sys, dont_write_bytecode=True), _swapped(builtins, __import__=importing):
            yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name not in before and importing.is_ours(sys.modules[name].__dict__)]:
            del sys.modules[name]
        sys.modules.pop(_MODULE, None)
        sys.modules.update({name: module for name, module in before.items() if name == _MODULE})


class _Importing:
    """`import`, which gives the job's code what there is in a job: the standard library, the SDK, and the repository's own
    modules. What the test's Python has beyond that would be missing later."""

    def __init__(self, source: Path, others: set[str], real: Callable[..., ModuleType]) -> None:
        self._source = source
        self._others = others
        self._real = real

    def __call__(self, name: str, globals: Mapping[str, Any] | None = None, *more: Any, **named: Any) -> ModuleType:
        level = named.get("level", more[2] if len(more) > 2 else 0)
        if globals is not None and not level and self.is_ours(globals):
            self._check(name.partition(".")[0])
        return self._real(name, globals, *more, **named)

    def is_ours(self, variables: Mapping[str, Any]) -> bool:
        """Whether these are the variables of a module that this run has loaded from the repository."""
        file = variables.get("__file__")
        # A folder without `__init__.py` is a package without a file.
        place = next(iter(variables.get("__path__") or []), None) if file is None else file
        if not isinstance(place, str) or variables.get("__name__") in self._others:
            return False
        path = Path(place)
        return path.is_relative_to(self._source) and not any(part in _INSTALLED for part in path.parts)

    def _check(self, top: str) -> None:
        if top in sys.stdlib_module_names or top in ("danube", _MODULE):
            return
        if PathFinder.find_spec(top, [str(self._source)]) is None:
            error = ModuleNotFoundError(f"No module named {top!r}", name=top)
            error.add_note(f"A job has Python's standard library and the modules of the repository: run what needs `{top}` in a step.")
            raise error


class _Unarmed:
    """In a test no signal ends a job."""

    def arm(self) -> None:
        """Nothing."""

    def disarm(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def _sdk(master: Master, output: io.StringIO) -> Generator[None, None, None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_swapped(_mailbox, _connect=master.connect))
        stack.enter_context(_swapped(_parallel, Crew=_crew(master)))
        stack.enter_context(_swapped(_call, any_started=False, in_flight={}))
        stack.enter_context(_swapped(_context.ctx, _values=None))
        stack.enter_context(_swapped(_pipeline, recorded=[]))
        stack.enter_context(_swapped(_runner, Interrupt=_Unarmed, complain=output.write))
        yield


def _crew(master: Master) -> type[_parallel.Crew]:
    class Crew(_parallel.Crew):
        """Threads that take turns."""

        def _spawn(self) -> None:
            context = copy_context()
            master.turns.spawn(lambda: context.run(self._work))

        def _wait_for_report(self) -> None:
            master.pause(lambda: not self._reports.empty())

    return Crew


@contextlib.contextmanager
def _threads(master: Master) -> Generator[None, None, None]:
    """Threads of the danubefile's own end without a word when the job does, and can strike the main thread."""
    hook = threading.excepthook

    def quiet(ended: threading.ExceptHookArgs) -> None:
        if not issubclass(ended.exc_type, SystemExit):
            hook(ended)

    def strike(_number: int, _frame: FrameType | None) -> None:
        master.struck()

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(STRIKE, strike) if in_main else None
    try:
        with _swapped(threading, excepthook=quiet):
            yield
    finally:
        if in_main:
            signal.signal(STRIKE, before)


@contextlib.contextmanager
def _clock(master: Master) -> Generator[None, None, None]:
    """The danubefile's own waiting passes on the job's clock too."""
    turns, sleep, monotonic, wall = master.turns, time.sleep, time.monotonic, time.time

    def passed() -> float:
        return turns.now if turns.is_member() else 0.0

    def wait(seconds: float) -> None:
        if turns.is_member() and seconds >= 0:
            master.pause(lambda: False, turns.now + seconds)
        else:
            sleep(seconds)

    with _swapped(time, sleep=wait, monotonic=lambda: monotonic() + passed(), time=lambda: wall() + passed()):
        yield
