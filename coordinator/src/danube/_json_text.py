"""JSON without the package `json`, whose import of regular expressions costs more than everything else a job's Python does.

The parser is the one in C that `json` itself uses; a Python without it gets `json`.
"""

from __future__ import annotations

TYPE_CHECKING = False


class _Plain:
    """What the scanner asks for: JSON as it is, with nothing made of it."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_constant = float
    parse_float = float
    parse_int = int


if TYPE_CHECKING:
    from typing import TypeGuard

    def _quote(text: str, /) -> str: ...
    def _scan(text: str, start: int, /) -> tuple[object, int]: ...
else:
    try:
        from _json import encode_basestring as _quote
        from _json import make_scanner

        _scan = make_scanner(_Plain)
    except ImportError:
        from json.decoder import JSONDecoder
        from json.encoder import encode_basestring as _quote

        _scan = JSONDecoder().scan_once


def load(data: bytes) -> object:
    """Reads one JSON value.

    Raises:
        ValueError: It is none, or is not UTF-8.
        RecursionError: It nests too deep.
    """
    text = data.decode().strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    if end != len(text):
        raise ValueError(f"more than one JSON value: character {end}")
    return value


def dump(value: object) -> str:
    """Writes strings, whole numbers, True, False, None, lists and dictionaries."""
    if isinstance(value, str):
        return _quote(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if _is_list(value):
        return f"[{','.join(map(dump, value))}]"
    if _is_object(value):
        return f"{{{','.join(f'{dump(key)}:{dump(member)}' for key, member in value.items())}}}"
    raise TypeError(f"{type(value).__name__} does not travel")


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)
