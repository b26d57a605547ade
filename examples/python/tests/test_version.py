import doctest
import random
import unittest

import tidemark.ranges
import tidemark.version
from tidemark import Range, Version

# The order of precedence as semver.org gives it.
ORDER = [
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
    "1.0.0", "1.9.3", "1.10.0", "2.0.0",
]  # fmt: skip


def load_tests(_loader, tests, _pattern):
    for module in (tidemark.version, tidemark.ranges):
        tests.addTests(doctest.DocTestSuite(module))
    return tests


class VersionTest(unittest.TestCase):
    def test_order(self):
        versions = [Version.parse(text) for text in ORDER]
        shuffled = random.Random(7).sample(versions, len(versions))
        self.assertEqual(sorted(shuffled), versions)

    def test_text(self):
        for text in ORDER:
            self.assertEqual(str(Version.parse(text)), text)

    def test_what_is_no_version(self):
        for text in ["", "1", "1.2", "1.2.3.4", "01.2.3", "v1.2.3", "1.2.3-", "1.2.x"]:
            with self.assertRaises(ValueError, msg=text):
                Version.parse(text)

    def test_raised(self):
        version = Version.parse("1.2.3")
        self.assertEqual([str(version.raised(part)) for part in ("major", "minor", "patch")], ["2.0.0", "1.3.0", "1.2.4"])
        with self.assertRaises(ValueError):
            version.raised("epoch")


class RangeTest(unittest.TestCase):
    def test_contains(self):
        within = Range.parse(">=1.2, <2")
        found = [text for text in ["1.1.9", "1.2.0", "1.99.0", "2.0.0"] if Version.parse(text) in within]
        self.assertEqual(found, ["1.2.0", "1.99.0"])

    def test_what_is_no_range(self):
        for text in ["", "1.2", "~1.2", ">="]:
            with self.assertRaises(ValueError, msg=text):
                Range.parse(text)
