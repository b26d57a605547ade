"""Tests for danubefiles: `run` runs one in the test's own process, and no command at all. Steps end as the test says::

    from danube.testing import run

    def test_a_failing_test_stops_the_release() -> None:
        job = run(steps={"unit tests": 1}, tag="v1.2.0")
        job.assert_failed()
        job.assert_ran("lint", "unit tests")

Works under pytest, unittest, or anything else. The reference is `docs/testing-danubefiles.md` in Danube's repository.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from danube import _call, _runner
from danube._context import ParamValue
from danube.testing import _declared, _params
from danube.testing._files import fill
from danube.testing._job import Job
from danube.testing._master import Master
from danube.testing._refused import Refused
from danube.testing._reports import Reported, junit_xml
from danube.testing._script import Ends, Hangs, Key, OutOfMemory, Outcome, Prompter, Script, Unscripted, matches_text
from danube.testing._service import ServiceOutcome, Services, Stage, StartedService
from danube.testing._step import Step
from danube.testing._verdict import Reason, verdict
from danube.testing._world import world

__all__ = [
    "Ends",
    "Hangs",
    "Job",
    "Key",
    "OutOfMemory",
    "Outcome",
    "Reason",
    "Refused",
    "Reported",
    "Script",
    "ServiceOutcome",
    "Services",
    "StartedService",
    "Step",
    "Unscripted",
    "junit_xml",
    "run",
]

T = TypeVar("T")

_SHORTEST_SECRET = 8
_one_at_a_time = threading.Lock()
_running_in: list[int] = []


def run(
    danubefile: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    steps: Script | None = None,
    services: Services | None = None,
    strict: bool = False,
    params: Mapping[str, ParamValue] | None = None,
    secrets: Mapping[str, str] | None = None,
    files: Mapping[str, str | bytes] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    branch: str | None = "main",
    tag: str | None = None,
    commit_sha: str | None = "0123456789abcdef0123456789abcdef01234567",
    dirty: bool = False,
    trigger_type: str = "manual",
    actor: str = "tester",
    pull_request: Mapping[str, object] | None = None,
    changed_files: Sequence[str] | None = None,
    attempt: int = 1,
    job_id: str = "01920000-0000-7000-8000-000000000000",
) -> Job:
    """Runs a danubefile with scripted steps, and returns the job that it makes.

    The danubefile is checked, loaded and called as in a job; `step.run` does all it does there, but for the command.
    Nothing waits: the job has a clock of its own.

    Args:
        danubefile: The file; unless given, the `danubefile.py` beside the calling file or in the nearest folder above.
        source: The repository, whose modules can be imported; the file's own folder unless given.
        steps: Which step ends how: name or command to outcome. Whatever is not in it succeeds.
        services: Which service comes up how: name or image to the time it takes, or to what `service.start` raises. Whatever
            is not in it is ready at once.
        strict: Whether a step that is not in `steps`, and an entry of `steps` or `services` that nothing matches, fail the
            test.
        params: Values of parameters: of their type, or texts as given to `danube run --param`.
        secrets: Secrets of the job by name. No repr shows a value.
        files: Files of the workspace, by path; they are all that is in it.
        workspace: An existing folder as the workspace; a new one unless given.
        branch, tag, commit_sha, dirty, trigger_type, actor, pull_request, changed_files, attempt, job_id: What
            `ctx` has.

    Returns:
        The job. A danubefile that fails is no error here: see `Job.assert_succeeded`.

    Raises:
        Refused: `danube run` would refuse it before there is a job.
        Unscripted: With `strict=True`, or when a step is tried more often than its script says.
        AssertionError: A step hangs, and nothing would ever end it.
        BaseException: Whatever a function of `steps` raises.

    Example:
        job = run(branch="main", params={"env": "prod"}, steps={"cargo *": 101}, secrets={"TOKEN": "not-a-token"})
        assert job.reason is not None and job.reason.kind == "script"
    """
    file = _found(danubefile, sys._getframe(1).f_code.co_filename)  # pyright: ignore[reportPrivateUsage]
    root = file.parent if source is None else Path(source).resolve()
    if not file.is_relative_to(root):
        raise Refused([f"{file} is not in {root}: name a file within source="])
    entry_point = str(file.relative_to(root))
    declared = _declared.read(entry_point, _read(file))
    context: dict[str, object] = {
        "job_id": job_id, "pipeline": declared.name, "branch": branch, "tag": tag, "commit_sha": commit_sha, "dirty": dirty,
        "trigger_type": trigger_type, "actor": actor, "attempt": attempt, "entry_point": entry_point,
        "pull_request": None if pull_request is None else dict(pull_request),
        "changed_files": None if changed_files is None else list(changed_files),
    }  # fmt: skip
    values = _params.resolve(declared.params, params or {})
    prompter, stage = Prompter(steps or {}, strict=strict), Stage(services or {}, matches_text)
    job = _Run(declared, root, context, values, _checked(secrets or {}), (prompter, stage))
    with tempfile.TemporaryDirectory(prefix="danube-test-") as own:
        ended = job.run(Path(own).resolve(), workspace, files or {})
    if strict and ended.unused:
        raise Unscripted(f"no step or service was {', '.join(f'`{key}`' for key in ended.unused)}\n{ended}")
    return ended


def _found(danubefile: str | os.PathLike[str] | None, caller: str) -> Path:
    if danubefile is not None:
        return Path(danubefile).resolve()
    folder = Path(caller).resolve().parent
    for candidate in [folder, *folder.parents]:
        if (candidate / "danubefile.py").is_file():
            return candidate / "danubefile.py"
    raise Refused([f"there is no danubefile.py in {folder} or above it: name it, run('…/danubefile.py')"])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refused([f"{file}: {error.strerror}"]) from None


def _checked(secrets: Mapping[str, str]) -> dict[str, str]:
    short = [name for name, value in secrets.items() if len(value.encode()) < _SHORTEST_SECRET]
    if short:
        why = f"is shorter than {_SHORTEST_SECRET} bytes and cannot be hidden in logs"
        raise Refused([f"the secret `{name}` {why}: make it longer here too" for name in short])
    return dict(secrets)


class _Run:
    """One call of `run`."""

    def __init__(
        self,
        declared: _declared.Declared,
        root: Path,
        context: dict[str, object],
        params: dict[str, ParamValue],
        secrets: dict[str, str],
        scripts: tuple[Prompter, Stage],
    ) -> None:
        self._declared = declared
        self._root = root
        self._context = {**context, "params": params}
        self._params = params
        self._secrets = secrets
        self._prompter, self._stage = scripts
        self._exception: BaseException | None = None

    def run(self, own: Path, workspace: str | os.PathLike[str] | None, files: Mapping[str, str | bytes]) -> Job:
        """Runs the danubefile; `own` is for what a job has besides its workspace."""
        place = Path(workspace).resolve() if workspace is not None else Path(tempfile.mkdtemp(prefix="danube-test-")).resolve()
        try:
            fill(place, files)
            job = self._job(own, place)
        except BaseException:
            if workspace is None:
                shutil.rmtree(place, ignore_errors=True)
            raise
        if workspace is None:
            weakref.finalize(job, shutil.rmtree, place, ignore_errors=True)
        return job

    def _job(self, own: Path, workspace: Path) -> Job:
        (own / "context.json").write_text(json.dumps({**self._context, "workspace": str(workspace)}))
        (own / "outbox").mkdir()
        variables = {"DANUBE_CONTEXT": str(own / "context.json"), "DANUBE_OUTBOX": str(own / "outbox")}
        me = threading.get_ident()
        if me in _running_in:
            raise RuntimeError("danube.testing.run is running in this thread: a script cannot run a danubefile in turn")
        with _one_at_a_time:
            _running_in.append(me)
            try:
                master = Master(self._prompter, self._stage, self._secrets, self._declared, workspace)
                with world(master, self._root, workspace, variables) as output:
                    status = self._status(master)
                return self._ended(master, status, output.getvalue(), workspace)
            finally:
                _running_in.remove(me)

    def _status(self, master: Master) -> int:
        try:
            status = _runner.status(self._load)
            master.facts.abandoned = len(_call.in_flight)
        finally:
            master.turns.close()
        if master.broken:
            raise master.broken[0]
        if isinstance(self._exception, KeyboardInterrupt):
            raise self._exception
        return status

    def _load(self) -> Callable[[], object]:
        """As the runner does, and keeps what comes through."""
        pipeline = self._kept(_runner.load)
        return lambda: self._kept(pipeline)

    def _kept(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except BaseException as error:
            self._exception = error
            raise

    def _ended(self, master: Master, status: int, output: str, workspace: Path) -> Job:
        outcome, reason = verdict(status, master.facts)
        return Job(
            name=self._declared.name,
            params=self._params,
            status=outcome,
            reason=reason,
            exception=self._exception,
            steps=tuple(master.steps),
            refused=tuple(master.refused),
            services=tuple(master.stage.started),
            output=self._masked(output),
            duration=master.turns.now,
            artifacts=master.artifacts.kept,
            reports=tuple(master.reports.read),
            summary=self._masked(master.summary.text),
            secrets_read=tuple(master.secrets_read),
            unused=tuple([*self._prompter.unused(), *self._stage.unused()]),
            workspace=workspace,
        )

    def _masked(self, text: str) -> str:
        for value in sorted(self._secrets.values(), key=len, reverse=True):
            text = text.replace(value, "***")
        return text
