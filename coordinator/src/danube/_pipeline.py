"""The decorator. Danube reads its arguments by parsing the file, without running it; at run time they are only kept."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal, TypeVar, overload

    Function = TypeVar("Function", bound=Callable[..., object])
    ParamDefault = str | int | float | bool
    ParamInFull = Mapping[str, ParamDefault | Sequence[ParamDefault] | None]
    Trigger = str | Mapping[str, str | Sequence[str]]
    Image = str | Mapping[str, str | int | float]
else:

    def overload(function):
        """`typing.overload` without the cost of importing `typing`."""
        return function


recorded: list[Callable[..., object]] = []
"""Every function that was decorated; the runner takes the danubefile's own."""


@overload
def pipeline(function: Function, /) -> Function: ...


@overload
def pipeline(
    *,
    name: str | None = None,
    image: str | None = None,
    images: Sequence[Image] | None = None,
    triggers: Sequence[Trigger] | None = None,
    params: Mapping[str, ParamDefault | ParamInFull] | None = None,
    timeout: float | str | None = None,
    cleanup_timeout: float | str | None = None,
    cpu: float | str | None = None,
    memory: int | str | None = None,
    disk: int | str | None = None,
    arch: Literal["amd64", "arm64"] | None = None,
    egress: Sequence[str] | None = None,
    retries: int | None = None,
    concurrency: str | None = None,
    cancel_superseded: bool | None = None,
) -> Callable[[Function], Function]: ...


def pipeline(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    image: str | None = None,
    images: Sequence[Image] | None = None,
    triggers: Sequence[Trigger] | None = None,
    params: Mapping[str, ParamDefault | ParamInFull] | None = None,
    timeout: float | str | None = None,
    cleanup_timeout: float | str | None = None,
    cpu: float | str | None = None,
    memory: int | str | None = None,
    disk: int | str | None = None,
    arch: Literal["amd64", "arm64"] | None = None,
    egress: Sequence[str] | None = None,
    retries: int | None = None,
    concurrency: str | None = None,
    cancel_superseded: bool | None = None,
) -> Callable[..., object]:
    """Makes a function of the danubefile its pipeline. There is exactly one, at the top level of the file.

    Danube reads these arguments without running the file: they must be literals. The function itself stays as it is and
    can be called, for example by a test.

    Args:
        name: The pipeline's name; the function's unless given.
        image: Where steps run unless they say otherwise: a reference, `oci:DIR`, `tar:FILE` or `host`.
        images: Further images to start with the job, for steps whose `image=` is computed; each a name, or a dictionary
            with `image` and its own `cpu`, `memory`, `disk`.
        triggers: What starts a job: `"push"`, `{"on": "cron", "schedule": "0 3 * * *"}`, ...
        params: Parameters, each with its default, or a dictionary with `type`, `default`, `choices`, `description`.
            The danubefile finds their values in `ctx.params`, or as arguments of the same name.
        timeout: How long the job may take: seconds, or a text such as `"10m"` or `"1h30m"`.
        cleanup_timeout: How long `finally` and `except` may run steps after a cancel or the timeout; 60 seconds.
        cpu: How many CPUs each container may use: `2`, `0.5`, `"500m"`.
        memory: How much memory each container may use: `"2Gi"`.
        disk: How much each container may write: `"10Gi"`.
        arch: The processor that the job needs.
        egress: The only names that steps may reach, each with optional ports.
        retries: How often a job is tried again that failed by infrastructure, never by its script. Unless given it is
            tried again only while no step has started.
        concurrency: A group, such as `"deploy-{branch}"`: of the jobs with the same one, one runs at a time, and a newer
            job of the pipeline takes the place of those that wait.
        cancel_superseded: A newer job of the pipeline also cancels those of its `concurrency` group that run.

    Returns:
        The function.

    Raises:
        TypeError: What is decorated is not a function.

    Example:
        @pipeline(name="tests", timeout="10m", params={"python": "3.13"})
        def tests(python: str = "3.13") -> None:
            step.run(["uv", "run", "--python", python, "pytest"])
    """

    def record(decorated: Callable[..., object]) -> Callable[..., object]:
        if not hasattr(decorated, "__code__"):
            raise TypeError(f"@pipeline must decorate a function, not {decorated!r}")
        recorded.append(decorated)
        return decorated

    return record if function is None else record(function)
