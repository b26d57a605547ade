"""Everything that Danube raises.

All but three are a `DanubeError`. `JobCancelled`, `JobTimeout` and `ServiceDied` are not even an `Exception`, so that an
`except Exception` in a danubefile cannot keep a job alive that must end.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from danube._result import StepResult


class DanubeError(Exception):
    """Anything that went wrong, but the end of the job itself.

    Example:
        try:
            step.run("make publish")
        except DanubeError as error:
            print(f"not published: {error}")
    """


class NotInJob(DanubeError):
    """A step, a secret or `ctx` was asked for outside of a job. Run the danubefile with `danube run`."""


class UsageError(DanubeError):
    """Danube refuses a call for what it asks, for example a working directory that leaves the workspace.

    An argument of a wrong type or form is a `TypeError` or a `ValueError` instead.
    """


class MasterUnavailable(DanubeError):
    """The call could not be sent, or its connection ended without an answer. The job's container is ending."""


class InfraError(DanubeError):
    """Danube or the machine failed, not the step. `retries=` of `step.run` tries again."""


class ImageUnavailable(DanubeError):
    """The image of a step is not known or cannot be had.

    Example:
        try:
            step.run("make", image=f"builder:{ctx.branch}")
        except ImageUnavailable:
            step.run("make", image="builder:main")
    """


class ServiceNotReady(DanubeError):
    """A service was not ready in its `timeout=`. It has been stopped; the message has its last lines.

    Example:
        try:
            search = service.start("opensearch:3", ready=service.tcp(9200), timeout="3m")
        except ServiceNotReady:
            print("no search engine: its tests are left out")
    """


class SecretNotFound(DanubeError):
    """There is no secret of this name, or it is not for this job.

    Example:
        try:
            token = secrets.get("RELEASE_TOKEN")
        except SecretNotFound:
            print("no RELEASE_TOKEN: nothing will be released")
    """


class ArtifactNotFound(DanubeError):
    """No file of the workspace matches what `artifacts.upload` was asked for, or `artifacts.download` asked for what the job
    does not keep.

    Example:
        try:
            artifacts.upload("dist/*.whl")
        except ArtifactNotFound:
            print("nothing was built")
    """


class ReportNotFound(DanubeError):
    """No file of the workspace matches what `reports.junit` was asked for.

    Example:
        try:
            reports.junit("build/test-results/**/*.xml")
        except ReportNotFound:
            print("the tests did not even start")
    """


class ReportInvalid(DanubeError):
    """A file is no report of tests in JUnit's XML, or it is broken; the message names the file and the line.

    Example:
        try:
            reports.junit("report.xml")
        except ReportInvalid as error:
            print(f"the test runner died while it wrote: {error}")
    """


class StepError(DanubeError):
    """Something about one step.

    Attributes:
        name: The step's name, as in the log.
        number: The step's number in the job, as in the log.
        result: What is known of its end.
        location: The line of the danubefile that asked for it, such as `danubefile.py:12`, if known.
    """

    name: str
    number: int
    result: StepResult
    location: str | None

    def __init__(
        self, message: str, *, name: str, number: int, result: StepResult, location: str | None = None
    ) -> None:
        super().__init__(message)
        self.name = name
        self.number = number
        self.result = result
        self.location = location


class StepFailed(StepError):
    """A step ended with another exit code than 0, or could not be started, and was not asked for with `check=False`.

    Example:
        try:
            step.run("make test", capture=True)
        except StepFailed as failure:
            print(failure.result.exit_code, failure.result.stdout)
            raise
    """


class StepTimeout(StepFailed):
    """A step took longer than its own `timeout=` and was ended. Raised with `check=False` too."""


class StepStopped(StepError):
    """A step was stopped by somebody else: by `step.parallel` after another call failed, or because the job ends."""


class StepLost(StepError, InfraError):
    """A step's container vanished, or the record of its end cannot be trusted. It may or may not have done its work."""


class CaptureTooLarge(StepError):
    """A step with `capture=True` succeeded but wrote more than can be captured (1 MiB of each stream).

    `result` has the beginning. Write the output to a file of the workspace instead, or let the step cut it.
    """


class JobCancelled(BaseException):
    """Somebody cancelled the job. Raised once, in the main thread, wherever the danubefile is at that moment.

    `finally` and `except` may still run steps for the pipeline's `cleanup_timeout`.

    Example:
        try:
            step.run("./deploy")
        except JobCancelled:
            step.run("./deploy --undo")
            raise
    """


class ServiceDied(BaseException):
    """A service ended although nobody had stopped it, and so the job fails, whatever the danubefile makes of it.

    Raised by `service.start` when that happened before it was ready, else as `JobCancelled` is: once, in the main thread. It
    leaves the same time for cleaning up. The job's reason says which service it was, how it ended and what it said last.
    """


class JobTimeout(BaseException):
    """The job's `timeout` is over. Raised as `JobCancelled` is, and leaves the same time for cleaning up."""
