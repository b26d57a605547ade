"""What hostile steps put into the workspace is never run by the coordinator's Python."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

from danube._runner import Exit
from tests.job import RUNNER, Job, pipeline
from tests.master import Master

EVIL = "import os; open(os.path.join({workspace!r}, 'ran'), 'a').write(__name__ + '\\n'); os._exit(0)\n"
PLANTED = [
    "_strptime.py", "sitecustomize.py", "usercustomize.py", "json/__init__.py", "danube/__init__.py", "danube.py",
    "danubefile.py", "socket.py", "queue.py", "encodings/__init__.py", "helper.py", "threading.py", "linecache.py",
    "traceback.py", "__main__.py", "python3.zip", "lib/python3.11/os.py",
]  # fmt: skip
BODY = """
    import queue, linecache, traceback, pathlib, importlib, shutil
    time.strptime('2026', '%Y')
    step.parallel(step.call('a'), step.call('b'))
    print(os.getcwd() in sys.path, '' in sys.path, sys.path[-2:])
    for name in ['helper', 'sitecustomize', 'usercustomize']:
        try: importlib.import_module(name)
        except ModuleNotFoundError: print('no', name)
    import beside
    1 // 0
"""


class IsolationTest(unittest.TestCase):
    def plant(self, job: Job) -> None:
        evil = EVIL.format(workspace=str(job.workspace))
        for name in PLANTED:
            path = job.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(evil)
        subprocess.run([sys.executable, "-m", "compileall", "-qb", job.workspace], check=True)
        (job.workspace / "evil.pth").write_text(f"import os; open({str(job.workspace / 'ran')!r}, 'a')\n")
        (job.workspace / "pyvenv.cfg").write_text(f"home = {job.workspace}\ninclude-system-site-packages = true\n")

    def test_nothing_in_the_workspace_is_ever_imported(self) -> None:
        with Master() as master:
            job = Job(pipeline(BODY), master)
            self.plant(job)
            (job.source / "beside.py").write_text("")
            lines = {"PYTHONPATH": ".", "PYTHONSTARTUP": "helper.py", "PYTHONHOME": "", "PYTHONINSPECT": "1"}
            os.environ.update(lines)
            self.addCleanup(lambda: [os.environ.pop(name) for name in lines])
            job.start()
            self.assertFalse((job.workspace / "ran").exists())
            source, ran, sdk = str(job.source), job.workspace / "ran", str(RUNNER.parent)
            out, err = job.process.communicate(timeout=60)
            self.assertFalse(ran.exists(), ran.read_text() if ran.exists() else "")
            self.assertEqual(job.process.returncode, Exit.RAISED, err)
            self.assertIn("ZeroDivisionError", err.decode())
            expected = f"False False {[sdk, source]}\nno helper\nno sitecustomize\nno usercustomize\n"
            self.assertEqual(out.decode(), expected)
            self.assertEqual(list(Path(source).rglob("*.pyc")), [], "the source stays as it is")
            job.remove()

    def test_the_source_cannot_replace_the_sdk_or_the_standard_library(self) -> None:
        with Master() as master:
            job = Job(pipeline("import json, danube; print(json.__file__, danube.__file__); step.run('a')"), master)
            for name in ["json.py", "danube.py", "socket.py"]:
                (job.source / name).write_text("raise SystemExit('replaced')\n")
            status, out, err = job.run()
        self.assertEqual((status, err), (Exit.SUCCESS, ""))
        self.assertNotIn("danube-", out)

    def test_the_runner_refuses_to_start_unprotected(self) -> None:
        for flags in [[], ["-I"], ["-I", "-S"], ["-S", "-B"]]:
            ran = subprocess.run([sys.executable, *flags, RUNNER], capture_output=True, text=True)
            self.assertEqual(ran.returncode, 1)
            self.assertIn("python3 -I -S -B", ran.stderr)


if __name__ == "__main__":
    unittest.main()
