"""The SDK and a danubefile pass the strict modes of the type checkers, where those are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


class TypingTest(unittest.TestCase):
    def check(self, program: str, *arguments: str) -> None:
        if shutil.which(program) is None:
            self.skipTest(f"{program} is not installed")
        environment = {**os.environ, "MYPYPATH": "src", "MYPY_CACHE_DIR": os.devnull}
        ran = subprocess.run([program, *arguments], cwd=PROJECT, capture_output=True, text=True, env=environment)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_mypy(self) -> None:
        self.check("mypy", "--python-version", "3.11")
        self.check("mypy", "--strict", "tests/typing_sample.py")

    def test_pyright(self) -> None:
        self.check("pyright", "-p", ".")


if __name__ == "__main__":
    unittest.main()
