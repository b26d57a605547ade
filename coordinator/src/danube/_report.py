"""An exception as the user reads it: the frames of the user's own code, and nothing that a hostile or broken exception
could make this fail with.

    Traceback (most recent call last):
      danubefile.py:12, in tests
        step.run("make test")
    StepFailed: step 3 `make test` failed with exit code 2 (danubefile.py:12). ...
"""

from __future__ import annotations

from danube import _source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import TypeGuard

_MOST_FRAMES = 40
_MOST_MEMBERS = 100
_DEEPEST = 10
_LONGEST_MESSAGE = 10_000


def report(error: BaseException) -> str:
    """The whole report, with what led to the exception and the members of a group, each exception once."""
    return "\n".join(_Report().chain(error, 0)) + "\n"


def where(error: BaseException) -> str:
    """` at danubefile.py:12, in tests`: the innermost line of the user's code, or nothing."""
    places = [place for place, _ in _frames(error.__traceback__)]
    return f" at {places[-1]}" if places else ""


class _Report:
    def __init__(self) -> None:
        self._seen: dict[int, BaseException] = {}

    def chain(self, error: BaseException, depth: int) -> Iterator[str]:
        """What led to the exception first, as Python does."""
        if id(error) in self._seen or depth > _DEEPEST:
            yield f"{_headline(error)} (see above)" if depth <= _DEEPEST else "..."
            return
        self._seen[id(error)] = error
        before, words = _before(error)
        if before is not None and id(before) not in self._seen:
            yield from self.chain(before, depth + 1)
            yield f"\n{words}\n"
        yield from self._one(error, depth)

    def _one(self, error: BaseException, depth: int) -> Iterator[str]:
        frames = list(_shown(error.__traceback__))
        if isinstance(error, SyntaxError):
            frames += _syntax(error)
        if frames:
            yield "Traceback (most recent call last):"
            yield from (f"  {line}" for line in frames)
        yield _headline(error)
        yield from _notes(error)
        if _is_group(error):
            yield from self._members(error.exceptions, depth)

    def _members(self, members: tuple[BaseException, ...], depth: int) -> Iterator[str]:
        for number, member in enumerate(members, start=1):
            if number > _MOST_MEMBERS:
                yield f"  and {len(members) - _MOST_MEMBERS} more"
                return
            lines = "\n".join(self.chain(member, depth + 1)).split("\n")
            yield f"  {number}. {lines[0]}"
            yield from (f"     {line}" for line in lines[1:])


def _before(error: BaseException) -> tuple[BaseException | None, str]:
    if error.__cause__ is not None:
        return error.__cause__, "That caused this:"
    if error.__suppress_context__:
        return None, ""
    return error.__context__, "While that was handled, this was raised:"


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, str]]:
    """The places in the user's code, outermost first, with the file of each."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        path = _source.relative(code.co_filename)
        if path is not None:
            function = "" if code.co_name == "<module>" else f", in {code.co_name}"
            yield f"{path}:{traceback.tb_lineno}{function}", code.co_filename
        traceback = traceback.tb_next


def _shown(traceback: TracebackType | None) -> Iterator[str]:
    frames = list(_frames(traceback))
    omitted = len(frames) - _MOST_FRAMES
    for index, (place, filename) in enumerate(frames):
        if omitted > 0 and index == _MOST_FRAMES // 2:
            yield f"... {omitted} frames ..."
        if omitted > 0 and _MOST_FRAMES // 2 <= index < _MOST_FRAMES // 2 + omitted:
            continue
        yield place
        line = _line(filename, int(place.partition(",")[0].rpartition(":")[2]))
        if line:
            yield f"  {line}"


def _line(filename: str, number: int) -> str:
    """A line of the source: from the read-only copy, so what is shown is what ran."""
    try:
        with open(filename, "rb") as file:
            lines = file.read().decode(errors="replace").splitlines()
        return lines[number - 1].strip()[:200]
    except (OSError, IndexError):
        return ""


def _syntax(error: SyntaxError) -> list[str]:
    """The broken line with a caret below what is wrong."""
    filename = error.filename or "?"
    lines = [f"{_source.relative(filename) or filename}:{error.lineno or 1}"]
    text = (error.text or "").rstrip("\r\n")
    shown = text.lstrip(" \t\f\ufeff")
    if shown:
        start = max((error.offset or 1) - 1 - (len(text) - len(shown)), 0)
        same_line = error.end_lineno == error.lineno and (error.end_offset or 0) > (error.offset or 0)
        width = (error.end_offset or 0) - (error.offset or 0) if same_line else 1
        lines += [f"  {shown[:200]}", f"  {' ' * min(start, 200)}{'^' * max(min(width, 200), 1)}"]
    return lines


def _headline(error: BaseException) -> str:
    name = _name(type(error))
    message = _message(error)
    return f"{name}: {message}" if message else name


def _name(kind: type[BaseException]) -> str:
    module = kind.__module__
    plain = module in ("builtins", "danubefile", "__main__") or module.partition(".")[0] == "danube"
    return kind.__qualname__ if plain else f"{module}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        if isinstance(error, SyntaxError):
            return str(error.msg)
        if _is_group(error):
            return str(error.message)
        message = str(error)
    except BaseException as broken:  # noqa: BLE001: the user's __str__ may raise anything
        return f"(its text cannot be shown: {type(broken).__name__})"
    return message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + " ..."


def _notes(error: BaseException) -> Iterator[str]:
    notes: object = getattr(error, "__notes__", None)
    if _is_list(notes):
        yield from (note for note in notes if isinstance(note, str))


def _is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
