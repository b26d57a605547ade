import contextlib
import io
import unittest

from tidemark.__main__ import main


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return code, out.getvalue(), err.getvalue()


class CommandTest(unittest.TestCase):
    def test_max(self):
        self.assertEqual(run("max", "1.9.3", "1.10.0"), (0, "1.10.0\n", ""))

    def test_next(self):
        self.assertEqual(run("next", "patch", "1.9.3"), (0, "1.9.4\n", ""))

    def test_errors(self):
        self.assertEqual(run("max", "x")[0], 1)
        self.assertEqual(run("max")[0], 2)
