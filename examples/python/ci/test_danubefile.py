"""The pipeline's own tests: no command runs. Try them: python -m pytest ci (with danube-sdk installed)."""

from danube.testing import Ends, Job, Script, run

PYTHON: Script = {"python": "Python 3.13.0\n"}


def tidemark(script: Script | None = None, **params: str) -> Job:
    """The danubefile in the folder above."""
    return run(steps={**PYTHON, **(script or {})}, params=params)


def test_everything_is_checked_before_it_is_packaged() -> None:
    job = tidemark()
    job.assert_succeeded()
    job.assert_ran("python", "compile", "readme", "unit tests", "build", "try it")
    assert job.output == "tidemark of main works with Python 3.13.0\n"


def test_nothing_is_packaged_when_a_check_fails() -> None:
    for check in ["compile", "readme", "unit tests"]:
        job = tidemark({check: 1})
        job.assert_failed()
        job.assert_not_ran("*tools/package.py*")


def test_a_slow_check_does_not_hide_a_failing_one() -> None:
    job = tidemark({"readme": Ends(takes="1m"), "unit tests": Ends(1, takes="5s")})
    assert job.step("readme").cause == "stopped"
    assert job.duration == 5


def test_unit_tests_have_their_own_limit() -> None:
    job = tidemark({"unit tests": Ends(takes="3m")})
    job.assert_failed()
    assert job.step("unit tests").cause == "timed_out"


def test_the_parameter_chooses_the_test_files() -> None:
    assert tidemark(pattern="test_version.py").step("unit tests").command[-1] == "test_version.py"
