"""Commands too long for a line travel as a file in the outbox, from which the master takes them."""

from __future__ import annotations

import os

from danube import _mailbox
from danube.errors import InfraError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_LONGEST_SCRIPT = 256 * 1024
_LONGEST_FILE = 64 * 1024 * 1024


class Letter:
    """A `step.run` as it is sent; its file, if it needs one, exists for the time of a `with`."""

    __slots__ = ("_call", "_path")

    def __init__(self, params: dict[str, Any], step_id: str) -> None:
        self._path: str | None = None
        self._call = _mailbox.line("step.run", params, step_id)
        script: str | None = params.get("script")
        if script is not None and (len(script.encode()) > _LONGEST_SCRIPT or len(self._call) > _mailbox.LONGEST_CALL):
            self._path = _write(script.encode(), step_id)
            rest = {key: value for key, value in params.items() if key != "script"}
            self._call = _mailbox.line("step.run", {**rest, "script_file": self._path}, step_id)

    def __enter__(self) -> bytes:
        return self._call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._path is not None:
            try:
                os.unlink(self._path)
            except OSError:
                # It lies in the job's own folder and goes with it.
                pass


def _write(script: bytes, step_id: str) -> str:
    if len(script) > _LONGEST_FILE:
        raise ValueError(f"the command has {len(script)} bytes; at most {_LONGEST_FILE} can be sent")
    path = os.path.join(os.environ.get("DANUBE_OUTBOX", "/danube/outbox"), step_id)
    try:
        # Exclusive and not through a link: the name is new.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(script)
    except OSError as error:
        raise InfraError(f"the command cannot be handed over at {path}: {error.strerror}") from None
    return path
