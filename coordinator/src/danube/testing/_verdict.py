"""A job's end, by the rules of the engine (`danube_core::job::verdict`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from danube._runner import Exit

Status = Literal["success", "failure", "timeout", "cancelled"]
Kind = Literal["script", "no_steps", "steps_abandoned", "timeout", "cancelled", "oom", "service", "worker_lost", "config"]

_EXIT_CODES: dict[Kind, int] = {"timeout": 4, "cancelled": 130, "worker_lost": 3, "config": 2}


@dataclass(frozen=True)
class Reason:
    """Why a job did not succeed.

    Attributes:
        kind: As data: `script`, `no_steps`, `steps_abandoned`, `timeout`, `cancelled`, `oom`, `service`, `worker_lost`,
            `config`.
        message: In words.
    """

    kind: Kind
    message: str

    @property
    def exit_code(self) -> int:
        """What `danube run` would end with."""
        return _EXIT_CODES.get(self.kind, 1)


@dataclass
class Facts:
    """What decides."""

    interrupt: Literal["cancelled", "timeout", "service"] | None = None
    service: str | None = None
    loss: Reason | None = None
    steps: int = 0
    abandoned: int = 0


def verdict(status: int, facts: Facts) -> tuple[Status, Reason | None]:
    """How a job ends whose runner ended with this status."""
    if facts.interrupt == "cancelled" or facts.interrupt == "timeout":
        message = "cancelled" if facts.interrupt == "cancelled" else "the job's time was up"
        return facts.interrupt, Reason(facts.interrupt, message)
    reason = _reason(status, facts)
    return ("success", None) if reason is None else ("failure", reason)


def _reason(status: int, facts: Facts) -> Reason | None:
    if facts.service is not None:
        return Reason("service", facts.service)
    if status in (Exit.SUCCESS, Exit.STEPS_ABANDONED) and facts.abandoned:
        steps = f"{facts.abandoned} step{'' if facts.abandoned == 1 else 's'}"
        return Reason("steps_abandoned", f"the danubefile ended while {steps} still ran")
    if status == Exit.SUCCESS and facts.steps:
        return None
    if status in (Exit.SUCCESS, Exit.NO_STEPS):
        return Reason("no_steps", "the danubefile ended without starting a step")
    if status == Exit.UNLOADABLE:
        return Reason("config", "the danubefile cannot be loaded")
    return facts.loss or Reason("script", "the danubefile failed")
