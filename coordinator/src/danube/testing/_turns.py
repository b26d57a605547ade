"""Whose turn it is: the threads of a job one after the other, in an order that is always the same, by the job's own clock.

A thread gives its turn away when it waits: for a step's end, or for the calls of its `step.parallel`. Only when nobody
can go on does the clock move, to the next end of a step. So nothing takes real time, and the same danubefile with the
same script does the same thing.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable

_PATIENCE = 1.0
"""Real seconds after which a thread that has its turn and waits for something else is overtaken."""

FOREVER = math.inf
STRIKE = signal.SIGUSR1

Over = SystemExit
"""The job has ended: whatever waits goes. Ends a thread without a word, as no other exception does."""


class _Waiting:
    """A thread that waits until `ready` says so, or until a time."""

    __slots__ = ("due", "ready", "turn", "woken")

    def __init__(self, lock: threading.RLock, ready: Callable[[], bool], due: float = FOREVER) -> None:
        self.woken = threading.Condition(lock)
        self.ready = ready
        self.due = due
        self.turn = False


class Turns:
    """The threads of one job. The one that makes this is its main thread, and has the first turn.

    `stuck` is called when nothing can happen any more; then the job is over.
    """

    def __init__(self, stuck: Callable[[], None]) -> None:
        self._stuck = stuck
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting: list[_Waiting] = []
        self._strangers: set[threading.Thread] = set()
        self._main = threading.get_ident()
        self._members = {self._main}
        first = _Waiting(self._lock, lambda: True)
        self._turns = {self._main: first}
        self._running = {first}
        self._overtaken: set[_Waiting] = set()
        self._moves = 0
        self._alarm: tuple[float, Callable[[], None]] | None = None
        self.now = 0.0
        self.closed = False

    def is_member(self) -> bool:
        """Whether the current thread takes turns: the main thread, and those of `step.parallel`."""
        return threading.get_ident() in self._members

    def is_main(self) -> bool:
        """Whether this is the job's main thread."""
        return threading.get_ident() == self._main

    def signal(self) -> None:
        """Strikes the main thread where it is, if it is the process's own."""
        if self._main == threading.main_thread().ident:
            signal.pthread_kill(self._main, STRIKE)

    def set_alarm(self, due: float, ring: Callable[[], None]) -> None:
        """Calls `ring` when the clock gets there, instead of a former one."""
        self._alarm = (due, ring)

    def wait(self, ready: Callable[[], bool], due: float = FOREVER) -> None:
        """Lets the others go on until `ready()`, or until the job's clock shows `due`.

        Raises:
            Over: The job has ended, or nothing can happen any more.
        """
        with self._lock:
            if self.is_member():
                waiting = _Waiting(self._lock, ready, due)
                self._waiting.append(waiting)
                self._leave()
                self._await(waiting)
            elif due == FOREVER:
                self._strangers.add(threading.current_thread())
                self._changed.wait_for(lambda: self.closed or ready())
            if self.closed:
                raise Over

    def spawn(self, work: Callable[[], None]) -> None:
        """Starts a thread that gets its first turn when the current one gives its away."""
        waiting = _Waiting(self._lock, lambda: True)
        with self._lock:
            self._waiting.append(waiting)
        try:
            threading.Thread(target=self._run, args=(waiting, work), daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._waiting.remove(waiting)
            raise

    def close(self) -> None:
        """Ends the job: every thread that waits, or comes to wait, is sent away."""
        with self._lock:
            self._close()
            strangers = self._strangers - {threading.current_thread()}
        for thread in strangers:
            thread.join(_PATIENCE)

    def _close(self) -> None:
        self.closed = True
        self._changed.notify_all()
        for waiting in self._waiting:
            waiting.woken.notify()

    def _run(self, waiting: _Waiting, work: Callable[[], None]) -> None:
        with self._lock:
            self._members.add(threading.get_ident())
            self._await(waiting)
        try:
            work()
        finally:
            with self._lock:
                self._members.discard(threading.get_ident())
                self._leave()

    def _await(self, waiting: _Waiting) -> None:
        while not waiting.turn and not self.closed:
            moves = self._moves
            if not waiting.woken.wait(_PATIENCE) and moves == self._moves:
                # Whoever has the turn sleeps, or waits for another thread by means of its own.
                self._overtaken |= self._running
                self._running.clear()
                self._move()
        self._turns[threading.get_ident()] = waiting

    def _leave(self) -> None:
        """Gives the current thread's turn away."""
        turn = self._turns.pop(threading.get_ident())
        self._running.discard(turn)
        self._overtaken.discard(turn)
        if not self._running and not self.closed and not self._move() and self._waiting and not self._overtaken:
            # Everything waits for something that will never come.
            self._stuck()
            self._close()
        self._changed.notify_all()

    def _move(self) -> bool:
        """Gives the turn to the next thread; False if there is none."""
        while True:
            able = next((waiting for waiting in self._waiting if waiting.ready()), None) or self._next_due()
            if able is not None:
                self._waiting.remove(able)
                self._running.add(able)
                able.turn = True
                self._moves += 1
                able.woken.notify()
                return True
            if self._alarm is None:
                return False
            (self.now, ring), self._alarm = self._alarm, None
            ring()

    def _next_due(self) -> _Waiting | None:
        """The first whose time comes, if that is before the alarm; the clock then shows it."""
        first = min(self._waiting, key=lambda waiting: waiting.due, default=None)
        alarm = FOREVER if self._alarm is None else self._alarm[0]
        if first is None or first.due == FOREVER or first.due > alarm:
            return None
        self.now = max(self.now, first.due)
        return first
