"""Danube pipelines in plain Python.

A repository's `danubefile.py` has one function decorated with `pipeline`; Danube calls it, and each `step.run` in
it runs a command in a container of the job::

    from danube import pipeline, step

    @pipeline(name="tests", timeout="10m")
    def tests() -> None:
        step.run("make test")

The reference is `docs/sdk.md` in Danube's repository.
"""

from danube import artifacts, reports, secrets, service, step, summary
from danube._call import StepCall
from danube._context import Context, ParamValue, ctx
from danube._pipeline import pipeline
from danube._result import StepResult
from danube._secret_file import SecretFile
from danube.errors import (
    ArtifactNotFound,
    CaptureTooLarge,
    DanubeError,
    ImageUnavailable,
    InfraError,
    JobCancelled,
    JobTimeout,
    MasterUnavailable,
    NotInJob,
    ReportInvalid,
    ReportNotFound,
    SecretNotFound,
    ServiceDied,
    ServiceNotReady,
    StepError,
    StepFailed,
    StepLost,
    StepStopped,
    StepTimeout,
    UsageError,
)

__version__ = "0.1.0"

__all__ = [
    "ArtifactNotFound",
    "CaptureTooLarge",
    "Context",
    "DanubeError",
    "ImageUnavailable",
    "InfraError",
    "JobCancelled",
    "JobTimeout",
    "MasterUnavailable",
    "NotInJob",
    "ParamValue",
    "ReportInvalid",
    "ReportNotFound",
    "SecretFile",
    "SecretNotFound",
    "ServiceDied",
    "ServiceNotReady",
    "StepCall",
    "StepError",
    "StepFailed",
    "StepLost",
    "StepResult",
    "StepStopped",
    "StepTimeout",
    "UsageError",
    "__version__",
    "artifacts",
    "ctx",
    "pipeline",
    "reports",
    "secrets",
    "service",
    "step",
    "summary",
]
