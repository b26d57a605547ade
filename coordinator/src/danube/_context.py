"""What the job is about: `ctx`."""

from __future__ import annotations

import os

from danube import _json_text
from danube.errors import InfraError, NotInJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any, TypeGuard

ParamValue = str | int | float | bool
"""The value of a parameter."""


class Context:
    """The job, its trigger and its commit. Read once, when the first attribute is asked for.

    Attributes are those below; asking for one outside of a job raises `NotInJob`.

    Example:
        if ctx.branch == "main" and not ctx.dirty:
            step.run("make publish")
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] | None = None

    def _read(self) -> dict[str, Any]:
        if self._values is None:
            self._values = load()
        return self._values

    def _get(self, name: str) -> Any:
        try:
            return self._read()[name]
        except KeyError:
            raise InfraError(f"this Danube did not tell the job its `{name}`: it is older than the SDK") from None

    def _text(self, name: str) -> str:
        return str(self._get(name))

    def _text_or_none(self, name: str) -> str | None:
        return None if self._get(name) is None else self._text(name)

    @property
    def job_id(self) -> str:
        """The job."""
        return self._text("job_id")

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._text("pipeline")

    @property
    def branch(self) -> str | None:
        """The branch, if the job is about one."""
        return self._text_or_none("branch")

    @property
    def tag(self) -> str | None:
        """The tag, if the job is about one."""
        return self._text_or_none("tag")

    @property
    def commit_sha(self) -> str | None:
        """The commit's full id; None outside of Git."""
        return self._text_or_none("commit_sha")

    @property
    def dirty(self) -> bool:
        """Whether the source differs from the commit."""
        return bool(self._get("dirty"))

    @property
    def trigger_type(self) -> str:
        """What started the job: `manual`, `push`, `tag`, `pull_request`, `cron`, ..."""
        return self._text("trigger_type")

    @property
    def actor(self) -> str:
        """Who or what started the job."""
        return self._text("actor")

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """The pipeline's parameters by name, those not given with their defaults."""
        from types import MappingProxyType

        params: dict[str, ParamValue] = self._get("params")
        return MappingProxyType(params)

    @property
    def pull_request(self) -> Mapping[str, object] | None:
        """The pull request, if the job is about one."""
        request: Mapping[str, object] | None = self._get("pull_request")
        return request

    @property
    def changed_files(self) -> tuple[str, ...] | None:
        """Paths that differ from the base; None when unknown."""
        files: list[str] | None = self._get("changed_files")
        return None if files is None else tuple(files)

    @property
    def attempt(self) -> int:
        """Which attempt at the job this is, counted from 1."""
        return int(self._get("attempt"))

    @property
    def workspace(self) -> Path:
        """The folder that all steps share, `/workspace`."""
        from pathlib import Path

        return Path(self._text("workspace"))

    def __repr__(self) -> str:
        return "<danube.ctx>"


def load() -> dict[str, Any]:
    """The job's context, as the engine wrote it."""
    path = os.environ.get("DANUBE_CONTEXT")
    if not path:
        raise NotInJob("danube.ctx exists only inside of a Danube job: run this danubefile with `danube run`")
    try:
        with open(path, "rb") as file:
            values = _json_text.load(file.read())
    except (OSError, ValueError, RecursionError) as error:
        raise InfraError(f"the job's context in {path} cannot be read: {error!r}") from None
    if not _is_object(values):
        raise InfraError(f"the job's context in {path} cannot be read: it is not an object")
    return values


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


ctx = Context()
