"""Which code is the user's: what lies in the job's read-only copy of the source."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_DEFAULT = "/danube/src"
_SDK = os.path.dirname(os.path.abspath(__file__)) + "/"
"""In a test the SDK may lie in the repository itself, in a virtual environment."""


def root() -> str:
    """The folder with the danubefile and its modules."""
    return os.environ.get("DANUBE_SOURCE", _DEFAULT)


def relative(filename: str) -> str | None:
    """A path in the source as users know it, or None for any other file."""
    folder = root().rstrip("/") + "/"
    ours = filename.startswith(folder) and not filename.startswith(_SDK)
    return filename[len(folder) :] if ours else None


def caller() -> str | None:
    """The innermost line of the user's code that is being executed, such as `danubefile.py:12`."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        path = relative(frame.f_code.co_filename)
        if path is not None:
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return None
