"""The pipeline of tidemark. Try it: danube run examples/python"""

from danube import ctx, pipeline, step


@pipeline(
    name="tidemark",
    timeout="5m",
    params={"pattern": {"default": "test_*.py", "description": "which test files to run"}},
)
def tidemark() -> None:
    version = step.run("python3 --version", name="python", capture=True).stdout.strip()

    with step.group("check"):
        step.parallel(
            step.call("python3 -m compileall -q src tests", name="compile"),
            step.call(["python3", "-W", "error", "-m", "doctest", "README.md"], name="readme", env={"PYTHONPATH": "src"}),
            unit_tests,
        )

    with step.group("package"):
        step.run(["python3", "tools/package.py", "dist/tidemark.pyz"], name="build")
        step.run(["python3", "dist/tidemark.pyz", "max", "1.9.3", "1.10.0", "1.10.0-rc.1"], name="try it")

    print(f"tidemark of {ctx.branch or 'no branch'} works with {version}")


def unit_tests() -> None:
    """A call of step.parallel may be a function with several steps."""
    pattern = str(ctx.params["pattern"])
    step.run(
        ["python3", "-m", "unittest", "discover", "-v", "-s", "tests", "-p", pattern],
        name="unit tests",
        env={"PYTHONPATH": "src"},
        timeout="2m",
    )
