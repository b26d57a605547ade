"""Checks a step's arguments where they are written, and turns them into what travels (docs/protocol.md §6)."""

from __future__ import annotations

import os

from danube import _quantity
from danube._secret_file import SecretFile
from danube.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeGuard

_LONGEST_NAME = 200
_LONGEST_DEFAULT_NAME = 60
_MOST_RETRIES = 1000


def text(value: object, what: str) -> str:
    """A string that a program can be given."""
    if isinstance(value, bytes):
        raise TypeError(f"{what} must be a str, not bytes: decode it first")
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{what} has a NUL character, which no program can be given: {value[:80]!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} has a character that cannot be sent: {value[error.start]!r}") from None
    return value


def label(value: object, what: str) -> str:
    """A name that people will read: one line, not blank."""
    name = text(value, what)
    if not name.strip() or any(_is_control(character) for character in name):
        raise ValueError(f"{what} must be one line of visible characters, not {name[:80]!r}")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"{what} has {len(name)} characters; at most {_LONGEST_NAME} are shown")
    return name


def flag(value: object, what: str) -> bool:
    """True or False, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {value!r}")
    return value


def choice(value: object, what: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        words = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{what} must be {words}, not {value!r}")
    return value


def count(value: object, what: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{what} must be from {least} to {most}, not {value}")
    return value


def secret_name(value: object) -> str:
    """The name of a secret."""
    return label(value, "a secret's name")


def program(command: object, shell: object, errexit: object) -> dict[str, Any]:
    """The command: a script for a shell, or a program with its arguments."""
    shell = choice(shell, "shell=", ("sh", "bash"))
    errexit = flag(errexit, "errexit=")
    if isinstance(command, str):
        script = text(command, "the command")
        if not script.strip():
            raise ValueError("the command is empty")
        return {"script": script, "shell": shell, "errexit": errexit}
    if shell == "bash":
        raise ValueError('shell="bash" needs the command as one str; a list is executed without a shell')
    return {"argv": _argv(command)}


def _argv(command: object) -> list[str]:
    if isinstance(command, (bytes, bytearray)) or not _is_sequence(command):
        raise TypeError(f"the command must be a str or a list of str, not {type(command).__name__}")
    members: Iterable[object] = command
    argv = [text(member, f"argument {index} of the command") for index, member in enumerate(members)]
    if not argv or not argv[0]:
        raise ValueError("the command is empty: the first member of the list is the program")
    return argv


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return hasattr(value, "__len__") and hasattr(value, "__getitem__") and not hasattr(value, "keys")


def name(given: object, command: dict[str, Any]) -> str:
    """The step's name: as given, or the first telling line of its command."""
    if given is not None:
        return label(given, "name=")
    if "argv" in command:
        return _shortened(" ".join(_quoted(word) for word in command["argv"]), more=False)
    lines = [line.strip() for line in command["script"].splitlines()]
    telling = [line for line in lines if line and not line.startswith(("#", "set "))] or ["script"]
    return _shortened(telling[0], more=len(telling) > 1)


def _quoted(word: str) -> str:
    return word if word and not any(character.isspace() for character in word) else f"'{word}'"


def _shortened(line: str, *, more: bool) -> str:
    visible = "".join(" " if _is_control(character) else character for character in line).strip() or "script"
    if len(visible) > _LONGEST_DEFAULT_NAME or more:
        return visible[: _LONGEST_DEFAULT_NAME - 2].rstrip() + " …"
    return visible


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f"


def env(variables: object) -> dict[str, str]:
    """Environment variables, each with a name that a shell can read."""
    if variables is None:
        return {}
    pairs = _pairs(variables, "env=", 'a dictionary such as {"NAME": "value"}')
    return {_variable(key): text(value, f"env[{key!r}]") for key, value in pairs}


def _pairs(value: object, what: str, wanted: str) -> Iterable[tuple[object, object]]:
    if not hasattr(value, "keys") or not hasattr(value, "__getitem__"):
        raise TypeError(f"{what} must be {wanted}, not {type(value).__name__}")
    mapping: Any = value
    return [(key, mapping[key]) for key in mapping.keys()]


def _variable(name: object) -> str:
    variable = text(name, "the name of an environment variable")
    if not variable.isascii() or not variable.isidentifier():
        hint = "use letters, digits and _, not starting with a digit"
        raise ValueError(f"{variable!r} is not a name for an environment variable: {hint}")
    return variable


def secrets(wanted: object, plain: dict[str, str]) -> dict[str, dict[str, str]]:
    """Variable to secret, by value and by file."""
    values: dict[str, str] = {}
    files: dict[str, str] = {}
    for variable, secret in _secret_pairs(wanted):
        variable = _variable(variable)
        if variable in plain:
            raise ValueError(f"{variable} is in env= and in secrets=: keep one")
        if isinstance(secret, SecretFile):
            files[variable] = secret.name
        else:
            values[variable] = secret_name(secret)
    return {"secrets": values, "secret_files": files}


def _secret_pairs(wanted: object) -> Iterable[tuple[object, object]]:
    form = 'a list such as ["NAME"] or a dictionary such as {"VARIABLE": "NAME"}'
    if isinstance(wanted, (str, bytes, SecretFile)):
        raise TypeError(f"secrets= must be {form}, not {wanted!r}")
    if not _is_sequence(wanted):
        return _pairs(wanted, "secrets=", form)
    return [(member.name if isinstance(member, SecretFile) else member, member) for member in wanted]


def place(image: object, cwd: object) -> dict[str, str]:
    """Where the step runs: its image and its working directory, those that are given."""
    where: dict[str, str] = {}
    if image is not None:
        where["image"] = label(image, "image=")
    if cwd is not None:
        where["cwd"] = text(cwd if isinstance(cwd, str) else _path(cwd), "cwd=")
        if not where["cwd"]:
            raise ValueError('cwd= is empty; leave it out, or write "." for the workspace')
        if _leaves(where["cwd"]):
            raise UsageError(f"cwd={where['cwd']!r} leaves the workspace: write a path below it, or an absolute one")
    return where


def _leaves(path: str) -> bool:
    """Whether a relative path leads out of the folder it starts in, by its letters."""
    return os.path.normpath(path).split("/")[0] == ".."


def _path(value: object) -> object:
    if not _is_path(value):
        raise TypeError(f"cwd= must be a str or a path, not {type(value).__name__}")
    return os.fspath(value)


def _is_path(value: object) -> TypeGuard[os.PathLike[str]]:
    return hasattr(value, "__fspath__")


def limits(timeout: object, memory: object) -> dict[str, int]:
    """The step's limits, those that are given."""
    given: dict[str, int] = {}
    if timeout is not None:
        given["timeout_ms"] = _quantity.milliseconds(timeout, "timeout=")
    if memory is not None:
        given["memory_bytes"] = _quantity.size(memory, "memory=")
    return given


def streams(capture: object, stderr: object, tty: object) -> dict[str, bool]:
    """What becomes of the step's output."""
    separate = choice(stderr, "stderr=", ("merge", "separate")) == "separate"
    if flag(tty, "tty=") and separate:
        raise ValueError('tty=True has one stream for everything; leave out stderr="separate"')
    return {"capture": flag(capture, "capture="), "separate": separate, "tty": bool(tty)}


def attempts(retries: object) -> int:
    """How often a step may be tried."""
    return count(retries, "retries=", 0, _MOST_RETRIES) + 1
