"""service.start, against a master on a real socket."""

from __future__ import annotations

import os
import unittest
from typing import Any
from unittest import mock

from danube import InfraError, ServiceDied, ServiceNotReady, UsageError, service, step
from tests.job import Job, pipeline
from tests.master import Answer, Master, Params, refused, wire_fields

UP: Params = {"ok": {"number": 3, "host": "127.0.0.1"}}


def answer(method: str, params: Params) -> Answer:
    if method == "service.start":
        return UP
    assert method == "service.stop", method
    return {"ok": {}}


class StartTest(unittest.TestCase):
    def setUp(self) -> None:
        self.master = Master(answer)
        self.enterContext(self.master)
        self.enterContext(mock.patch.dict(os.environ, self.master.environment))

    def asked(self, *arguments: Any, **options: Any) -> Params:
        service.start(*arguments, **options)
        params: Params = self.master.calls[-1]["params"]
        return params

    def test_what_is_asked_for(self) -> None:
        with step.group("integration"):
            asked = self.asked(
                "postgres:17", env={"POSTGRES_PASSWORD": "test"}, ready=service.tcp(5432), timeout="2m", memory="512Mi",
                command=["-c", "fsync=off"],
            )  # fmt: skip
        self.assertIn("test_service.py", asked.pop("location") or "test_service.py")
        self.assertEqual(
            asked,
            {
                "name": "postgres", "image": "postgres:17", "env": {"POSTGRES_PASSWORD": "test"}, "ready": {"tcp": 5432},
                "timeout_ms": 120_000, "memory_bytes": 512 << 20, "command": ["-c", "fsync=off"], "group": ["integration"],
            },
        )  # fmt: skip
        self.assertEqual({*asked, "location"}, wire_fields("ServiceStart"), "the master knows all of it, and no more")

    def test_what_is_not_given_is_left_to_the_image(self) -> None:
        asked = self.asked("redis:8", ready=service.cmd(["redis-cli", "ping"]))
        self.assertEqual((asked["ready"], asked["timeout_ms"]), ({"cmd": ["redis-cli", "ping"]}, 60_000))
        self.assertNotIn("command", asked)
        self.assertNotIn("ready", self.asked("redis:8"))

    def test_a_service_without_a_name_is_called_by_its_image(self) -> None:
        names = {
            "postgres": "postgres", "postgres:17": "postgres", "registry.example:5000/team/My_App:1.2": "my_app",
            "postgres@sha256:" + "0" * 64: "postgres", "oci:build/web": "web", "oci:build/web:1": "web",
            "tar:images/web.tar.gz": "web", "tar:web.tar": "web", "a/ß": "service",
        }  # fmt: skip
        for image, name in names.items():
            self.assertEqual(self.asked(image)["name"], name, image)
        self.assertEqual(self.asked("host", command=["./bin/Server", "-v"])["name"], "server")

    def test_a_service_is_stopped_at_the_end_of_a_with(self) -> None:
        with service.start("redis:8", name="cache") as cache:
            self.assertEqual((cache.name, cache.number, cache.host), ("cache", 3, "127.0.0.1"))
            self.assertEqual(repr(cache), "<service 'cache' at 127.0.0.1>")
        start, stop = self.master.calls
        self.assertEqual((stop["method"], stop["params"]), ("service.stop", {"step_id": start["id"]}))
        cache.stop()

    def test_an_error_within_the_with_is_not_hidden(self) -> None:
        with self.assertRaisesRegex(ValueError, "mine"), service.start("redis:8"):
            self.master.answers = lambda _method, _params: refused("infra")
            raise ValueError("mine")
        self.master.answers = answer
        with self.assertRaises(InfraError), service.start("redis:8"):
            self.master.answers = lambda _method, _params: refused("infra")

    def test_wrong_arguments(self) -> None:
        wrong: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
            (("",), {}, ValueError, "the image must be one line"),
            ((7,), {}, TypeError, "the image must be a str"),
            (("a",), {"name": "Data Base"}, ValueError, "name= must be at most 63"),
            (("a",), {"name": "x" * 64}, ValueError, "name= must be at most 63"),
            (("a",), {"command": "redis-server --save ''"}, TypeError, "a list such as"),
            (("a",), {"command": []}, ValueError, "the command is empty"),
            (("host",), {}, UsageError, "no program of its own"),
            (("a",), {"env": {"A-B": "1"}}, ValueError, "A-B"),
            (("a",), {"ready": 5432}, TypeError, "service.tcp"),
            (("a",), {"timeout": 0}, ValueError, "timeout="),
            (("a",), {"timeout": None}, TypeError, "timeout="),
            (("a",), {"memory": "1Ki"}, ValueError, "memory="),
        ]
        for arguments, options, error, words in wrong:
            with self.subTest(options), self.assertRaisesRegex(error, words):
                service.start(*arguments, **options)
        for port, kind in ((0, ValueError), (65536, ValueError), ("5432", TypeError), (True, TypeError)):
            with self.subTest(port), self.assertRaises(kind):
                service.tcp(port)  # type: ignore[arg-type]
        for command in ("pg_isready", [], [""], 7):
            with self.subTest(command), self.assertRaises((TypeError, ValueError)):
                service.cmd(command)  # type: ignore[arg-type]
        self.assertEqual(self.master.calls, [])

    def test_what_the_master_says(self) -> None:
        for code, kind in (("service_not_ready", ServiceNotReady), ("service_died", ServiceDied), ("invalid", UsageError)):
            self.master.answers = lambda _method, _params, code=code: refused(code, "the service `db` …\n  last line")
            with self.subTest(code), self.assertRaisesRegex(kind, "last line"):
                service.start("postgres:17")
        self.assertFalse(issubclass(ServiceDied, Exception), "`except Exception` must not keep the job alive")
        self.master.answers = lambda _method, _params: {"ok": {"number": 1}}
        with self.assertRaisesRegex(InfraError, "cannot be read"):
            service.start("postgres:17")


class DiedTest(unittest.TestCase):
    def test_a_service_that_dies_strikes_the_danubefile_once(self) -> None:
        with Master() as master:
            job = Job(
                pipeline(
                    """
                    try:
                        os.kill(os.getpid(), signal.SIGUSR2)
                        time.sleep(60)
                    except ServiceDied as error:
                        print("caught:", error)
                        os.kill(os.getpid(), signal.SIGUSR2)
                        step.run("dump")
                        raise
                    """
                ),
                master,
            )
            status, out, err = job.run()
        self.assertEqual((status, out), (123, "caught: a service of the job has died\n"))
        self.assertEqual(err, "danube: a service of the job has died at danubefile.py:6, in build\n")
        self.assertEqual([call["params"]["script"] for call in master.calls], ["dump"])


if __name__ == "__main__":
    unittest.main()
