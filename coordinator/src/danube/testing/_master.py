"""The master's side of the mailbox (docs/protocol.md §6) in the test's own process: the SDK above it is the real one.

A connection takes the lines that the SDK writes, and gives back what the master would answer by the test's script.
"""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from danube.errors import (
    ImageUnavailable,
    InfraError,
    JobCancelled,
    JobTimeout,
    SecretNotFound,
    ServiceDied,
    ServiceNotReady,
    StepLost,
    StepTimeout,
    UsageError,
)
from danube.testing._declared import Declared
from danube.testing._files import Artifacts, Kept, Summary, fill
from danube.testing._reports import Reports
from danube.testing._script import End, Ends, OutOfMemory, Prompter
from danube.testing._service import ServiceOutcome, Stage, StartedService, seconds
from danube.testing._service import of_call as service_of_call
from danube.testing._step import Cause, Step, of_call
from danube.testing._turns import FOREVER, Over, Turns
from danube.testing._verdict import Facts, Reason

_CAPTURED = 1 << 20
_MOST_STEPS = 10_000
_TERMINATED = 143
_KILLED = 137

T = TypeVar("T")
Reply = Callable[[], bytes]


class Asked:
    """A step that was started, and how its script wants it to end."""

    def __init__(self, step: Step, end: End, *, separate: bool) -> None:
        self.step = step
        self.end = end
        self.separate = separate
        self.stopped = False

    def seconds(self) -> float:
        """How long it would take if nobody ended it."""
        if isinstance(self.end, OutOfMemory):
            return Ends(takes=self.end.takes).seconds()
        if _is(self.end, StepLost):
            return 0.0
        return self.end.seconds() if isinstance(self.end, Ends) else FOREVER

    def limit(self) -> float:
        """When its own timeout ends it."""
        if _is(self.end, StepTimeout):
            return self.step.timeout or 0.0
        return FOREVER if self.step.timeout is None else self.step.timeout


class Master:
    """What the SDK talks to."""

    def __init__(self, prompter: Prompter, stage: Stage, secrets: Mapping[str, str], declared: Declared, workspace: Path) -> None:
        self.turns = Turns(self._stuck)
        self.stage = stage
        self._numbers = 0
        self.steps: list[Step] = []
        self.refused: list[Step] = []
        self.secrets_read: list[str] = []
        self.artifacts = Artifacts(workspace)
        self.reports = Reports(workspace)
        self.summary = Summary()
        self.facts = Facts()
        self.broken: list[BaseException] = []
        self._prompter = prompter
        self._secrets = secrets
        self._declared = declared
        self._workspace = workspace
        self._asked: dict[str, Asked] = {}
        self._blow: JobCancelled | JobTimeout | ServiceDied | None = None
        self._closed: tuple[str, str] | None = None
        self._lock = threading.Lock()
        if declared.timeout is not None:
            self.turns.set_alarm(declared.timeout, lambda: self.strike("timeout"))

    def connect(self) -> Connection:
        """What the SDK opens for each call."""
        return Connection(self)

    def strike(self, why: Literal["cancelled", "timeout", "service"], words: str = "a service of the job has died") -> None:
        """Ends the job before its time: the main thread learns it where it waits."""
        if self.facts.interrupt is None:
            self.facts.interrupt = why
            if why == "service":
                self.facts.service = self.facts.service or words
                self._blow = ServiceDied(words)
            else:
                self._blow = JobCancelled("the job was cancelled") if why == "cancelled" else JobTimeout("the job's time is up")
            self.turns.set_alarm(self.turns.now + self._declared.cleanup_timeout, self._close)

    def _close(self) -> None:
        """The time for cleaning up is over."""
        code, what = {
            "timeout": ("timeout", "the job's time is up"),
            "service": ("service_died", "a service of the job has died"),
        }.get(self.facts.interrupt or "", ("cancelled", "the job is cancelled"))
        self._closed = (code, f"{what} and its cleanup time is over")
        for asked in self._asked.values():
            asked.stopped = True

    def pause(self, ready: Callable[[], bool], due: float = FOREVER) -> None:
        """Lets the others go on; in the main thread, what ends the job strikes here."""
        main = self.turns.is_main()
        self.turns.wait(lambda: ready() or (main and self._blow is not None), due)
        self.struck()

    def struck(self) -> None:
        """Raises what ends the job, in the main thread, once."""
        if self.turns.closed:
            raise Over
        if self._blow is not None and self.turns.is_main():
            blow, self._blow = self._blow, None
            raise blow

    def call(self, line: bytes) -> Reply:
        """Takes a call; what it gives waits for the answer."""
        call = json.loads(line)
        params: dict[str, Any] = call["params"]
        if call["method"] == "step.cancel":
            return self._cancel(params["step_id"])
        self.struck()
        if call["method"] == "step.run":
            return self._begin(call["id"], params)
        if call["method"] == "service.start":
            return self._service(call["id"], params)
        if call["method"] == "service.stop":
            self.stage.stop(params["step_id"])
            return lambda: _ok({})
        if call["method"] == "secrets.get":
            return self._secret(params["name"])
        if call["method"] == "artifacts.upload":
            return self._kept(lambda: self.artifacts.upload(params["path"], params["name"]))
        if call["method"] == "artifacts.download":
            return self._kept(lambda: self.artifacts.download(params["name"], params["path"]))
        if call["method"] == "reports.junit":
            return self._kept(lambda: self.reports.junit(params["paths"], params["name"]))
        if call["method"] == "summary.markdown":
            return self._kept(lambda: self.summary.markdown(params.get("text"), params.get("text_file"), params["append"]))
        return lambda: _error("unsupported", f"danube.testing does not know `{call['method']}`")

    def _stuck(self) -> None:
        running = [step for step in self.steps if step.cause is None]
        names = ", ".join(f"`{step.title}` ({step.location})" for step in running) or "the danubefile's threads"
        self.broken.append(AssertionError(f"nothing would ever end {names}: give the step or the pipeline a timeout="))

    def _cancel(self, call_id: str) -> Reply:
        if call_id in self._asked:
            self._asked[call_id].stopped = True
        return lambda: _ok({})

    def _secret(self, name: str) -> Reply:
        if name not in self._secrets:
            return lambda: _error("secret_not_found", _no_secret(name))
        self.secrets_read.append(name)
        return lambda: _ok({"value": self._secrets[name]})

    def _kept(self, keep: Callable[[], Kept]) -> Reply:
        with self._lock:
            kept = self._closed or keep()
        return lambda: _error(*kept) if isinstance(kept, tuple) else _ok(kept)

    def _service(self, call_id: str, params: dict[str, Any]) -> Reply:
        service = service_of_call(params)
        with self._lock:
            refusal = self._closed or self.stage.begin(call_id, service)
            outcome = self.stage.outcome(service)
            if refusal is None and not _is_one(outcome, (ImageUnavailable, UsageError)):
                service.number = self._number()
        return lambda: _error(*refusal) if refusal is not None else self._come_up(service, outcome)

    def _come_up(self, service: StartedService, outcome: ServiceOutcome) -> bytes:
        if _is_one(outcome, (ImageUnavailable, UsageError)):
            code = "image_unavailable" if _is_one(outcome, (ImageUnavailable,)) else "invalid"
            return _error(code, _words(outcome, f"the image `{service.image}` cannot be had"))
        takes = seconds(outcome)
        late = _is_one(outcome, (ServiceNotReady,)) or takes > service.timeout
        if not _is_one(outcome, (ServiceDied,)):
            self.pause(lambda: False, self.turns.now + (service.timeout if late else takes))
        if late:
            service.state = "not_ready"
            return _error("service_not_ready", _words(outcome, f"the service `{service.name}` was not ready after {service.timeout:g} s"))
        if _is_one(outcome, (ServiceDied,)):
            service.state = "died"
            self.facts.service = self.facts.service or _words(outcome, f"the service `{service.name}` ended with exit code 1")
            return _error("service_died", self.facts.service)
        service.state = "ready"
        return _ok({"number": service.number, "host": "127.0.0.1"})

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _begin(self, call_id: str, params: dict[str, Any]) -> Reply:
        large: str | None = params.get("script_file")
        script = None if large is None else Path(large).read_bytes().decode()
        step = of_call(params, self._declared.image, self._workspace, script)
        end = self._mine(lambda: self._outcome(step))
        refusal = self._refusal(step, end)
        if refusal is not None:
            self.refused.append(step)
            return lambda: _error(*refusal)
        with self._lock:
            step.number, step.started = self._number(), self.turns.now
            self.steps.append(step)
            self.facts.steps += 1
        asked = Asked(step, end, separate=params["separate"] or (step.capture and not step.tty))
        self._asked[call_id] = asked
        return lambda: self._follow(asked)

    def _outcome(self, step: Step) -> End:
        if len(self.steps) == _MOST_STEPS:
            raise AssertionError(f"{_MOST_STEPS} steps have run, the last is `{step.name}`: does it wait for what the script never says?")
        return self._prompter.outcome(step)

    def _mine(self, of_the_test: Callable[[], T]) -> T:
        """What the test's own code raises ends the job, and is raised by `run`."""
        try:
            return of_the_test()
        except BaseException as error:
            self.broken.append(error)
            self.turns.close()
            raise Over from None

    def _refusal(self, step: Step, end: End) -> tuple[str, str] | None:
        if _is(end, ImageUnavailable):
            return "image_unavailable", str(end) if isinstance(end, Exception) else f"the image `{step.image}` cannot be had"
        if self._closed is not None:
            return self._closed
        for name in [*step.secrets.values(), *step.secret_files.values()]:
            if name not in self._secrets or _is(end, SecretNotFound):
                return "secret_not_found", _no_secret(name)
        if _is(end, UsageError):
            return "invalid", _words(end, "Danube refuses this step")
        if _is(end, InfraError) and not _is(end, StepLost):
            return "infra", _words(end, "the step's container cannot be reached")
        return ("secret_not_found", _words(end, "there is no such secret")) if _is(end, SecretNotFound) else None

    def _follow(self, asked: Asked) -> bytes:
        step, seconds, limit = asked.step, asked.seconds(), asked.limit()
        if _is(asked.end, JobCancelled) or _is(asked.end, JobTimeout) or _is(asked.end, ServiceDied):
            if _is(asked.end, ServiceDied):
                self.strike("service", _words(asked.end, "a service of the job has died"))
            else:
                self.strike("cancelled" if _is(asked.end, JobCancelled) else "timeout")
            if not self.turns.is_member():
                # The main thread waits for this one by other means than turns.
                self.turns.signal()
                asked.stopped = True
        try:
            self.pause(lambda: asked.stopped, step.started + min(seconds, limit))
        except BaseException:
            self._ended(step, "stopped", _TERMINATED)
            raise
        if asked.stopped:
            return self._ended(step, "stopped", _TERMINATED)
        if seconds > limit:
            return self._ended(step, "timed_out", _TERMINATED)
        return self._by_itself(asked)

    def _by_itself(self, asked: Asked) -> bytes:
        step, end = asked.step, asked.end
        if isinstance(end, OutOfMemory):
            return self._ended(step, "exited", _KILLED, message=self._out_of_memory(step))
        if not isinstance(end, Ends):
            lost = Reason("worker_lost", "the container `worker` ended before its steps did")
            self.facts.loss = self.facts.loss or lost
            return self._ended(step, "lost", -1, message="the step was lost: its container is gone")
        fill(self._workspace, end.files)
        if not end.started:
            missing = "its program or its working directory is not there"
            return self._ended(step, "not_started", end.exit_code or 127, end.message or missing)
        return self._ended(step, "exited", end.exit_code, end.message, **_captured(asked, end))

    def _out_of_memory(self, step: Step) -> str:
        limit = max(step.memory or 0, self._declared.memory or 0)
        if not limit:
            return "the machine ran out of memory while `worker`, which has no limit, used it: set memory=, or use less"
        message = f"worker ran out of memory: limit {-(-limit // (1 << 20))} MiB"
        self.facts.loss = self.facts.loss or Reason("oom", message)
        return f"{message}: raise memory= in @pipeline or step.run, or use less"

    def _ended(self, step: Step, cause: Cause, exit_code: int, message: str | None = None, **captured: object) -> bytes:
        step.cause, step.exit_code, step.message = cause, exit_code, message
        step.duration = self.turns.now - step.started
        answer = {"number": step.number, "exit_code": exit_code, "cause": cause, "duration_ms": round(step.duration * 1000)}
        return _ok({**answer, "message": message, **captured})


class Connection:
    """As much of a socket as the SDK uses."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._reply: Reply | None = None

    def sendall(self, line: bytes) -> None:
        """Takes a call."""
        self._reply = self._master.call(line)

    def recv(self, _size: int) -> bytes:
        """Waits for the answer."""
        reply, self._reply = self._reply, None
        return b"" if reply is None else reply()

    def close(self) -> None:
        """Nothing is open."""


def _is(end: End, kind: type[BaseException]) -> bool:
    return isinstance(end, kind) or (isinstance(end, type) and issubclass(end, kind))


def _is_one(outcome: ServiceOutcome, kinds: tuple[type[BaseException], ...]) -> bool:
    return isinstance(outcome, kinds) or (isinstance(outcome, type) and issubclass(outcome, kinds))


def _words(end: object, otherwise: str) -> str:
    return str(end) if isinstance(end, BaseException) and str(end) else otherwise


def _no_secret(name: str) -> str:
    return f"the job has no secret `{name}`. In a test, give it one: run(secrets={{{name!r}: …}})"


def _captured(asked: Asked, end: Ends) -> dict[str, object]:
    if not asked.step.capture:
        return {}
    stdout, stderr = (text.encode() if isinstance(text, str) else text for text in (end.stdout, end.stderr))
    if not asked.separate:
        stdout, stderr = stdout + stderr, b""
    cut = len(stdout) > _CAPTURED or len(stderr) > _CAPTURED
    shown = {"stdout": stdout[:_CAPTURED], "stderr": stderr[:_CAPTURED]}
    return {**{name: b64encode(data).decode() for name, data in shown.items()}, "capture_truncated": cut}


def _ok(answer: dict[str, object]) -> bytes:
    return json.dumps({"ok": answer}).encode() + b"\n"


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode() + b"\n"
