"""The bundled examples, with the real runner; the master of this test runs their steps on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest
from typing import Any

from danube._runner import Exit
from tests.job import Job
from tests.master import REPOSITORY, Answer, Master, Params, ended


class ExamplesTest(unittest.TestCase):
    def run_example(self, name: str, broken: str | None = None, **params: Any) -> tuple[tuple[int, str, str], list[str]]:
        example = REPOSITORY / "examples" / name

        def answer(_method: str, step: Params) -> Answer:
            command = step.get("argv") or [step["shell"], "-ec", step["script"]]
            ran = subprocess.run(command, cwd=job.workspace, env={**os.environ, **step["env"]}, capture_output=True)
            return ended(ran.returncode, stdout=ran.stdout, message=ran.stderr.decode() if ran.returncode else None)

        with Master(answer) as master:
            job = Job((example / "danubefile.py").read_bytes(), master, params=params)
            shutil.copytree(example, job.workspace, dirs_exist_ok=True)
            if broken is not None:
                (job.workspace / broken).write_text((job.workspace / broken).read_text().replace("not self.pre", "True"))
            result = job.run()
            return result, [step["name"] for step in master.steps()]

    def test_python(self) -> None:
        (status, out, err), names = self.run_example("python", pattern="test_*.py")
        self.assertEqual((status, err), (Exit.SUCCESS, ""))
        self.assertIn("tidemark of main works with Python 3.", out)
        self.assertEqual(set(names), {"python", "compile", "readme", "unit tests", "build", "try it"})

    def test_a_failing_test_fails_the_example(self) -> None:
        (status, _, err), names = self.run_example("python", broken="src/tidemark/version.py", pattern="test_*.py")
        self.assertEqual(status, Exit.RAISED)
        self.assertIn("StepFailed: step 1 `unit tests` failed with exit code 1", err)
        self.assertNotIn("build", names)

    @unittest.skipUnless(shutil.which("cargo"), "there is no cargo")
    def test_rust(self) -> None:
        (status, _, err), names = self.run_example("rust")
        self.assertEqual((status, err), (Exit.SUCCESS, ""))
        self.assertIn("examples in the documentation", names)


if __name__ == "__main__":
    unittest.main()
