"""What `danube run` would refuse before there is a job."""

from __future__ import annotations

from collections.abc import Sequence

from danube.errors import DanubeError


class Refused(DanubeError):
    """`danube run` would refuse this before there is a job: the danubefile cannot be read, or a parameter or a secret does
    not fit. Raised by `run`.

    Attributes:
        problems: Every mistake, each with its place where it has one.

    Example:
        with pytest.raises(Refused, match="must be one of staging, prod"):
            run(params={"env": "production"})
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
