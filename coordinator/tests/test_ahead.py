"""A runner that is started before anybody knew for which job."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

from tests.job import RUNNER, Job, pipeline
from tests.master import Master


class StartedAhead(unittest.TestCase):
    def waiting(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", RUNNER],
            cwd="/", env={"DANUBE_WAITS": "1", "EARLY": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def test_it_goes_on_as_the_job_that_it_is_told(self) -> None:
        with Master() as master:
            waiting = self.waiting()
            job = Job(
                pipeline("""
                    print(os.getcwd(), sorted(name for name in os.environ if name != 'LC_CTYPE'), os.read(0, 1))
                    print(os.environ['TOLD'], os.readlink('/proc/self/fd/0'), len(os.listdir('/proc/self/fd')))
                    step.run('true')
                """),
                master,
            )
            cold = job.start()
            pairs = Path(f"/proc/{cold.pid}/environ").read_bytes().split(b"\0")[:-1]
            environment = dict(pair.split(b"=", 1) for pair in pairs)
            keep = {name: value for name, value in environment.items() if name.startswith(b"DANUBE_")}
            cold.kill()
            cold.communicate()
            keep[b"TOLD"] = b"a=b\xc3\xa9"
            told = [os.fsencode(job.workspace), *(name + b"=" + value for name, value in keep.items())]
            out, err = waiting.communicate(b"".join(part + b"\0" for part in told), timeout=60)
            where, second = out.decode().splitlines()
            names = sorted(name.decode() for name in keep)
            self.assertEqual((waiting.returncode, err.decode()), (0, ""))
            self.assertEqual(where, f"{job.workspace} {names} b''")
            self.assertTrue(second.startswith("a=b\u00e9 /dev/null "), second)
            job.remove()

    def test_told_nothing_it_ends_quietly(self) -> None:
        waiting = self.waiting()
        self.assertEqual((*waiting.communicate(timeout=60), waiting.returncode), (b"", b"", 0))
