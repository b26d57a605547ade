"""A danubefile run by the real runner in a process of its own, as the engine starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from tests.master import Master

RUNNER = Path(__file__).resolve().parents[1] / "src" / "danube-runner.py"
HEAD = "from danube import *\nimport sys, os, time, threading, signal\n"


class Job:
    """A source folder, a workspace as working directory, and a master."""

    def __init__(self, danubefile: str | bytes, master: Master, **context: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="danube-")
        self.folder = Path(self._folder.name)
        self.source, self.workspace = self.folder / "src", self.folder / "workspace"
        self.source.mkdir()
        self.workspace.mkdir()
        text = danubefile if isinstance(danubefile, bytes) else (HEAD + textwrap.dedent(danubefile)).encode()
        (self.source / "danubefile.py").write_bytes(text)
        self.master = master
        self.context = {
            "job_id": "0192", "pipeline": "tests", "branch": "main", "tag": None, "commit_sha": "a" * 40, "dirty": True,
            "trigger_type": "manual", "actor": "ada", "params": {}, "pull_request": None, "changed_files": None,
            "attempt": 1, "workspace": str(self.workspace), "entry_point": "danubefile.py", "function": "build",
            "cleanup_timeout_s": 60, **context,
        }  # fmt: skip

    def start(self, python: str = sys.executable) -> subprocess.Popen[bytes]:
        (self.folder / "context.json").write_text(json.dumps(self.context))
        environment = {
            **os.environ,
            **self.master.environment,
            "DANUBE_CONTEXT": str(self.folder / "context.json"),
            "DANUBE_SOURCE": str(self.source),
        }
        self.process = subprocess.Popen(
            [python, "-I", "-S", "-B", RUNNER],
            cwd=self.workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        return self.process

    def finish(self) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        try:
            out, err = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            self.remove()
            raise
        self.remove()
        return self.process.returncode, out.decode(), err.decode()

    def remove(self) -> None:
        self._folder.cleanup()

    def run(self) -> tuple[int, str, str]:
        self.start()
        return self.finish()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def pipeline(body: str) -> str:
    """A danubefile whose function has this body; it starts on line 4."""
    return "@pipeline(name='tests')\ndef build():\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"
