"""What surrounds a step: the groups it is shown in, and the `step.parallel` that may stop it.

Both live in context variables, which `step.parallel` hands to its threads.
"""

from __future__ import annotations

from contextvars import ContextVar

from danube import _arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

groups: ContextVar[tuple[str, ...]] = ContextVar("danube_groups", default=())
_current: ContextVar[Scope | None] = ContextVar("danube_scope", default=None)


class Group:
    """Shows the steps inside of a `with` under one heading; made by `step.group`."""

    __slots__ = ("_name", "_tokens")

    def __init__(self, name: str) -> None:
        self._name = _arguments.label(name, "a group's name")
        self._tokens: list[Token[tuple[str, ...]]] = []

    def __enter__(self) -> None:
        self._tokens.append(groups.set((*groups.get(), self._name)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        groups.reset(self._tokens.pop())


class Scope:
    """The steps that a `step.parallel` has started, with those of any `step.parallel` inside of it.

    There is no lock: a signal's exception may strike the main thread between any two instructions, also between
    taking and releasing one. Instead a step writes itself down *before* it looks whether it must stop, and whoever
    stops says so *before* looking for steps: in every order at least one sees the other.
    """

    def __init__(self, woken: Callable[[], None]) -> None:
        self._outer = _current.get()
        self._woken = woken
        self._stopped = False
        self.sent: dict[str, None] = {}

    @property
    def stopped(self) -> bool:
        """Whether nothing may start any more."""
        return self._stopped or (self._outer is not None and self._outer.stopped)

    def activate(self) -> None:
        """Makes this the scope of the steps that the current context starts."""
        _current.set(self)

    def close(self) -> None:
        """Lets nothing start any more."""
        self._stopped = True

    def add(self, step_id: str) -> None:
        """A step was sent."""
        self.sent[step_id] = None
        if self._outer is not None:
            self._outer.add(step_id)

    def remove(self, step_id: str) -> None:
        """A step was answered."""
        self.sent.pop(step_id, None)
        self._woken()
        if self._outer is not None:
            self._outer.remove(step_id)


def current() -> Scope | None:
    """The innermost `step.parallel` around the caller."""
    return _current.get()
