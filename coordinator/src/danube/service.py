"""Services: programs such as databases that run beside the steps until the job ends, or until they are stopped.

Each runs in a container of its own, by the image's own entrypoint, user and working directory. All containers of a job
share one loopback: steps reach a service at `127.0.0.1`, on the port that it listens on. Its output is in the job's log.
"""

from __future__ import annotations

import os

from danube import _arguments, _mailbox, _quantity, _scope, _source
from danube.errors import DanubeError, InfraError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any

__all__ = ["Ready", "Service", "cmd", "start", "tcp"]

_LONGEST_NAME = 63
_LAST_PORT = 65535


class Ready:
    """When a service counts as ready; made by `service.tcp` and `service.cmd`."""

    __slots__ = ("_params", "_words")

    def __init__(self, params: dict[str, Any], words: str) -> None:
        self._params = params
        self._words = words

    def __repr__(self) -> str:
        return f"<ready: {self._words}>"


class Service:
    """A service that is ready; made by `service.start`. At the end of a `with` it is stopped.

    Attributes:
        name: What it is called in the log.
        number: Its number among the job's steps, as in the log.
        host: Where steps, and the danubefile itself, reach it.
    """

    __slots__ = ("_id", "host", "name", "number")

    name: str
    number: int
    host: str

    def __init__(self, name: str, number: int, host: str, call_id: str) -> None:
        self.name = name
        self.number = number
        self.host = host
        self._id = call_id

    def stop(self) -> None:
        """Ends the service (TERM; after ten seconds KILL) and waits for its end. Once more does no harm.

        What runs at the job's end is stopped by itself, after all steps and all `finally`.

        Raises:
            MasterUnavailable: The job's container is ending.
        """
        _mailbox.call("service.stop", {"step_id": self._id}, os.urandom(16).hex())

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except DanubeError:
            # It ends with the job anyway, and must not hide why the job does.
            if error is None:
                raise

    def __repr__(self) -> str:
        return f"<service {self.name!r} at {self.host}>"


def tcp(port: int) -> Ready:
    """A service is ready when it accepts connections on this port, at 127.0.0.1.

    Args:
        port: The port, from 1 to 65535. No other service of the job may have it.

    Returns:
        A mark for the `ready=` of `service.start`.

    Raises:
        TypeError, ValueError: `port` is no port.

    Example:
        service.start("redis:8", ready=service.tcp(6379))
    """
    number = _arguments.count(port, "the port", 1, _LAST_PORT)
    return Ready({"tcp": number}, f"127.0.0.1:{number} accepts connections")


def cmd(command: Sequence[str]) -> Ready:
    """A service is ready when this program, run in the service's container, ends with exit code 0.

    It is tried again and again, each time for ten seconds at most.

    Args:
        command: The program with its arguments.

    Returns:
        A mark for the `ready=` of `service.start`.

    Raises:
        TypeError, ValueError: `command` is no list of str.

    Example:
        service.start("postgres:17", env={"POSTGRES_PASSWORD": "test"}, ready=service.cmd(["pg_isready", "-h", "127.0.0.1"]))
    """
    argv = _argv(command, "service.cmd")
    return Ready({"cmd": argv}, f"{argv[0]!r} ends with 0")


def start(
    image: str,
    *,
    name: str | None = None,
    command: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    ready: Ready | None = None,
    timeout: float | str = 60,
    memory: int | str | None = None,
) -> Service:
    """Starts a service and waits until it is ready.

    It runs as the image says: its `Entrypoint` and `Cmd`, `Env`, `User`, `WorkingDir`. If it ends before the job needs it no
    more, the job fails: `ServiceDied` is raised in the danubefile, and what it said last is the job's reason.

    Args:
        image: The image. As a literal it starts with the job, so that nothing has to be waited for here.
        name: What it is called in the log: a-z, 0-9, `-`, `_` and `.`. The image's own name unless given; no two running
            services have the same.
        command: In place of the image's `Cmd`. The image `host`, which is this machine, has no program of its own, and
            needs one.
        env: Environment variables, over the image's.
        ready: When it counts as ready: `service.tcp(5432)`, `service.cmd(["pg_isready"])`. None means as soon as it runs.
        timeout: How long that may take from its start: seconds, or a text such as `"2m"`.
        memory: The most memory it may use: bytes, or a text such as `"512Mi"`.

    Returns:
        The service. As a context manager it is stopped at the end of the `with`.

    Raises:
        ServiceNotReady: It was not ready in time; its last lines are in the message. It has been stopped.
        ServiceDied: It ended before it was ready; likewise. The job fails.
        ImageUnavailable: Its image cannot be had.
        UsageError: Danube refuses what it asks for: the port or the name is taken, `host` without a command.
        InfraError, MasterUnavailable: Danube or the machine failed.
        NotInJob: This is no job.
        TypeError, ValueError: An argument is wrong.

    Example:
        with service.start("postgres:17", env={"POSTGRES_PASSWORD": "test"}, ready=service.tcp(5432)) as db:
            step.run("make test", env={"DATABASE_URL": f"postgres://postgres:test@{db.host}/postgres"})
    """
    image = _arguments.label(image, "the image")
    argv = None if command is None else _argv(command, "command=")
    if argv is None and image == "host":
        raise UsageError("the image `host` has no program of its own: say by command= what the service runs")
    call_id = os.urandom(16).hex()
    params: dict[str, Any] = {
        "name": _default_name(image, argv) if name is None else _name(name),
        "image": image,
        "env": _arguments.env(env),
        "timeout_ms": _quantity.milliseconds(timeout, "timeout="),
        "group": list(_scope.groups.get()),
        "location": _source.caller(),
        **_ready(ready),
    }
    if argv is not None:
        params["command"] = argv
    if memory is not None:
        params["memory_bytes"] = _quantity.size(memory, "memory=")
    return _service(params["name"], _mailbox.call("service.start", params, call_id), call_id)


def _argv(command: object, what: str) -> list[str]:
    if isinstance(command, str):
        raise TypeError(f'{what} must be a list such as ["program", "argument"], not a str: it is executed without a shell')
    argv: list[str] = _arguments.program(command, "sh", True)["argv"]
    return argv


def _ready(ready: object) -> dict[str, Any]:
    if ready is None:
        return {}
    if not isinstance(ready, Ready):
        raise TypeError(f"ready= must be service.tcp(PORT) or service.cmd([...]), not {ready!r}")
    return {"ready": ready._params}  # pyright: ignore[reportPrivateUsage]


def _name(name: object) -> str:
    text = _arguments.label(name, "name=")
    if len(text) > _LONGEST_NAME or not all(_is_plain(character) for character in text):
        raise ValueError(f"name= must be at most {_LONGEST_NAME} of a-z, 0-9, '-', '_' and '.', not {text[:80]!r}")
    return text


def _is_plain(character: str) -> bool:
    return "a" <= character <= "z" or "0" <= character <= "9" or character in "-_."


def _default_name(image: str, argv: list[str] | None) -> str:
    """`postgres` of `registry.example:5000/team/postgres:17@sha256:…`, `web` of `oci:build/web:1` and of `tar:web.tar`."""
    if image == "host" and argv is not None:
        text = argv[0]
    elif image.startswith("tar:"):
        text = image.rsplit("/", 1)[-1].removeprefix("tar:").split(".")[0]
    else:
        text = image.removeprefix("oci:").split("@")[0]
    last = text.rstrip("/").rsplit("/", 1)[-1].split(":")[0].lower()
    plain = "".join(character if _is_plain(character) else "-" for character in last).strip("-.")
    return plain[:_LONGEST_NAME] or "service"


def _service(name: str, answer: dict[str, Any], call_id: str) -> Service:
    try:
        return Service(name, int(answer["number"]), str(answer["host"]), call_id)
    except (KeyError, TypeError, ValueError) as error:
        raise InfraError(f"Danube's answer about the service `{name}` cannot be read: {error!r}") from None
