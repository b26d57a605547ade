"""The master's side of the mailbox (docs/protocol.md §6), on a real Unix socket, with answers that a test writes."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Params = dict[str, Any]
Answer = dict[str, Any] | bytes
REPOSITORY = Path(__file__).resolve().parents[2]


def wire_fields(message: str) -> set[str]:
    """The fields of a message, as the master's own code declares them."""
    source = (REPOSITORY / "crates/danube-proto/src/mailbox.rs").read_text()
    body = re.search(rf"pub struct {message} \{{(.*?)\n\}}", source, re.DOTALL)
    assert body, f"{message} is not in the master's code"
    return set(re.findall(r"pub (\w+):", body[1]))


def ended(exit_code: int = 0, cause: str = "exited", **more: Any) -> Params:
    """The answer about a step that has ended."""
    for stream in ("stdout", "stderr"):
        if isinstance(more.get(stream), bytes):
            more[stream] = base64.b64encode(more[stream]).decode()
    return {"ok": {"number": 1, "exit_code": exit_code, "cause": cause, "duration_ms": 812, **more}}


def refused(code: str, message: str = "no") -> Params:
    """The answer of a call that failed."""
    return {"error": {"code": code, "message": message}}


class Master:
    """Answers calls by `answers(method, params)`, each in a thread of its own; a `with` starts and ends it."""

    def __init__(self, answers: Callable[[str, Params], Answer] | None = None) -> None:
        self.answers = answers or (lambda _method, _params: ended())
        self.calls: list[Params] = []
        self.scripts: list[bytes] = []
        self.cancelled: dict[str, threading.Event] = {}
        self.broken: list[BaseException] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Master:
        self._folder = tempfile.TemporaryDirectory(prefix="danube-")
        self.path = os.path.join(self._folder.name, "mailbox")
        self.outbox = os.path.join(self._folder.name, "outbox")
        os.mkdir(self.outbox)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._folder.cleanup()
        if self.broken:
            raise self.broken[0]

    @property
    def environment(self) -> dict[str, str]:
        return {"DANUBE_SOCKET": self.path, "DANUBE_OUTBOX": self.outbox}

    def steps(self) -> list[Params]:
        """The parameters of every `step.run` so far."""
        with self._lock:
            return [call["params"] for call in self.calls if call["method"] == "step.run"]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                reply = self._reply(lines.readline())
            except BaseException as error:  # told to the test when it ends
                self.broken.append(error)
                return
            try:
                connection.sendall(reply)
            except OSError:
                pass

    def _reply(self, line: bytes) -> bytes:
        assert len(line) <= 1 << 20 and line.endswith(b"\n"), len(line)
        call = json.loads(line)
        assert call["v"] == 1 and re.fullmatch("[0-9a-f]{32}", call["id"]), call
        if call["method"] == "step.run":
            unknown = call["params"].keys() - wire_fields("StepRun")
            assert not unknown, f"the master does not know {unknown}"
            if path := call["params"].get("script_file"):
                self.scripts.append(Path(path).read_bytes())
                assert os.stat(path).st_mode & 0o777 == 0o600
        with self._lock:
            assert call["id"] not in [known["id"] for known in self.calls], "an id was used twice"
            self.calls.append(call)
            stop = self.cancelled.setdefault(call["params"].get("step_id", call["id"]), threading.Event())
        if call["method"] == "step.cancel":
            stop.set()
            return b'{"ok":{}}\n'
        answer = self.answers(call["method"], {**call["params"], "stop": stop})
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n"


def until_stopped(params: Params) -> Answer:
    """A step that runs until it is stopped."""
    assert params["stop"].wait(30), "nobody stopped the step"
    return ended(143, "stopped")
