"""Ranges of versions: `>=1.2, <2`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from tidemark.version import Version

_COMPARE: dict[str, Callable[[Version, Version], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_PART = re.compile(r"(>=|<=|>|<|=)\s*(\S+)")


@dataclass(frozen=True)
class Range:
    """Versions that meet every condition.

    >>> Version.parse("2.0.0") in Range.parse(">=1.2, <2")
    False
    """

    conditions: tuple[tuple[str, Version], ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """Reads conditions with commas between them; `1` and `1.2` stand for `1.0.0` and `1.2.0`."""
        return cls(tuple(_condition(part.strip()) for part in text.split(",")))

    def __contains__(self, version: Version) -> bool:
        return all(_COMPARE[sign](version, bound) for sign, bound in self.conditions)


def _condition(part: str) -> tuple[str, Version]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{part!r} is not a condition such as >=1.2")
    sign, bound = match.groups()
    return sign, Version.parse(bound + ".0" * (2 - bound.count(".")) if "-" not in bound else bound)
