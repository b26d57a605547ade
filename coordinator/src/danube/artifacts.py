"""Files that outlive their job."""

from __future__ import annotations

import os

from danube import _arguments, _mailbox, _patterns
from danube._context import ctx
from danube.errors import ArtifactNotFound, InfraError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

__all__ = ["Artifact", "download", "upload"]

_MOST = 10_000
"""What a job keeps at most. Danube counts itself; who names more is told at once, not after as many uploads."""


class Artifact:
    """A file that is kept.

    Attributes:
        name: Under which it is kept.
        size: Its bytes.
        sha256: Of its content, in hexadecimal; made by Danube from the bytes that it received.
    """

    __slots__ = ("name", "sha256", "size")

    name: str
    size: int
    sha256: str

    def __init__(self, name: str, size: int, sha256: str) -> None:
        self.name = name
        self.size = size
        self.sha256 = sha256

    def __repr__(self) -> str:
        return f"<artifact {self.name!r}, {self.size} bytes>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Artifact):
            return NotImplemented
        return (self.name, self.size, self.sha256) == (other.name, other.size, other.sha256)

    def __hash__(self) -> int:
        return hash((self.name, self.sha256))


def upload(
    *patterns: str,
    name: str | None = None,
    if_missing: Literal["error", "ignore"] = "error",
) -> list[Artifact]:
    """Keeps files of the workspace beyond the job. Call it when the steps that write them have ended.

    Args:
        patterns: Each a file, a folder (all files in it), or a pattern with `*`, `?`, `[...]` and `**`, relative to the
            workspace. Links are not followed.
        name: Under which a single file is kept; otherwise each has its path for a name.
        if_missing: What to do about a pattern that matches nothing: `error` raises, `ignore` goes on.

    Returns:
        What is kept, by name.

    Raises:
        ArtifactNotFound: A pattern matches nothing.
        UsageError: A name is taken already, or a job may not keep so much.
        NotInJob: This is no job.
        TypeError, ValueError: An argument is of a wrong type or form.

    Example:
        step.run("python3 -m build")
        artifacts.upload("dist/*.whl", "dist/*.tar.gz")
    """
    _arguments.choice(if_missing, "if_missing=", ("error", "ignore"))
    texts = [_patterns.pattern(pattern) for pattern in patterns]
    if not texts:
        raise ValueError("nothing to upload: name a file, a folder or a pattern")
    paths = sorted({path for text in texts for path in _matches(text, if_missing == "ignore")})
    if len(paths) > _MOST:
        raise UsageError(f"{len(paths)} files match, and a job keeps at most {_MOST}: upload an archive, or less")
    if name is None:
        return [_upload(path, path) for path in paths]
    if len(paths) > 1:
        raise UsageError(f"name={name!r} is for one file, and {len(paths)} match")
    return [_upload(path, _arguments.text(name, "name=")) for path in paths]


def download(name: str, path: str | None = None) -> Artifact:
    """Puts a file that this job has uploaded into the workspace, byte for byte as it was kept.

    It comes under its path whole or not at all, in place of a file that is there. Folders are made as they are needed.

    Args:
        name: Under which it is kept.
        path: Where it goes, relative to the workspace; its name unless given.

    Returns:
        What was kept.

    Raises:
        ArtifactNotFound: The job has uploaded nothing under this name.
        UsageError: A folder stands at the path, or it leads out of the workspace.
        NotInJob: This is no job.
        TypeError, ValueError: An argument is of a wrong type or form.

    Example:
        step.run("make report.html")
        artifacts.upload("report.html")
        step.run("make clean")
        artifacts.download("report.html", "before/report.html")
    """
    wanted = _arguments.text(name, "name")
    target = _patterns.path(wanted if path is None else path)
    return _called("artifacts.download", {"name": wanted, "path": target}, wanted)


def _matches(pattern: str, ignore: bool) -> list[str]:
    paths = _patterns.matches(str(ctx.workspace), pattern)
    if not paths and not ignore:
        message = f"no file of the workspace matches {pattern!r}. Is it written by a step before, under this path?"
        raise ArtifactNotFound(message)
    return paths


def _upload(path: str, name: str) -> Artifact:
    return _called("artifacts.upload", {"path": path, "name": name}, name)


def _called(method: str, params: dict[str, str], name: str) -> Artifact:
    answer: dict[str, Any] = _mailbox.call(method, params, os.urandom(16).hex())
    try:
        return Artifact(str(answer["name"]), int(answer["size"]), str(answer["sha256"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InfraError(f"Danube's answer about the artifact `{name}` cannot be read: {error!r}") from None
