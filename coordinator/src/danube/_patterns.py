"""Files of the workspace by patterns. The danubefile only looks which there are; Danube reads them itself."""

from __future__ import annotations

import os

from danube import _arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def pattern(value: object) -> str:
    """A path or a pattern below the workspace, in its normal form."""
    text = _arguments.text(value, "a pattern")
    normal = os.path.normpath(text) if text else ""
    if not text or normal.startswith(("/", "../")) or normal == "..":
        raise ValueError(f"{text!r} is not below the workspace: give a path relative to it")
    return normal


def path(value: object) -> str:
    """The path of one file below the workspace, in its normal form."""
    text = _arguments.text(value, "a path")
    normal = os.path.normpath(text) if text else "."
    if normal.startswith(("/", "../")) or normal in (".", "..") or text.endswith("/"):
        raise ValueError(f"{text!r} is no file below the workspace: give a path relative to it")
    return normal


def matches(workspace: str, pattern: str, suffix: str = "") -> list[str]:
    """Paths of the files that match, relative to the workspace; of a folder that matches, those in it with this suffix.

    Links are left out.
    """
    # Only a job that asks for files pays for this import.
    from glob import glob

    found = glob(pattern, root_dir=workspace, recursive=True, include_hidden=True)
    return [path for match in found for path in _files(workspace, match, suffix)]


def _files(workspace: str, path: str, suffix: str) -> Iterator[str]:
    whole = os.path.join(workspace, path)
    if os.path.islink(whole):
        return
    if os.path.isfile(whole):
        yield path
    for folder, _, names in os.walk(whole):
        for name in names:
            file = os.path.join(folder, name)
            if name.endswith(suffix) and os.path.isfile(file) and not os.path.islink(file):
                yield os.path.relpath(file, workspace)
