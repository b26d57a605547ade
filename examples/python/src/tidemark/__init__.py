"""Semantic versions (semver.org): read, compare, raise, and match them against ranges."""

from tidemark.ranges import Range
from tidemark.version import Version

__all__ = ["Range", "Version"]
