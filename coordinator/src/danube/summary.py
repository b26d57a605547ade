"""A few words about the job, for people."""

from __future__ import annotations

import os

from danube import _arguments, _mailbox, _outbox

__all__ = ["markdown"]

_LONGEST = 1 << 20


def markdown(text: str, *, append: bool = True) -> None:
    """Writes Markdown that is shown with the job. Secrets in it are masked.

    Args:
        text: Markdown; at most 1 MiB in a job. Each text begins on a line of its own.
        append: Whether what was written before stays; otherwise this text takes its place.

    Returns:
        Nothing.

    Raises:
        UsageError: The job's summary would be longer than 1 MiB.
        NotInJob: This is no job.
        TypeError, ValueError: An argument is of a wrong type or form.

    Example:
        report = reports.junit("report.xml")
        summary.markdown(f"## Tests\\n\\n{report.passed} of {report.tests} passed")
    """
    content = _arguments.text(text, "the text")
    if len(content.encode()) > _LONGEST:
        raise ValueError(f"the text has {len(content.encode())} bytes; at most {_LONGEST} are kept: upload it as an artifact")
    params = {"text": content, "append": _arguments.flag(append, "append=")}
    with _outbox.Letter("summary.markdown", params, os.urandom(16).hex(), "text") as call:
        _mailbox.send(call)
