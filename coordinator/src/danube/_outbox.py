"""Texts too long for a line travel as a file in the outbox, from which the master takes them."""

from __future__ import annotations

import os

from danube import _mailbox
from danube.errors import InfraError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_LONGEST_TEXT = 256 * 1024
_LONGEST_FILE = 64 * 1024 * 1024


class Letter:
    """A call as it is sent. One of its texts goes by a file if it is long; the file exists for the time of a `with`."""

    __slots__ = ("_call", "_path")

    def __init__(self, method: str, params: dict[str, Any], call_id: str, text: str) -> None:
        self._path: str | None = None
        self._call = _mailbox.line(method, params, call_id)
        content: str | None = params.get(text)
        if content is not None and (len(content.encode()) > _LONGEST_TEXT or len(self._call) > _mailbox.LONGEST_CALL):
            self._path = _write(content.encode(), text, call_id)
            rest = {key: value for key, value in params.items() if key != text}
            self._call = _mailbox.line(method, {**rest, f"{text}_file": self._path}, call_id)

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


def _write(content: bytes, what: str, call_id: str) -> str:
    if len(content) > _LONGEST_FILE:
        raise ValueError(f"the {what} has {len(content)} bytes; at most {_LONGEST_FILE} can be sent")
    path = os.path.join(os.environ.get("DANUBE_OUTBOX", "/danube/outbox"), call_id)
    try:
        # Exclusive and not through a link: the name is new.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise InfraError(f"the {what} cannot be handed over at {path}: {error.strerror}") from None
    return path
