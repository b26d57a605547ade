"""The mark that makes a step find a secret in a file."""

from __future__ import annotations


class SecretFile:
    """A secret to be put into a file; made by `secrets.file`.

    Attributes:
        name: The secret's name.
    """

    __slots__ = ("name",)

    name: str

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"secrets.file({self.name!r})"
