"""artifacts.upload, against a master on a real socket."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from danube import ArtifactNotFound, UsageError, artifacts
from tests.master import Answer, Master, Params


def kept(method: str, params: Params) -> Answer:
    assert method == "artifacts.upload", method
    return {"ok": {"name": params["name"], "size": 3, "sha256": "ab" * 32}}


class UploadTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.workspace = Path(folder.name)
        for name in ("a.whl", "b.whl", "docs/index.html", "docs/.nojekyll"):
            path = self.workspace / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        (self.workspace / "link.whl").symlink_to("/etc/passwd")
        (self.workspace / "elsewhere").symlink_to("/etc")
        patched = mock.patch.object(artifacts, "ctx", mock.Mock(workspace=folder.name))
        patched.start()
        self.addCleanup(patched.stop)

    def upload(self, *patterns: Any, **options: Any) -> list[str]:
        with Master(kept) as master, mock.patch.dict(os.environ, master.environment):
            return [artifact.name for artifact in artifacts.upload(*patterns, **options)]

    def test_patterns_folders_and_files(self) -> None:
        self.assertEqual(self.upload("*.whl"), ["a.whl", "b.whl"])
        self.assertEqual(self.upload("docs"), ["docs/.nojekyll", "docs/index.html"])
        self.assertEqual(self.upload("**/*.html", "./a.whl"), ["a.whl", "docs/index.html"])
        self.assertEqual(self.upload("a.*", "*.whl"), ["a.whl", "b.whl"], "each once")
        self.assertEqual(self.upload("a.whl", name="app.whl"), ["app.whl"])

    def test_links_are_not_followed(self) -> None:
        for pattern in ("link.whl", "elsewhere"):
            with self.assertRaisesRegex(ArtifactNotFound, pattern):
                self.upload(pattern)

    def test_what_is_missing(self) -> None:
        self.assertEqual(self.upload("*.zip", if_missing="ignore"), [])
        with self.assertRaisesRegex(ArtifactNotFound, r"'\*\.zip'"):
            self.upload("a.whl", "*.zip")

    def test_more_files_than_a_job_keeps(self) -> None:
        with mock.patch.object(artifacts, "_MOST", 3), self.assertRaisesRegex(UsageError, "4 files match, and a job keeps at most 3"):
            self.upload("*.whl", "docs")

    def test_wrong_arguments(self) -> None:
        wrong: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
            ((), {}, ValueError, "nothing to upload"),
            (("/etc/passwd",), {}, ValueError, "not below the workspace"),
            (("../x",), {}, ValueError, "not below the workspace"),
            (("a/../../x",), {}, ValueError, "not below the workspace"),
            (("",), {}, ValueError, "not below the workspace"),
            ((7,), {}, TypeError, "a pattern must be a str"),
            (("*.whl",), {"name": "one"}, UsageError, "2 match"),
            (("a.whl",), {"if_missing": "warn"}, ValueError, "if_missing="),
        ]
        for patterns, options, error, words in wrong:
            with self.subTest(patterns), self.assertRaisesRegex(error, words):
                self.upload(*patterns, **options)


if __name__ == "__main__":
    unittest.main()


class DownloadTest(unittest.TestCase):
    def download(self, *arguments: Any, answer: Answer | None = None) -> list[Params]:
        asked: list[Params] = []

        def serve(method: str, params: Params) -> Answer:
            assert method == "artifacts.download", method
            asked.append({"name": params["name"], "path": params["path"]})
            return answer or {"ok": {"name": params["name"], "size": 3, "sha256": "ab" * 32}}

        with Master(serve) as master, mock.patch.dict(os.environ, master.environment):
            artifact = artifacts.download(*arguments)
        self.assertEqual((artifact.name, artifact.size), (arguments[0], 3))
        return asked

    def test_a_path_is_the_name_unless_given(self) -> None:
        self.assertEqual(self.download("dist/a.whl"), [{"name": "dist/a.whl", "path": "dist/a.whl"}])
        self.assertEqual(self.download("dist/a.whl", "./b//c.whl"), [{"name": "dist/a.whl", "path": "b/c.whl"}])

    def test_what_is_missing(self) -> None:
        missing: Answer = {"error": {"code": "artifact_not_found", "message": "the job keeps no artifact `x`"}}
        with self.assertRaisesRegex(ArtifactNotFound, "keeps no artifact `x`"):
            self.download("x", answer=missing)

    def test_wrong_arguments(self) -> None:
        for path in ("/etc/passwd", "../x", "a/../../x", "", ".", "..", "a/"):
            with self.subTest(path), self.assertRaisesRegex(ValueError, "is no file below the workspace"):
                self.download("x", path)
        with self.assertRaisesRegex(TypeError, "name must be a str"):
            self.download(7)
        with self.assertRaisesRegex(TypeError, "a path must be a str"):
            self.download("x", 7)
