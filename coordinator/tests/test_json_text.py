"""The SDK's own JSON against the standard library's."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from danube import _json_text

SOURCE = Path(__file__).resolve().parents[1] / "src"
TEXTS = ["", "a", "ü€😀", '"\\/', "\b\f\n\r\t", "\x00\x1f\x7f", "\u2028", "</script>"]


def value(choose: random.Random, depth: int = 0) -> Any:
    kind = choose.randrange(7 if depth < 4 else 5)
    plain: list[Any] = [None, True, False, choose.randrange(-(10**20), 10**20), choose.choice(TEXTS)]
    if kind < 5:
        return plain[kind]
    members = [value(choose, depth + 1) for _ in range(choose.randrange(4))]
    return members if kind == 5 else {choose.choice(TEXTS): member for member in members}


class JsonTest(unittest.TestCase):
    def test_what_is_written_is_what_is_read(self) -> None:
        seed = int(os.environ.get("DANUBE_SEED", random.randrange(1 << 32)))
        choose = random.Random(seed)
        for _ in range(2000):
            some = value(choose)
            text = _json_text.dump(some)
            self.assertEqual(text, json.dumps(some, ensure_ascii=False, separators=(",", ":")), f"DANUBE_SEED={seed}")
            self.assertEqual(_json_text.load(json.dumps(some, indent=1).encode()), some, f"DANUBE_SEED={seed}")

    def test_what_is_no_json_is_a_value_error(self) -> None:
        for text in [b"", b" ", b"{", b'{"a"}', b"[1,]", b"1 2", b"{}x", b"'a'", b"\xff", b'"\x00"', b"nul", b"\xef\xbb\xbf{}"]:
            with self.subTest(text=text), self.assertRaises(ValueError):
                _json_text.load(text)

    def test_what_does_not_travel_is_said(self) -> None:
        for some in [1.5, b"a", object(), [{"a": {1}}]]:
            with self.assertRaisesRegex(TypeError, "does not travel"):
                _json_text.dump(some)

    def test_a_python_without_the_part_in_c_is_served(self) -> None:
        code = (
            f"import sys; sys.path.append({str(SOURCE)!r}); sys.modules['_json'] = None; from danube import _json_text as j\n"
            "print(j.dump({'a': ['\\n', 1]}), j.load(b'{\"a\": [1]}'))\n"
            "try: j.load(b'x')\nexcept ValueError: print('no')"
        )
        ran = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True)
        self.assertEqual(ran.stdout.splitlines(), [r'{"a":["\n",1]}' + " {'a': [1]}", "no"], ran.stderr)


if __name__ == "__main__":
    unittest.main()
