"""A danubefile as users write it, checked by pyright and mypy in their strict modes; never run."""

import re
from pathlib import Path
from typing import assert_type

import danube
from danube import (
    Context,
    JobCancelled,
    StepCall,
    StepFailed,
    StepResult,
    StepTimeout,
    ctx,
    pipeline,
    secrets,
    step,
)
from danube.testing import Ends, Hangs, Job, Script, Step, run


@pipeline
def bare() -> None:
    step.run("true")


@pipeline(
    name="unit tests",
    image="python:3.13",
    images=["node:22", {"image": "postgres:17", "memory": "1Gi", "cpu": 0.5}],
    triggers=["push", {"on": "cron", "schedule": "0 3 * * *"}, {"on": "tag", "tags": ["v*"]}],
    params={"env": {"default": "staging", "choices": ["staging", "prod"]}, "count": 3, "debug": False},
    timeout="1h30m",
    cleanup_timeout=90,
    cpu="500m",
    memory="2Gi",
    disk="10Gi",
    arch="amd64",
    egress=["packages.example.com", "db.local:5432 private"],
    retries=1,
    concurrency="deploy-{branch}",
    cancel_superseded=True,
)
def build(env: str = "staging", count: int = 3) -> int:
    result = step.run("make test", name="tests", env={"A": env}, timeout="10m", retries=2, check=False)
    assert_type(result, StepResult)
    assert_type(result.exit_code, int)
    assert_type(result.duration, float)
    step.run(["cargo", "build"], cwd=Path("crates"), memory="2Gi", timeout=1.5)
    step.run(("ls", "-l"), stderr="separate", capture=True, shell="sh", errexit=False, tty=False)
    step.run("npm publish", secrets=["NPM_TOKEN", secrets.file("KEY")])
    step.run("deploy", secrets={"TOKEN": "DEPLOY_TOKEN", "KEY": secrets.file("DEPLOY_KEY")})
    assert_type(secrets.get("TOKEN"), str)
    assert_type(step.call("make lint"), StepCall)
    assert_type(step.parallel(step.call("a"), lambda: step.run("b"), limit=2, fail_fast=False), list[StepResult])
    assert_type(step.parallel(bare, bare), list[None])
    with step.group("frontend"):
        danube.step.run("npm ci")
    return count


def about(context: Context = ctx) -> None:
    assert_type(context.branch, str | None)
    assert_type(context.params["count"], str | int | float | bool)
    assert_type(context.changed_files, tuple[str, ...] | None)
    assert_type(context.workspace, Path)
    try:
        # The decorator leaves the function's type alone.
        assert_type(build(env="prod", count=1), int)
    except StepFailed as failure:
        assert_type(failure.result, StepResult)
        assert_type(failure.location, str | None)
    except JobCancelled:
        raise


def tested() -> None:
    def artifact(step: Step) -> str | None:
        (step.workspace / "out").touch()
        return step.location

    script: Script = {"lint": 1, re.compile("^cargo"): [1, StepTimeout, 0], lambda step: step.tty: artifact}
    job = run("danubefile.py", steps=script, params={"count": 3}, strict=True)
    assert_type(job, Job)
    assert_type(job.step("lint").exit_code, int | None)
    assert_type([step.command for step in job.ran("cargo *")], list[str | tuple[str, ...]])
    run(steps={"a": JobCancelled, "b": Ends(1, takes="10m"), "c": Hangs(), "*": ["v1", None, StepTimeout]}, branch=None)
    kept: Script = {"a": 1}
    run(steps={**kept, "b": 2})
    run(steps={"a": 1.5})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    run(steps={"a": ValueError})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


def wrong() -> None:
    """Every line is an error, and the checkers say so if one is not."""
    step.run(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    step.run("a", shell="zsh")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    step.run("a", colour=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    step.parallel(step.run("a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.brnach  # type: ignore[attr-defined]  # pyright: ignore
