"""The package as it is shipped: its documentation, its weight, its wheel."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import types
import unittest
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import danube
from danube import ctx, pipeline, secrets, service, step
from tests.master import REPOSITORY, wire_fields

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = REPOSITORY / "docs" / "sdk.md"


def public() -> dict[str, Any]:
    """Every public name that is documented, as users write it."""
    names: dict[str, Any] = {}
    for name in danube.__all__:
        value = getattr(danube, name)
        if isinstance(value, types.ModuleType):
            names |= {f"{name}.{member}": getattr(value, member) for member in value.__all__}
        elif not name.startswith("_"):
            names[name] = value
    attributes = [name for name in vars(danube.Context) if not name.startswith("_")]
    return names | {f"ctx.{name}": getattr(danube.Context, name) for name in attributes}


class DocumentationTest(unittest.TestCase):
    def test_every_public_name_is_in_the_reference(self) -> None:
        reference = REFERENCE.read_text()
        for name in public():
            self.assertIn(f"`{name}", reference, f"{name} is missing in docs/sdk.md")

    def test_the_reference_names_nothing_that_is_not_there(self) -> None:
        for name in re.findall(r"^##+ `([\w.]+)", REFERENCE.read_text(), re.MULTILINE):
            self.assertIn(name, public())

    def test_the_reference_has_every_argument(self) -> None:
        reference = REFERENCE.read_text()
        for function in [step.run, step.parallel, service.start, pipeline]:
            for argument in inspect.signature(function).parameters:
                if argument != "function":
                    self.assertIn(f"`{argument}", reference)

    def test_every_public_name_has_a_docstring_and_functions_an_example(self) -> None:
        for name, value in public().items():
            if name == "ParamValue":
                continue
            self.assertTrue(inspect.getdoc(value), name)
            if inspect.isfunction(value):
                for part in ["Args:", "Returns:", "Raises:", "Example:"]:
                    if not (name == "step.call" and part == "Args:"):
                        self.assertIn(part, inspect.getdoc(value) or "", name)

    def test_what_the_reference_shows_is_python(self) -> None:
        for text in [REFERENCE.read_text(), (PROJECT / "README.md").read_text()]:
            for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
                compile(code, "docs/sdk.md", "exec")

    def test_the_context_has_every_field_that_the_engine_tells(self) -> None:
        theirs = wire_fields("Context") - {"entry_point", "function", "cleanup_timeout_s"}
        self.assertEqual({name[4:] for name in public() if name.startswith("ctx.")}, theirs)

    def test_the_decorator_has_every_keyword_that_is_read_statically(self) -> None:
        source = (REPOSITORY / "crates/danube-config/src/danubefile/keywords.rs").read_text()
        keywords = re.findall(r'^        name: "(\w+)",', source, re.MULTILINE)
        self.assertEqual(list(inspect.signature(pipeline).parameters)[1:], keywords)

    def test_the_version_is_one(self) -> None:
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        self.assertEqual(danube.__version__, project["version"])


class PlainTest(unittest.TestCase):
    def test_a_pipeline_is_a_plain_function(self) -> None:
        @pipeline
        def bare() -> int:
            return 1

        @pipeline(name="n", timeout="10m", params={"a": 1})
        def with_arguments(a: int = 2) -> int:
            return a

        self.assertEqual((bare(), with_arguments(), with_arguments(a=3)), (1, 2, 3))
        anything: Any = pipeline
        with self.assertRaises(TypeError):
            anything(nmae="x")
        with self.assertRaisesRegex(TypeError, "must decorate a function"):
            anything(7)

    def test_outside_of_a_job_everything_says_so(self) -> None:
        with mock.patch.dict(os.environ):
            for name in ["DANUBE_CONTEXT", "DANUBE_SOCKET"]:
                os.environ.pop(name, None)
            self.assertEqual(repr(danube.Context()), "<danube.ctx>")
            with self.assertRaisesRegex(danube.NotInJob, "danube run"):
                print(ctx.branch)
            with self.assertRaisesRegex(danube.NotInJob, "danube run"):
                secrets.get("A")

    def test_a_broken_context_is_danubes_fault(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for content in ["", "[]", "{}", "[" * 100_000, "\x00"]:
                path = Path(folder, "context.json")
                path.write_text(content)
                with mock.patch.dict(os.environ, {"DANUBE_CONTEXT": str(path)}), self.assertRaises(danube.InfraError):
                    print(danube.Context().branch)
            path.write_text('{"params": {}}')
            with (
                mock.patch.dict(os.environ, {"DANUBE_CONTEXT": str(path)}),
                self.assertRaisesRegex(danube.InfraError, "`branch`"),
            ):
                print(danube.Context().branch)


class WeightTest(unittest.TestCase):
    def test_importing_loads_nothing_heavy(self) -> None:
        """Modules are counted here, because their number does not depend on the machine; benches measure time."""
        code = f"import sys; sys.path.append({str(PROJECT / 'src')!r}); import danube; print(*sys.modules)"
        ran = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True, check=True)
        heavy = {"typing", "dataclasses", "json", "re", "socket", "enum", "threading", "pathlib", "inspect", "collections"}
        self.assertEqual(heavy & set(ran.stdout.split()), set())


class WheelTest(unittest.TestCase):
    def build(self, folder: str, name: str) -> Path:
        """Builds in a process of its own, in the project's folder, as pip does."""
        code = f"import build_backend; print(build_backend.{name}({folder!r}))"
        ran = subprocess.run([sys.executable, "-B", "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
        return Path(folder, ran.stdout.strip())

    def test_two_wheels_are_identical_and_whole(self) -> None:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            wheels = [self.build(folder, "build_wheel") for folder in (first, second)]
            self.assertEqual(wheels[0].read_bytes(), wheels[1].read_bytes())
            with zipfile.ZipFile(wheels[0]) as wheel:
                self.assertIsNone(wheel.testzip())
                names = set(wheel.namelist())
        modules = {str(path.relative_to(PROJECT / "src")) for path in (PROJECT / "src" / "danube").rglob("*.py")}
        about = {f"danube_sdk-{danube.__version__}.dist-info/{name}" for name in ["METADATA", "WHEEL", "RECORD"]}
        self.assertEqual(names, modules | about | {"danube/py.typed"})

    def test_pip_installs_it_without_a_network(self) -> None:
        if importlib.util.find_spec("pip") is None:
            self.skipTest("this Python has no pip")
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-cache-dir", "--target", folder, PROJECT]
            subprocess.run(command, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
            code = f"import sys; sys.path.insert(0, {folder!r}); import danube; print(danube.__file__, danube.__version__)"
            ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
            self.assertEqual(ran.stdout, f"{folder}/danube/__init__.py {danube.__version__}\n")


if __name__ == "__main__":
    unittest.main()
