"""What pods can rely on in the cluster."""

import socket
import tempfile
import unittest
from pathlib import Path

import bring_up
import control_groups
import layout
import registry
import settings
from images import COORDINATOR_USER, Image
from layout import File, Recipe
from needs import BUSYBOX
from support import PODS, Standing, front_door

# What the kubelet sets, to 10, 1 and 1.
MACHINE_WIDE = ("kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory")


class Pods(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.before = "".join(Path(f"/proc/sys/{name}").read_text().strip() for name in MACHINE_WIDE)
        cls.one = Standing("p")
        cls.addClassCleanup(cls.one.down)
        print(cls.one.told)

    def test_the_node_is_ready_and_of_the_versions_that_were_built(self) -> None:
        node = self.one.api.ask("GET", f"/api/v1/nodes/{self.one.facts['NODE']}")
        info = node["status"]["nodeInfo"]
        self.assertEqual((info["kubeletVersion"], info["containerRuntimeVersion"]), (f"v{settings.KUBERNETES}", f"containerd://{settings.CONTAINERD}"))
        handlers = node["status"]["runtimeHandlers"]
        self.assertTrue(all(handler["features"]["userNamespaces"] for handler in handlers), handlers)

    def test_a_pod_runs_from_an_image_that_is_pulled_by_digest(self) -> None:
        with tempfile.TemporaryDirectory() as place:
            image = self.an_image_nobody_has(Path(place))
            registry.push(self.one.cluster, image)
            reference = registry.reference(self.one.cluster, image)
            said = self.one.output("pulled", {"image": reference, "command": ["/bin/echo", "came by digest"]})
        self.assertEqual(said, "came by digest\n")
        pod = self.one.api.ask("GET", f"{PODS}/pulled")
        self.assertEqual(pod["status"]["containerStatuses"][0]["imageID"], reference)

    def an_image_nobody_has(self, place: Path) -> Image:
        layout.write_layer(place / "layer.tar", [File("bin"), File("bin/echo", BUSYBOX), File("unique", text=str(place))])
        digest = layout.write(place / "fresh", Recipe([place / "layer.tar"]))
        (place / "fresh" / "digest").write_text(digest)
        return Image("fresh", place / "fresh")

    def test_a_digest_that_the_registry_has_not_is_an_error_of_the_pod(self) -> None:
        wrong = f"{self.one.facts['REGISTRY']}/busybox@sha256:{'0' * 64}"
        self.one.start("unpulled", {"image": wrong})

        def refused(pod: dict) -> bool:
            states = [status["state"].get("waiting", {}) for status in pod["status"].get("containerStatuses", [])]
            return any("not found" in state.get("message", "") for state in states)

        self.one.until("unpulled", refused)

    def test_the_kubelet_sets_what_is_the_machines_for_itself_alone(self) -> None:
        number = (self.one.cluster.state / "parts" / "kubelet.pid").read_text()

        def settings_as_seen_by(*words: str) -> str:
            return front_door("exec", self.one.name, *words, "cat", *(f"/proc/sys/{name}" for name in MACHINE_WIDE)).stdout.replace("\n", "")

        self.assertEqual(settings_as_seen_by("nsenter", "--target", number, "--mount"), "1011")
        self.assertEqual(settings_as_seen_by(), self.before)

    def test_without_host_users_root_is_nobody_on_the_machine(self) -> None:
        looks = {"command": ["cat", "/proc/self/uid_map"]}
        inside, outside, length = map(int, self.one.output("mapped", looks, hostUsers=False).split())
        self.assertEqual((inside, length), (0, 65536))
        self.assertGreaterEqual(outside, 65536)
        self.assertEqual(self.one.output("unmapped", looks).split(), ["0", "0", "4294967295"])

    def test_a_files_owner_is_mapped_too(self) -> None:
        spec = {"hostUsers": False, "volumes": [{"name": "v", "emptyDir": {}}]}
        look = {"command": ["sh", "-c", "echo x >/v/file && stat -c %u /v/file"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        self.assertEqual(self.one.output("owner", look, **spec), "0\n")

    def test_a_pods_own_limit_holds_for_containers_without_one(self) -> None:
        limit = {"resources": {"limits": {"memory": "32Mi", "cpu": "500m"}, "requests": {"memory": "16Mi", "cpu": "10m"}}}
        eats = {"command": ["sh", "-c", "exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'"]}
        self.one.start("limited", eats, **limit)
        ended = self.one.until("limited", lambda pod: pod["status"].get("phase") == "Failed")
        self.assertEqual(ended["status"]["qosClass"], "Burstable")
        state = ended["status"]["containerStatuses"][0]["state"]["terminated"]
        self.assertEqual((state["reason"], state["exitCode"]), ("OOMKilled", 137))

    def test_exec_gives_output_and_exit_code(self) -> None:
        self.one.start("busy", {"command": ["sleep", "1000"]})
        self.one.running("busy")
        done = self.one.kubectl("exec", "busy", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((done.returncode, done.stdout), (3, "out\n"), done.stderr)
        self.assertIn("err\n", done.stderr)
        sent = "a line\n" * 100_000
        back = self.one.kubectl("exec", "-i", "busy", "--", "cat", input=sent)
        self.assertEqual((back.returncode, back.stdout == sent), (0, True))

    def test_the_worker_has_tools_the_shellless_image_has_no_shell(self) -> None:
        tools = self.one.output("tools", {"image": self.one.image("worker"), "command": ["sh", "-c", "git --version && make --version && python3 -c 'print(6 * 7)'"]})
        self.assertTrue(tools.startswith("git version") and tools.endswith("42\n"), tools)
        self.assertEqual(self.one.output("bare", {"image": self.one.image("shellless"), "command": ["/usr/bin/echo", "no shell"]}), "no shell\n")
        self.one.start("no-shell", {"image": self.one.image("shellless"), "command": ["/bin/sh", "-c", "true"]})
        ended = self.one.until("no-shell", lambda pod: pod["status"].get("phase") == "Failed")
        self.assertIn("no such file", ended["status"]["containerStatuses"][0]["state"]["terminated"]["message"])

    def test_the_coordinator_imports_the_sdk_as_nobody_in_particular(self) -> None:
        program = "import sys, os; sys.path.insert(0, '/opt/danube/sdk'); import danube; print(os.getuid(), os.path.exists('/bin/sh'), danube.step)"
        said = self.one.output("coordinator", {"image": self.one.image("coordinator"), "command": ["python3", "-I", "-c", program]})
        self.assertTrue(said.startswith(f"{COORDINATOR_USER} False "), said)

    def test_the_coordinators_image_is_small_and_not_roots_and_the_shims_is_the_shim(self) -> None:
        made = {image.name: image for image in bring_up.read_images(self.one.cluster)}
        self.assertLess(made["coordinator"].size, 150_000_000)
        self.assertEqual(made["coordinator"].user, f"{COORDINATOR_USER}:{COORDINATOR_USER}")
        self.assertEqual(made["coordinator"].digest, self.one.image("coordinator").split("@")[1])
        self.assertLess(made["shim"].size, 20_000_000)
        self.assertEqual(len(made["shim"].manifest["layers"]), 1)

    def test_the_shims_image_fills_a_volume(self) -> None:
        volume = {"volumes": [{"name": "shim", "emptyDir": {}}]}
        mounts = [{"name": "shim", "mountPath": "/shim"}]
        install = {"name": "install", "image": self.one.image("shim"), "args": ["install", "/shim"], "volumeMounts": mounts}
        runs = {"command": ["/shim/danube-shim", "--version"], "volumeMounts": mounts}
        self.assertTrue(self.one.output("filled", runs, initContainers=[install], **volume).startswith("danube-shim "))

    def test_pods_reach_each_other_and_the_api_server_by_its_service(self) -> None:
        self.one.start("listens", {"command": ["sh", "-c", "echo hello | nc -l -p 8000"]})
        address = self.one.running("listens")["status"]["podIP"]
        self.assertEqual(self.one.output("asks", {"command": ["sh", "-c", f"until nc -w 2 {address} 8000; do :; done"]}), "hello\n")
        self.assertEqual(self.connects("asks-api", self.one.cluster.first_service, 443), "connected\n")

    def connects(self, name: str, address: str, port: int) -> str:
        """What a pod that opens one connection says of it."""
        program = "import socket, sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)\nexcept OSError as e: print(e)\nelse: print('connected')"
        return self.one.output(name, {"image": self.one.image("worker"), "command": ["python3", "-I", "-c", program, address, str(port)]})

    def test_there_is_no_way_out_of_the_cluster(self) -> None:
        with socket.create_server((self.one.cluster.gateway, 0)) as server:
            self.assertIn("refused", self.connects("to-the-machine", self.one.cluster.gateway, server.getsockname()[1]))
        self.assertIn("unreachable", self.connects("to-the-world", "192.0.2.1", 80))

    def test_a_client_that_takes_memory_without_end_is_ended_alone(self) -> None:
        eats = f"x = bytearray({control_groups.CLIENT_MEMORY * 2}); print('had it all')"
        done = self.one_client("python3", "-I", "-c", eats)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("had it all", done.stdout)
        self.assertEqual(self.one_client("python3", "-I", "-c", "print('still here')").stdout, "still here\n")

    def one_client(self, *words: str):
        return front_door("exec", self.one.name, *words)

    def test_a_part_that_is_killed_and_started_anew_finds_the_pods_as_they_were(self) -> None:
        self.one.start("survivor", {"command": ["sleep", "1000"]})
        before = self.one.running("survivor")["status"]["containerStatuses"][0]
        for part in ("kube-apiserver", "kubelet", "containerd"):
            for verb in ("kill", "start"):
                done = front_door(verb, self.one.name, part)
                self.assertEqual(done.returncode, 0, done.stderr)
        self.one.settled("survivor")
        done = self.one.kubectl("exec", "survivor", "--", "true")
        self.assertEqual(done.returncode, 0, done.stderr)
        after = self.one.api.ask("GET", f"{PODS}/survivor")["status"]["containerStatuses"][0]
        self.assertEqual((after["containerID"], after["restartCount"]), (before["containerID"], 0))
