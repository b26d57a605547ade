"""Whose turn it is: the threads of a job one after the other, in an order that is always the same, by the job's own clock.

A thread gives its turn away when it waits: for a step's end, or for the calls of its `step.parallel`. Only when nobody
can go on does the clock move, to the next end of a step. So nothing takes real time, and the same danubefile with the
same script does the same thing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

_PATIENCE = 1.0
"""Real seconds after which a thread that has its turn and waits for something else is overtaken."""

FOREVER = math.inf

Over = SystemExit
"""The job has ended: whatever waits goes. Ends a thread without a word, as no other exception does."""


class _Waiting:
    """A thread that waits until `ready` says so, or until a time."""

    __slots__ = ("due", "ready", "turn")

    def __init__(self, ready: Callable[[], bool], due: float = FOREVER) -> None:
        self.ready = ready
        self.due = due
        self.turn = False


class Turns:
    """The threads of one job. The one that makes this is its main thread, and has the first turn.

    `stuck` is called when nothing can happen any more; then the job is over.
    """

    def __init__(self, stuck: Callable[[], None]) -> None:
        self._stuck = stuck
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._main = threading.get_ident()
        self._members = {self._main}
        self._running = 1
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

    def set_alarm(self, due: float, ring: Callable[[], None]) -> None:
        """Calls `ring` when the clock gets there, instead of a former one."""
        self._alarm = (due, ring)

    def wait(self, ready: Callable[[], bool], due: float = FOREVER) -> None:
        """Lets the others go on until `ready()`, or until the job's clock shows `due`.

        Raises:
            Over: The job has ended, or nothing can happen any more.
        """
        waiting = _Waiting(ready, due)
        with self._changed:
            if self.is_member():
                self._waiting.append(waiting)
                self._running -= 1
                self._give()
                self._await(waiting)
            elif due == FOREVER:
                self._changed.wait_for(lambda: self.closed or ready())
            if self.closed:
                raise Over

    def spawn(self, work: Callable[[], None]) -> None:
        """Starts a thread that gets its first turn when the current one gives its away."""
        waiting = _Waiting(lambda: True)
        with self._changed:
            self._waiting.append(waiting)
        try:
            threading.Thread(target=self._run, args=(waiting, work), daemon=True).start()
        except RuntimeError:
            with self._changed:
                self._waiting.remove(waiting)
            raise

    def close(self) -> None:
        """Ends the job: every thread that waits, or comes to wait, is sent away."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _run(self, waiting: _Waiting, work: Callable[[], None]) -> None:
        me = threading.get_ident()
        with self._changed:
            self._members.add(me)
            self._await(waiting)
        try:
            work()
        finally:
            with self._changed:
                self._members.discard(me)
                self._running -= 1
                self._give()

    def _await(self, waiting: _Waiting) -> None:
        while not waiting.turn and not self.closed:
            moves = self._moves
            if not self._changed.wait(_PATIENCE) and moves == self._moves:
                # Whoever has the turn sleeps, or waits for another thread by means of its own.
                self._move()

    def _give(self) -> None:
        if not self._running and not self.closed and not self._move() and self._waiting:
            # Everything waits for something that will never come.
            self._stuck()
            self.closed = True
        self._changed.notify_all()

    def _move(self) -> bool:
        """Gives the turn to the next thread; False if there is none."""
        while True:
            able = next((waiting for waiting in self._waiting if waiting.ready()), None) or self._next_due()
            if able is not None:
                self._waiting.remove(able)
                able.turn = True
                self._running += 1
                self._moves += 1
                self._changed.notify_all()
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
