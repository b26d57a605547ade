"""Times and sizes as people write them: `"1h30m"`, `"512Mi"`. The same rules as for the decorator's literals."""

from __future__ import annotations

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_LONGEST = 30 * 24 * 3600
_BYTES = {
    "": 1, "B": 1,
    "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_LEAST_BYTES = 1 << 20
_MOST_BYTES = 1 << 50


def milliseconds(value: object, what: str) -> int:
    """A time in milliseconds: a number of seconds, or `"90s"`, `"10m"`, `"1h30m"`, `"2d"`."""
    wanted = f'{what} must be a number of seconds or a text such as "10m" or "1h30m"'
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{wanted}, not {value!r}")
    seconds = _seconds(value) if isinstance(value, str) else value
    # The order of the comparison refuses NaN too.
    if seconds is None or not 0 < seconds <= _LONGEST:
        raise ValueError(f"{wanted}, above 0 and at most 30 days, not {value!r}")
    return max(1, round(seconds * 1000))


def _seconds(text: str) -> int | None:
    total, digits = 0, ""
    for character in text.replace(" ", ""):
        if character in "0123456789":
            digits += character
        elif digits and character in _SECONDS:
            total, digits = total + int(digits[:12]) * _SECONDS[character], ""
        else:
            return None
    return None if digits else total


def size(value: object, what: str) -> int:
    """A size in bytes: a number, or `"512Mi"`, `"2G"`."""
    wanted = f'{what} must be a number of bytes or a text such as "512Mi" or "2G"'
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{wanted}, not {value!r}")
    count = _count(value.strip()) if isinstance(value, str) else value
    if count is None or not _LEAST_BYTES <= count <= _MOST_BYTES:
        raise ValueError(f"{wanted}, at least 1Mi, not {value!r}")
    return count


def _count(text: str) -> int | None:
    number = text.rstrip("KMGTkiB ")
    whole, point, part = number.partition(".")
    unit = _BYTES.get(text[len(number) :].strip())
    digits = all(character in "0123456789" for character in whole + part)
    if unit is None or not digits or not whole or bool(point) != bool(part) or len(number) > 20:
        return None
    divisor: int = 10 ** len(part)
    return int(whole + part) * unit // divisor
