"""Two clusters side by side, and what is left of a cluster when it has ended, however it ended: nothing."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import machine
import namespaces
import take_down
from namespaces import ENTRY
from settings import Cluster, states
from support import PODS, Standing, front_door


class Endings(unittest.TestCase):
    def test_two_stand_side_by_side_and_end_apart(self) -> None:
        before = machine.look()
        one = Standing("a")
        self.addCleanup(front_door, "down", one.name)
        one.start("here", {"command": ["sleep", "1000"]}, hostUsers=False)
        other = Standing("b")
        self.addCleanup(front_door, "down", other.name)
        other.start("there", {"command": ["sleep", "1000"]})
        for name in ("REGISTRY", "KUBECONFIG", "NODE", "API_SERVER"):
            self.assertNotEqual(one.facts[name], other.facts[name])
        self.assertEqual(one.image("worker").split("@")[1], other.image("worker").split("@")[1])
        one.running("here")
        other.running("there")
        self.assertEqual(other.api.raw("GET", f"{PODS}/here")[0], 404)
        inside = self.processes_of(other.name)
        other.down()
        self.assertFalse([process for process in inside if Path(f"/proc/{process}").exists()])
        self.assertEqual(take_down.traces(other.cluster), [])
        self.assertEqual(one.kubectl("exec", "here", "--", "echo", "still here").stdout, "still here\n")
        inside = self.processes_of(one.name)
        one.down()
        self.assertFalse([process for process in inside if Path(f"/proc/{process}").exists()])
        # Others' clusters may stand on this machine.
        self.assertTrue(any(states().glob("[!.]*/index")) or not states().exists())
        self.assertEqual(before.differences(machine.look()), [])

    def processes_of(self, name: str) -> list[int]:
        """By their pid namespace, pods' and all, so that none can hide behind another name."""
        namespace = os.readlink(f"/proc/{namespaces.first(Cluster(name))}/ns/pid")
        found = []
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                own = os.readlink(f"/proc/{process}/ns/pid")
            except OSError:
                continue
            if own == namespace:
                found.append(int(process))
        self.assertGreater(len(found), 8)
        return found

    def test_a_bring_up_that_is_killed_leaves_nothing_that_down_does_not_remove(self) -> None:
        for instant in ("parts", "handle", "containerd.sock"):
            with self.subTest(instant=instant):
                self.killed_at(instant)

    def killed_at(self, instant: str) -> None:
        before = machine.look()
        cluster = Cluster(f"t{os.getpid()}k")
        with tempfile.TemporaryFile("w+") as said:
            started = subprocess.Popen([sys.executable, "-I", ENTRY, "up", "--name", cluster.name], stdout=subprocess.DEVNULL, stderr=said)
            while not (cluster.state / instant).exists() and started.poll() is None:
                time.sleep(0.001)
            ended = started.poll()
            started.send_signal(signal.SIGKILL)
            started.wait()
            said.seek(0)
            self.assertIsNone(ended, f"it was over before {instant} was there\n{said.read()}")
        self.assertNotEqual(take_down.traces(cluster), [])
        done = front_door("down", cluster.name)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(take_down.traces(cluster), [])
        self.assertEqual(before.differences(machine.look()), [])

    def test_a_name_that_is_taken_or_impossible_is_refused_and_disturbs_nobody(self) -> None:
        one = Standing("n")
        self.addCleanup(front_door, "down", one.name)
        again = front_door("up", "--name", one.name)
        self.assertEqual(again.returncode, 77)
        self.assertIn("already", again.stderr)
        self.assertEqual(front_door("up", "--name", "../x").returncode, 77)
        status = front_door("status", one.name).stdout
        self.assertEqual(status.count("runs, process"), 8, status)
        self.assertNotIn("does not run", status)
        one.down()
        self.assertIn("is not there", front_door("status", one.name).stdout)

    def test_a_bring_up_that_fails_cleans_up_by_itself(self) -> None:
        before = machine.look()
        cluster = Cluster(f"t{os.getpid()}f")
        with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
            etcd = Path(place) / "etcd"
            etcd.write_text("#!/bin/sh\necho 'no etcd today' >&2\nexit 1\n")
            etcd.chmod(0o755)
            broken = front_door("up", "--name", cluster.name, env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}"})
        self.assertEqual(broken.returncode, 1, broken.stderr)
        self.assertIn("etcd ended while", broken.stderr)
        self.assertIn("no etcd today", broken.stderr)
        self.assertEqual(take_down.traces(cluster), [])
        self.assertEqual(before.differences(machine.look()), [])
