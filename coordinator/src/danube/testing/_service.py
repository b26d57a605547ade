"""Services in a test: what was asked for, and how each is scripted to come up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from danube import _quantity
from danube.errors import ImageUnavailable, ServiceDied, ServiceNotReady, UsageError

ServiceOutcome: TypeAlias = (
    float
    | str
    | type[ImageUnavailable]
    | type[ServiceDied]
    | type[ServiceNotReady]
    | type[UsageError]
    | ImageUnavailable
    | ServiceDied
    | ServiceNotReady
    | UsageError
    | None
)
"""How a service comes up: the time until it is ready on the job's own clock (seconds, or a text such as `"5s"`), or what
`service.start` raises. None is ready at once."""

Services: TypeAlias = Mapping[str, ServiceOutcome]
"""Which service comes up how: a name or an image, in which `*` stands for anything."""

RAISED = (ImageUnavailable, ServiceDied, ServiceNotReady, UsageError)


@dataclass(eq=False)
class StartedService:
    """One `service.start`.

    Attributes:
        name: As given, or the image's own.
        image: Its image.
        command: What it runs in place of the image's `Cmd`, or None.
        env: Its variables.
        port: The port of `ready=service.tcp(…)`, or None.
        probe: The program of `ready=service.cmd(…)`, or None.
        timeout: Seconds until it must be ready.
        memory: Bytes, or None.
        group: The names of the `step.group`s around it, outermost first.
        location: The line that asked for it, such as `danubefile.py:12`.
        number: Among the job's steps, from 1; 0 when it was refused.
        state: `ready`, `not_ready`, `died` or `refused`.
        stopped: Whether the danubefile stopped it: by `stop`, or at the end of a `with`.
    """

    name: str
    image: str
    command: tuple[str, ...] | None
    env: dict[str, str]
    port: int | None
    probe: tuple[str, ...] | None
    timeout: float
    memory: int | None
    group: tuple[str, ...]
    location: str | None
    number: int = 0
    state: Literal["ready", "not_ready", "died", "refused"] = "refused"
    stopped: bool = False

    def __repr__(self) -> str:
        return f"<service {self.name!r} ({self.image}): {self.outcome}>"

    @property
    def outcome(self) -> str:
        """How it came up, in a few words."""
        words = self.state.replace("_", " ")
        return f"{words}, stopped" if self.stopped else words


def of_call(params: dict[str, Any]) -> StartedService:
    """The service that a call of the SDK asks for."""
    command: list[str] | None = params.get("command")
    ready: dict[str, Any] = params.get("ready") or {}
    probe: list[str] | None = ready.get("cmd")
    return StartedService(
        name=params["name"],
        image=params["image"],
        command=None if command is None else tuple(command),
        env=params["env"],
        port=ready.get("tcp"),
        probe=None if probe is None else tuple(probe),
        timeout=params["timeout_ms"] / 1000,
        memory=params.get("memory_bytes"),
        group=tuple(params["group"]),
        location=params.get("location"),
    )


class Stage:
    """The services of one job; an answer is what the master would give, or a code and a sentence."""

    def __init__(self, script: Services, matches: Callable[[str, str], bool]) -> None:
        self._script = script
        self._matches = matches
        self._used: set[str] = set()
        self._calls: dict[str, StartedService] = {}
        self.started: list[StartedService] = []

    def unused(self) -> list[str]:
        """Entries that no service matched."""
        return [key for key in self._script if key not in self._used]

    def begin(self, call_id: str, service: StartedService) -> tuple[str, str] | None:
        """Notes a service; a refusal if it cannot be had."""
        self.started.append(service)
        self._calls[call_id] = service
        running = [other for other in self.started if other.state == "ready" and not other.stopped]
        if any(other.name == service.name for other in running):
            return "invalid", f"a service called `{service.name}` runs already: give this one a name= of its own"
        if service.port is not None and any(other.port == service.port for other in running):
            return "invalid", f"port {service.port} is taken already, and all services of a job share 127.0.0.1"
        return None

    def outcome(self, service: StartedService) -> ServiceOutcome:
        """How a service comes up, by the script."""
        keys = sorted(self._script, key=lambda key: "*" in key)
        for key in keys:
            if self._matches(key, service.name) or self._matches(key, service.image):
                self._used.add(key)
                return self._script[key]
        return None

    def stop(self, call_id: str) -> None:
        """The danubefile stops one."""
        if call_id in self._calls:
            self._calls[call_id].stopped = True


def seconds(outcome: ServiceOutcome) -> float:
    """How long it takes to be ready."""
    if isinstance(outcome, bool) or not isinstance(outcome, (int, float, str)):
        return 0.0
    return 0.0 if outcome == 0 else _quantity.milliseconds(outcome, "a service's time") / 1000
