"""A job that has ended, with what a test asks of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches, ndiff
from pathlib import Path

from danube._context import ParamValue
from danube.testing._reports import Reported
from danube.testing._script import Key, matches
from danube.testing._service import StartedService
from danube.testing._step import Step
from danube.testing._verdict import Reason, Status


@dataclass(eq=False)
class Job:
    """How a job ended, and what it did.

    Attributes:
        name: The pipeline's name.
        params: The values of its parameters.
        status: `success`, `failure`, `timeout` or `cancelled`.
        reason: Why it did not succeed; None if it did.
        exception: What came through the danubefile, if anything did.
        steps: Every try of every step, in order of start.
        refused: Steps that could not start: their image or a secret was not there.
        services: Every `service.start`, in order of the calls.
        output: What the danubefile printed, and Danube's own words about its end; secrets are masked.
        artifacts: What `artifacts.upload` kept: name to content.
        reports: What each `reports.junit` read, in order of the calls.
        summary: What `summary.markdown` wrote; secrets are masked.
        duration: Seconds, by the job's own clock.
        secrets_read: The names of the secrets that `secrets.get` gave, in order.
        unused: Entries of the script that no step matched.
        workspace: Its folder; it goes with this object unless the test named one.
    """

    name: str
    params: dict[str, ParamValue]
    status: Status
    reason: Reason | None
    exception: BaseException | None
    steps: tuple[Step, ...]
    refused: tuple[Step, ...]
    services: tuple[StartedService, ...]
    output: str
    duration: float
    artifacts: dict[str, bytes] = field(repr=False)
    reports: tuple[Reported, ...] = field(repr=False)
    summary: str = field(repr=False)
    secrets_read: tuple[str, ...]
    unused: tuple[str, ...]
    workspace: Path = field(repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether its status is `success`."""
        return self.status == "success"

    @property
    def exit_code(self) -> int:
        """What `danube run` would end with."""
        return 0 if self.reason is None else self.reason.exit_code

    @property
    def names(self) -> list[str]:
        """The names of its steps, in order of start."""
        return [step.name for step in self.steps]

    @property
    def commands(self) -> list[str]:
        """The commands of its steps, in order of start."""
        return [step.text for step in self.steps]

    def ran(self, key: Key) -> list[Step]:
        """The steps that a key of a script means: a name or a command, `"cargo *"`, a compiled pattern, a function."""
        return [step for step in self.steps if matches(key, step)]

    def step(self, key: Key) -> Step:
        """The only step that a key means.

        Raises:
            AssertionError: There is none, or more than one.
        """
        found = self.ran(key)
        if len(found) == 1:
            return found[0]
        known = get_close_matches(str(key), self.names, 1)
        near = f"; did you mean `{known[0]}`?" if known and not found else ""
        raise AssertionError(f"{len(found) or 'no'} steps are {key!r}{near}\n{self}")

    def service(self, name: str | None = None) -> StartedService:
        """The only service, or the only one of this name.

        Raises:
            AssertionError: There is none, or more than one.
        """
        found = [service for service in self.services if name is None or service.name == name]
        if len(found) == 1:
            return found[0]
        names = ", ".join(repr(service.name) for service in self.services) or "none"
        raise AssertionError(f"{len(found) or 'no'} services are {name!r}; there are: {names}\n{self}")

    def report(self, name: str | None = None) -> Reported:
        """The only report, or the only one of this name.

        Raises:
            AssertionError: There is none, or more than one.
        """
        found = [report for report in self.reports if name is None or report.name == name]
        if len(found) == 1:
            return found[0]
        names = ", ".join(repr(report.name) for report in self.reports) or "none"
        raise AssertionError(f"{len(found) or 'no'} reports are {name!r}; there are: {names}\n{self}")

    def assert_ran(self, *names: str) -> None:
        """These steps ran, and no others, in this order of start; each by its name.

        Raises:
            AssertionError: With what was expected (-) and what ran (+).
        """
        if self.names != [*names]:
            lines = [line for line in ndiff(names, self.names) if not line.startswith("?")]
            raise AssertionError("\n".join(["other steps ran: - expected, + ran", *(f"  {line}" for line in lines), str(self)]))

    def assert_not_ran(self, key: Key) -> None:
        """No step that a key means ran.

        Raises:
            AssertionError: One did.
        """
        if found := self.ran(key):
            raise AssertionError(f"{key!r} ran as {', '.join(map(str, found))}\n{self}")

    def assert_succeeded(self) -> None:
        """The job succeeded.

        Raises:
            AssertionError: With the reason and the danubefile's traceback.
        """
        if not self.succeeded:
            raise AssertionError(f"the job did not succeed\n{self}")

    def assert_failed(self, kind: str = "script") -> None:
        """The job did not succeed, for this kind of reason.

        Raises:
            AssertionError: It succeeded, or failed otherwise.
        """
        if self.reason is None or self.reason.kind != kind:
            raise AssertionError(f"the job did not fail by `{kind}`\n{self}")

    def __repr__(self) -> str:
        kind = f" ({self.reason.kind})" if self.reason else ""
        return f"<job {self.name!r}: {self.status}{kind}, steps {self.names}>"

    def __str__(self) -> str:
        """The whole job, for people."""
        why = f": {self.reason.message}" if self.reason else ""
        lines = [f"{self.name}: {self.status}{why}"]
        shown = [(step.number, step.title, step.outcome, step.location) for step in [*self.steps, *self.refused]]
        shown += [(service.number, f"service {service.name}", service.outcome, service.location) for service in self.services]
        for number, title, outcome, location in sorted(shown, key=lambda entry: (not entry[0], entry[0])):
            where = f"  ({location})" if location else ""
            lines.append(f"  {number or '-':>3}  {title}: {outcome}{where}")
        lines += [f"  in the script, but not run: {key}" for key in self.unused]
        return "\n".join([*lines, *(f"  | {line}" for line in self.output.splitlines())])
