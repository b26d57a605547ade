"""Calls to the master: one connection to the mailbox's socket each, one JSON line out, JSON lines back, the last one
final (docs/protocol.md §6). Waiting takes as long as the answer does; a signal's handler may end it."""

from __future__ import annotations

import os

from danube import _json_text
from danube.errors import (
    ArtifactNotFound,
    DanubeError,
    ImageUnavailable,
    InfraError,
    JobCancelled,
    JobTimeout,
    MasterUnavailable,
    NotInJob,
    ReportInvalid,
    ReportNotFound,
    SecretNotFound,
    ServiceDied,
    ServiceNotReady,
    UsageError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from typing import Any, TypeGuard
else:
    # The part in C is all that is needed here, and imports nothing.
    import _socket as socket

LONGEST_CALL = 1 << 20
_LONGEST_REPLY = 4 << 20

_ERRORS: dict[str, type[DanubeError] | type[JobCancelled] | type[JobTimeout] | type[ServiceDied]] = {
    "invalid": UsageError,
    "image_unavailable": ImageUnavailable,
    "step_conflict": InfraError,
    "secret_not_found": SecretNotFound,
    "service_died": ServiceDied,
    "service_not_ready": ServiceNotReady,
    "artifact_not_found": ArtifactNotFound,
    "report_not_found": ReportNotFound,
    "report_invalid": ReportInvalid,
    "cancelled": JobCancelled,
    "timeout": JobTimeout,
    "infra": InfraError,
    "unsupported": UsageError,
}


def line(method: str, params: dict[str, Any], call_id: str) -> bytes:
    """A call as it is sent."""
    call = {"v": 1, "id": call_id, "method": method, "params": params}
    return _json_text.dump(call).encode() + b"\n"


def call(method: str, params: dict[str, Any], call_id: str) -> dict[str, Any]:
    """Asks the master and waits for its answer."""
    return send(line(method, params, call_id))


def send(call: bytes, sent: Callable[[], None] | None = None) -> dict[str, Any]:
    """Sends a call and waits for its answer. `sent` is called in between."""
    if len(call) > LONGEST_CALL:
        raise ValueError(f"the call has {len(call)} bytes, at most {LONGEST_CALL} can be sent: put data into files")
    connection = _connect()
    try:
        try:
            connection.sendall(call)
        except (BrokenPipeError, ConnectionResetError):
            # A master that has read enough to refuse has answered: that is worth more than the broken pipe.
            pass
        if sent is not None:
            sent()
        return _answer(connection)
    finally:
        connection.close()


def _connect() -> socket.socket:
    path = os.environ.get("DANUBE_SOCKET")
    if not path:
        raise NotInJob("steps and secrets exist only inside of a Danube job: run this danubefile with `danube run`")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _reach(connection, path)
    except OSError as error:
        connection.close()
        reason = error.strerror or error
        raise MasterUnavailable(f"cannot reach Danube at {path}: {reason}. The job is ending.") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _reach(connection: socket.socket, path: str) -> None:
    """A socket's address is short, its path need not be: the folder is walked to first."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def _answer(connection: socket.socket) -> dict[str, Any]:
    for reply in _lines(connection):
        try:
            message: object = _json_text.load(reply)
        except (ValueError, RecursionError) as broken:
            raise InfraError(f"Danube's answer cannot be read: {broken}") from None
        error, ok = _member(message, "error"), _member(message, "ok")
        if error is not None:
            raise _error(error)
        if ok is not None:
            return ok
    raise MasterUnavailable("the connection to Danube ended without an answer. The job is ending.")


def _member(message: object, key: str) -> dict[str, Any] | None:
    """A member of an object that is an object itself."""
    member: object = message.get(key) if _is_object(message) else None
    return member if _is_object(member) else None


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _lines(connection: socket.socket) -> Iterator[bytes]:
    received = bytearray()
    while True:
        start = len(received)
        try:
            received += connection.recv(1 << 16)
        except ConnectionResetError:
            return
        if len(received) == start:
            return
        while (end := received.find(b"\n", start)) >= 0:
            yield bytes(received[:end])
            del received[: end + 1]
            start = 0
        if len(received) > _LONGEST_REPLY:
            raise InfraError(f"Danube's answer is longer than {_LONGEST_REPLY} bytes")


def _error(error: dict[str, Any]) -> BaseException:
    message = error.get("message")
    kind = _ERRORS.get(str(error.get("code")), InfraError)
    return kind(message if isinstance(message, str) and message else f"Danube refused the call: {error.get('code')}")
