"""Files of a job's workspace: those that a test puts there, and those that a danubefile keeps; and what it writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias


Kept: TypeAlias = dict[str, object] | tuple[str, str]
"""The answer, or an error's code and words."""

_LONGEST_SUMMARY = 1 << 20


def fill(workspace: Path, files: Mapping[str, str | bytes]) -> None:
    """Writes files, by path."""
    for name, content in files.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


class Artifacts:
    """What `artifacts.upload` keeps, by name."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self.kept: dict[str, bytes] = {}

    def upload(self, path: str, name: str) -> Kept:
        """Keeps a file."""
        for other in self.kept:
            if other == name:
                return "invalid", f"the artifact `{name}` exists already: upload each name once"
            if other.startswith(f"{name}/") or name.startswith(f"{other}/"):
                return "invalid", f"the artifacts `{name}` and `{other}` cannot both exist: one is a folder of the other"
        try:
            content = (self._workspace / path).read_bytes()
        except OSError:
            return "artifact_not_found", f"there is no file `{path}` in the workspace"
        self.kept[name] = content
        return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


    def download(self, name: str, path: str) -> Kept:
        """Puts a kept file into the workspace."""
        content = self.kept.get(name)
        if content is None:
            return "artifact_not_found", (
                f"the job keeps no artifact `{name}`: upload it first with artifacts.upload, or look at what that returned"
            )
        place = self._workspace / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        except OSError as error:
            return "invalid", f"`{path}`: cannot write /workspace/{path}: {error.strerror}"
        return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


class Summary:
    """What `summary.markdown` wrote."""

    def __init__(self) -> None:
        self.text = ""

    def markdown(self, text: str | None, file: str | None, append: bool) -> Kept:
        """Takes a text, or the file that has it."""
        new = Path(file).read_bytes().decode() if file is not None else text or ""
        before = self.text if append else ""
        between = "" if not before or before.endswith("\n") else "\n"
        size = len((before + new).encode())
        if size > _LONGEST_SUMMARY:
            return "invalid", f"with this text the job's summary would have {size} bytes, and at most 1 MiB is kept"
        self.text = before + between + new
        return {}
