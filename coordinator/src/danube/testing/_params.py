"""Parameters: how the decorator declares them, and the values that a job gets."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from danube._context import ParamValue
from danube.testing._literal import Wrong, literal
from danube.testing._refused import Refused

_KINDS: dict[str, type[ParamValue]] = {"string": str, "int": int, "float": float, "bool": bool}
_WORDS: dict[type, str] = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_KEYS = ("type", "default", "choices", "description")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass
class Param:
    """A parameter as declared."""

    kind: type[ParamValue]
    default: ParamValue | None
    choices: list[ParamValue]


def params(node: ast.expr, wrongs: list[Wrong]) -> dict[str, Param]:
    """Reads `params=`; what is wrong with it goes to `wrongs`."""
    if not isinstance(node, ast.Dict):
        wrongs.append(Wrong(node, f"`params` must be a dictionary, not {literal(node)!r}"))
        return {}
    declared: dict[str, Param] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        name = literal(key) if key is not None else None
        try:
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name):
                raise ValueError(f"a parameter's name must be letters, digits, _ and -, at most 64, not {name!r}")
            if name in declared:
                raise ValueError(f"the parameter `{name}` is given twice")
            declared[name] = _param(literal(value))
        except ValueError as error:
            wrongs.append(Wrong(value, str(error)))
    return declared


def _param(value: object) -> Param:
    if not isinstance(value, dict):
        default = _scalar(value)
        return Param(type(default), default, [])
    keys: dict[object, object] = {**value}
    for key in keys:
        if key not in _KEYS:
            raise ValueError(f"a parameter has no key `{key}`; its keys are {', '.join(_KEYS)}")
    return _in_full(keys)


def _in_full(keys: Mapping[object, object]) -> Param:
    choices = _choices(keys["choices"]) if "choices" in keys else []
    default = None if keys.get("default") is None else _scalar(keys["default"])
    kind = _kind(keys.get("type"), default if default is not None else next(iter(choices), None))
    choices = [_fitting(kind, choice) for choice in choices]
    default = None if default is None else _fitting(kind, default)
    if default is not None and choices and default not in choices:
        raise ValueError("the default is not one of the choices")
    return Param(kind, default, choices)


def _choices(value: object) -> list[ParamValue]:
    if not isinstance(value, (list, tuple, set)) or not value:
        raise ValueError(f"`choices` must be a list of at least one value, not {value!r}")
    members: list[object] = [*value]
    return [_scalar(member) for member in members]


def _scalar(value: object) -> ParamValue:
    if isinstance(value, (str, bool, int, float)):
        return value
    raise ValueError(f"a parameter's value must be a string, a number, True or False, not {value!r}")


def _kind(written: object, example: ParamValue | None) -> type[ParamValue]:
    if isinstance(written, str) and written in _KINDS:
        return _KINDS[written]
    if written is not None:
        raise ValueError(f'`type` must be "string", "int", "float" or "bool", not {written!r}')
    if example is None:
        raise ValueError("a parameter needs a default or a type")
    return type(example)


def _fitting(kind: type[ParamValue], value: ParamValue) -> ParamValue:
    fitting = _admitted(kind, value)
    if fitting is None:
        raise ValueError(f"`{value}` does not fit a parameter whose values are {_WORDS[kind]}")
    return fitting


def _admitted(kind: type[ParamValue], value: ParamValue) -> ParamValue | None:
    """The value as this type; a whole number is a number too."""
    if kind is float and type(value) is int:
        return float(value)
    return value if type(value) is kind else None


def resolve(declared: Mapping[str, Param], given: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
    """The values a job gets: those given, a text as if typed (`--param name=value`), else the defaults.

    Raises:
        Refused: With every value that does not fit, and every parameter left without one.
    """
    values: dict[str, ParamValue] = {}
    problems: list[str] = []
    for name, value in given.items():
        try:
            values[name] = _read(name, declared[name], value) if name in declared else _unknown(name, declared)
        except ValueError as error:
            problems.append(str(error))
    for name, param in declared.items():
        if name in given:
            continue
        if param.default is None:
            problems.append(f"the parameter `{name}` has no default: give it a value with `--param {name}=…`")
        else:
            values[name] = param.default
    if problems:
        raise Refused(problems)
    return values


def _unknown(name: str, declared: Mapping[str, Param]) -> ParamValue:
    near = get_close_matches(name, declared, 1)
    have = ", ".join(f"`{one}`" for one in declared)
    hint = f"did you mean `{near[0]}`?" if near else f"it has {have or 'none'}"
    raise ValueError(f"the pipeline has no parameter `{name}`; {hint}")


def _read(name: str, param: Param, given: ParamValue) -> ParamValue:
    value = _typed(param.kind, given) if isinstance(given, str) else _admitted(param.kind, given)
    if value is not None and (not param.choices or value in param.choices):
        return value
    choices = ", ".join(_shown(choice) for choice in param.choices)
    wanted = f"one of {choices}" if choices else _WORDS[param.kind]
    shown = given if isinstance(given, str) else _shown(given)
    raise ValueError(f'the parameter `{name}` must be {wanted}, not "{shown}"')


def _shown(value: ParamValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(kind: type[ParamValue], text: str) -> ParamValue | None:
    """Reads what a person types."""
    word = text.strip().lower()
    if kind is str:
        return text
    if kind is bool:
        return True if word in _TRUE else False if word in _FALSE else None
    try:
        number = int(word) if kind is int else float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in word else None
