"""What a danubefile says about itself, read by parsing it, as `danube run` does before there is a job.

The words are those of `danube run`; tests compare the two. It checks more than this: the values of `triggers`,
`images`, `egress` and `cpu` are only known to be literals here.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from danube import _quantity
from danube._pipeline import pipeline
from danube.testing._literal import Wrong, literal, mistakes, not_literal
from danube.testing._params import Param, params
from danube.testing._refused import Refused

_KEYWORDS = [name for name in inspect.signature(pipeline).parameters if name != "function"]
_READ_HERE = ("pipeline", "step", "service")
_LONGEST_FILE = 1 << 20
_EXAMPLE = 'params={"name": "default"}'


@dataclass
class Declared:
    """The decorator's keywords, those that matter to a test."""

    name: str
    image: str = "host"
    params: dict[str, Param] = field(default_factory=dict[str, Param])
    timeout: float | None = None
    cleanup_timeout: float = 60.0
    memory: int | None = None
    concurrency: str = ""
    cancel_superseded: bool = False


def read(path: str, source: bytes) -> Declared:
    """Reads the metadata. `path` names the file in errors.

    Raises:
        Refused: With every mistake of the file, each with its place.
    """
    tree = _parsed(path, source)
    wrongs: list[Wrong] = []
    declared = _Reader(tree, wrongs).read()
    if wrongs or declared is None:
        text = source.decode("utf-8-sig")
        raise Refused([wrong.shown(path, text) for wrong in sorted(wrongs, key=lambda wrong: wrong.place)])
    return declared


def _parsed(path: str, source: bytes) -> ast.Module:
    if len(source) > _LONGEST_FILE:
        raise Refused([f"{path}: the file has {len(source)} bytes; at most {_LONGEST_FILE} are read"])
    try:
        return ast.parse(source.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refused([f"{path}: the byte {source[error.start]:#04x} is not UTF-8"]) from None
    except SyntaxError as error:
        place = f"{path}:{error.lineno or 1}:{error.offset or 1}"
        raise Refused([f"{place}: this is not valid Python: {error.msg}"]) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Refused([f"{path}: cannot be read: {error}"]) from None


class _Names:
    """What the file calls Danube's things: `from danube import pipeline as p`, `import danube as d`."""

    def __init__(self, tree: ast.Module) -> None:
        self.modules: set[str] = set()
        self.members: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._module(node)
            elif isinstance(node, ast.ImportFrom) and node.module == "danube" and node.level == 0:
                self._members(node)

    def _module(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname and alias.name == "danube":
                self.modules.add(alias.asname)
            elif not alias.asname and alias.name.partition(".")[0] == "danube":
                self.modules.add("danube")

    def _members(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            known = _READ_HERE if alias.name == "*" else (alias.name,)
            self.members.update({alias.asname or name: name for name in known})

    def is_pipeline(self, decorator: ast.expr) -> bool:
        callee = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(callee, ast.Name):
            return self.members.get(callee.id) == "pipeline"
        if isinstance(callee, ast.Attribute) and isinstance(callee.value, ast.Name):
            return callee.attr == "pipeline" and callee.value.id in self.modules
        return False


_Decorated = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class _Reader:
    def __init__(self, tree: ast.Module, wrongs: list[Wrong]) -> None:
        self._tree = tree
        self._names = _Names(tree)
        self._wrongs = wrongs

    def read(self) -> Declared | None:
        found = list(self._decorated())
        if len(found) != 1:
            self._not_one([decorator for decorator, _ in found])
            return None
        decorator, function = found[0]
        if not self._callable(decorator, function):
            return None
        declared = Declared(name=function.name)
        if isinstance(decorator, ast.Call):
            self._arguments(decorator, declared)
        if not self._wrongs and isinstance(function, ast.FunctionDef):
            self._function_arguments(function.args, declared)
        return declared

    def _decorated(self) -> Iterator[tuple[ast.expr, _Decorated]]:
        for node in ast.walk(self._tree):
            if isinstance(node, _Decorated):
                yield from ((one, node) for one in node.decorator_list if self._names.is_pipeline(one))

    def _wrong(self, node: ast.expr | ast.arg | ast.keyword | None, message: str, hint: str = "") -> None:
        self._wrongs.append(Wrong(node, message, hint))

    def _decorator_wrong(self, node: ast.expr, message: str, hint: str) -> None:
        self._wrongs.append(Wrong(node, message, hint, is_decorator=True))

    def _not_one(self, found: Sequence[ast.expr]) -> None:
        found = sorted(found, key=lambda decorator: decorator.lineno)
        for extra in found[1:]:
            first = found[0].lineno
            self._decorator_wrong(extra, f"a danubefile has one `@pipeline`; the first is on line {first}", "keep one")
        if not found and not self._names.modules and not self._names.members:
            self._wrong(None, "no function is decorated with `@pipeline`", "add `from danube import pipeline, step`")
        elif not found:
            self._wrong(None, "no function is decorated with `@pipeline`")

    def _callable(self, decorator: ast.expr, function: _Decorated) -> bool:
        if isinstance(function, ast.ClassDef):
            self._decorator_wrong(decorator, "`@pipeline` must decorate a function, not a class", "write `def`")
        elif function not in self._tree.body:
            self._decorator_wrong(decorator, "`@pipeline` must decorate a function at the top level of the file", "move it there")
        elif isinstance(function, ast.AsyncFunctionDef):
            self._wrong(decorator, "the pipeline's function must not be `async`", "write `def`")
        return not self._wrongs

    def _function_arguments(self, arguments: ast.arguments, declared: Declared) -> None:
        by_position = [*arguments.posonlyargs, *arguments.args]
        needed = by_position[: len(by_position) - len(arguments.defaults)]
        needed += [one for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value is None]
        for argument in needed:
            if argument in arguments.posonlyargs:
                self._wrong(argument, f"the argument `{argument.arg}` is given by name", "remove the `/`")
            elif argument.arg not in declared.params:
                message = f"the pipeline has no parameter `{argument.arg}` to give to its function"
                self._wrong(argument, message, f"add it to the decorator, for example {_EXAMPLE}")

    def _arguments(self, call: ast.Call, declared: Declared) -> None:
        for positional in call.args:
            self._wrong(positional, "`@pipeline` takes keywords only", 'for example @pipeline(name="tests")')
        for keyword in call.keywords:
            if keyword.arg is None:
                self._wrong(keyword, "`**` cannot be read without running the file", "write the keywords themselves")
            elif keyword.arg not in _KEYWORDS:
                near = get_close_matches(keyword.arg, _KEYWORDS, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(_KEYWORDS)}"
                self._wrong(keyword, f"`@pipeline` has no keyword `{keyword.arg}`", hint)
            elif broken := mistakes(keyword.value):
                self._wrongs += [not_literal(node) for node in broken]
            else:
                self._keyword(keyword.arg, keyword.value, declared)
        if not self._wrongs and declared.cancel_superseded and not declared.concurrency:
            message = "`cancel_superseded` needs a group within which jobs give way"
            self._wrong(call, message, 'add it, for example concurrency="tests-{branch}"')

    def _keyword(self, name: str, node: ast.expr, declared: Declared) -> None:
        value = literal(node)
        if name == "params" and value is not None:
            declared.params = params(node, self._wrongs)
        elif value is not None and name in _SETTERS:
            try:
                _SETTERS[name](declared, value)
            except (TypeError, ValueError) as error:
                self._wrong(node, str(error))


def _set_name(declared: Declared, value: object) -> None:
    declared.name = _text("`name`", value).strip()
    if len(declared.name) > 100:
        raise ValueError("`name` must be at most 100 characters")


def _set_image(declared: Declared, value: object) -> None:
    declared.image = _text("`image`", value)


def _set_timeout(declared: Declared, value: object) -> None:
    declared.timeout = _quantity.milliseconds(value, "`timeout`") / 1000


def _set_cleanup_timeout(declared: Declared, value: object) -> None:
    declared.cleanup_timeout = _quantity.milliseconds(value, "`cleanup_timeout`") / 1000
    if declared.cleanup_timeout > 3600:
        raise ValueError("`cleanup_timeout` must be at most one hour")


def _set_memory(declared: Declared, value: object) -> None:
    declared.memory = _quantity.size(value, "`memory`")


def _check_disk(_declared: Declared, value: object) -> None:
    _quantity.size(value, "`disk`")


def _check_arch(_declared: Declared, value: object) -> None:
    if value not in ("amd64", "arm64"):
        raise ValueError(f'`arch` must be "amd64" or "arm64", not {value!r}')


def _check_retries(_declared: Declared, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10:
        raise ValueError(f"`retries` must be a whole number from 0 to 10, not {value!r}")


def _set_concurrency(declared: Declared, value: object) -> None:
    declared.concurrency = _text("`concurrency`", value).strip()
    if len(declared.concurrency) > 100:
        raise ValueError("`concurrency` must be at most 100 characters")
    if set("{}") & set(declared.concurrency.replace("{branch}", "")):
        raise ValueError(f"`concurrency` must be a string with no braces but `{{branch}}`, not {value!r}")


def _set_cancel_superseded(declared: Declared, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"`cancel_superseded` must be True or False, not {value!r}")
    declared.cancel_superseded = value


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {value!r}")
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{what} must be a string of visible characters, not {value!r}")
    return value


_SETTERS: dict[str, Callable[[Declared, object], None]] = {
    "name": _set_name,
    "image": _set_image,
    "timeout": _set_timeout,
    "cleanup_timeout": _set_cleanup_timeout,
    "memory": _set_memory,
    "disk": _check_disk,
    "arch": _check_arch,
    "retries": _check_retries,
    "concurrency": _set_concurrency,
    "cancel_superseded": _set_cancel_superseded,
}
