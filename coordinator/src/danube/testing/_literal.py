"""Values that can be read without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_LARGEST = (1 << 63) - 1
_KINDS: list[tuple[tuple[type[ast.expr], ...], str]] = [
    ((ast.Call,), "a call"),
    ((ast.JoinedStr,), "an f-string"),
    ((ast.Attribute,), "an attribute"),
    ((ast.Starred,), "an unpacking"),
    ((ast.ListComp, ast.SetComp, ast.DictComp), "a comprehension"),
]


@dataclass
class Wrong:
    """A mistake at a place of the source; None is the whole file."""

    node: ast.expr | ast.arg | ast.keyword | None
    message: str
    hint: str = ""
    is_decorator: bool = False
    """Its `@` stands before the node."""

    @property
    def place(self) -> tuple[int, int]:
        return (0, 0) if self.node is None else (self.node.lineno, self.node.col_offset)

    def shown(self, path: str, source: str) -> str:
        """`danubefile.py:5:19: …`, the line, and what would be right."""
        hint = f"\n  = {self.hint}" if self.hint else ""
        if self.node is None:
            return f"{path}: {self.message}{hint}"
        line = source.splitlines()[self.node.lineno - 1]
        before = line.encode()[: self.node.col_offset].decode(errors="replace")
        place = f"{path}:{self.node.lineno}:{len(before) + (0 if self.is_decorator else 1)}"
        return f"{place}: {self.message}\n  {self.node.lineno} | {line.strip()}{hint}"


def literal(node: ast.expr) -> object:
    """The value of an expression that has no `mistakes`."""
    return ast.literal_eval(node)


def mistakes(node: ast.expr) -> list[ast.expr]:
    """Every part of an expression that is not a literal."""
    return list(_mistakes(node))


def _mistakes(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        for member in node.elts:
            yield from _mistakes(member)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield from [value] if key is None else [*_mistakes(key), *_mistakes(value)]
    elif not _is_scalar(node):
        yield node


def _is_scalar(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant) and type(node.operand.value) in (int, float)
    if not isinstance(node, ast.Constant):
        return False
    value = node.value
    small = not isinstance(value, int) or abs(value) <= _LARGEST
    return small and (value is None or isinstance(value, (str, bool, int, float)))


def not_literal(node: ast.expr) -> Wrong:
    """The mistake of writing something else."""
    what = next((words for kinds, words in _KINDS if isinstance(node, kinds)), "an expression")
    if isinstance(node, ast.Name):
        what = f"the name `{node.id}`"
    elif isinstance(node, ast.Constant):
        what = "bytes" if isinstance(node.value, bytes) else "a number that is too large"
    hint = "the file is read without being run, so write the value itself"
    return Wrong(node, f"values in the decorator must be literals, not {what}", hint)
