"""A single version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_NUMBER = r"(0|[1-9]\d*)"
_PATTERN = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")


@total_ordering
@dataclass(frozen=True)
class Version:
    """A version such as `1.4.0-rc.1`.

    >>> Version.parse("1.0.0-rc.1") < Version.parse("1.0.0")
    True
    """

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Version:
        """Reads a version; what follows a `+` does not count.

        >>> Version.parse("1.2.3+linux")
        Version(major=1, minor=2, patch=3, pre=())
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a version such as 1.2.3 or 1.2.3-rc.1")
        major, minor, patch, pre, _ = match.groups()
        return cls(int(major), int(minor), int(patch), tuple(pre.split(".")) if pre else ())

    def raised(self, part: str) -> Version:
        """The next major, minor or patch version.

        >>> str(Version.parse("1.2.3-rc.1").raised("minor"))
        '1.3.0'
        """
        match part:
            case "major":
                return Version(self.major + 1, 0, 0)
            case "minor":
                return Version(self.major, self.minor + 1, 0)
            case "patch":
                return Version(self.major, self.minor, self.patch + 1)
        raise ValueError(f"{part!r} is not one of major, minor, patch")

    def __lt__(self, other: Version) -> bool:
        return self._order() < other._order()

    def __str__(self) -> str:
        number = f"{self.major}.{self.minor}.{self.patch}"
        return f"{number}-{'.'.join(self.pre)}" if self.pre else number

    def _order(self) -> tuple[object, ...]:
        # A version is greater than its own pre-releases; numbers are less than words.
        words = tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in self.pre)
        return (self.major, self.minor, self.patch, not self.pre, words)
