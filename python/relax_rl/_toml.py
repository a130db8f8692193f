"""Settings as TOML. The arguments of environments and wrappers arrive there as they are: what TOML has no word for is
written as a literal of Python, `{ python = "None" }`."""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Mapping
from typing import Any

import numpy as np


def settings(config: Mapping[str, Any]) -> str:
    """A configuration as text."""
    return "\n".join(f"{_text(key, 'a key')} = {setting(value, (key,))}" for key, value in config.items())


def override(name: str, value: Any) -> str:
    """`name=value` for one setting, with `__` or a dot between the parts of its name."""
    path = tuple(name.replace("__", ".").split("."))
    return f"{'.'.join(path)}={setting(value, path)}"


def setting(value: Any, path: tuple[str, ...]) -> str:
    """The value of a setting as TOML."""
    name = ".".join(path)
    if len(path) >= 2 and path[-2:] == ("env", "kwargs") or path[:1] == ("env.wrappers",) and path[-1] == "kwargs":
        return _arguments(value, name)
    if path[:2] == ("env", "kwargs"):
        return _argument(value, name)
    if isinstance(value, Mapping):
        # What a list holds has no name of its own; a wrapper's arguments are known by where they are.
        inner = ("env.wrappers",) if path == ("env", "wrappers") else path
        return "{ " + ", ".join(f"{_text(key, name)} = {setting(one, (*inner, key))}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(setting(one, path) for one in value) + "]"
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return _whole(int(value), name)
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, (str, os.PathLike)):
        return _text(os.fspath(value), name)
    reason = "leave it out" if value is None else "it must be a number, text, a truth value, or a list or dictionary of them"
    raise ValueError(f"{name} is {_shown(value)}; {reason}")


def _arguments(value: Any, name: str) -> str:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} is {_shown(value)}; it must be a dictionary of arguments by name")
    return "{ " + ", ".join(f"{_text(key, name)} = {_argument(one, f'{name}.{key}')}" for key, one in value.items()) + " }"


def _argument(value: Any, name: str) -> str:
    """An argument: in TOML's own words where they mean the same, else as Python's."""
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int and -(2**63) <= value < 2**63 or kind is float:
        return repr(value)
    if kind is str:
        return _text(value, name)
    if kind is list:
        return "[" + ", ".join(_argument(one, f"{name}[{i}]") for i, one in enumerate(value)) + "]"
    # The order of a dictionary is part of it; TOML's tables have none.
    if kind is dict and all(type(key) is str for key in value) and list(value) == sorted(value) and list(value) != ["python"]:
        return _arguments(value, name)
    return "{ python = " + _text(_literal(value, name), name) + " }"


def _literal(value: Any, name: str) -> str:
    """The value as text that `literals.py` of the bridge reads back."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str, bytes):
        return repr(value)
    if kind is complex:
        return f"complex({value.real!r}, {value.imag!r})"
    if kind in (list, set, frozenset, tuple):
        parts = ", ".join(_literal(one, name) for one in value)
        opened: dict[type[Any], str] = {list: f"[{parts}]", tuple: f"({parts},)" if parts else "()", set: f"set([{parts}])"}
        return opened.get(kind, f"frozenset([{parts}])")
    if kind is dict:
        return "{" + ", ".join(f"{_literal(key, name)}: {_literal(one, name)}" for key, one in value.items()) + "}"
    if isinstance(value, (np.number, np.bool_)) and value.dtype.itemsize <= 16 and value.dtype.name != "float128":
        return f"numpy.{value.dtype.name}({_literal(value.item(), name)})"
    if kind is np.ndarray and value.dtype.kind in "biufc" and value.dtype.name in _ARRAYS:
        flat = ", ".join(_literal(one, name) for one in value.ravel().tolist())
        return f"numpy.array([{flat}], '{value.dtype.name}', {value.shape!r})"
    raise ValueError(
        f"{name} is {_shown(value)}, which cannot be written into a configuration, from which the run must be resumable; "
        "pass numbers, text, None, lists, tuples, sets, dictionaries, or numbers and arrays of NumPy"
    )


_ARRAYS = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "complex64", "complex128",
}


def _whole(value: int, name: str) -> str:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} is {value}; whole numbers of a configuration have 64 bits")
    return str(value)


def _text(value: str, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: {_shown(value)} is no name")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: {value!r} holds half a surrogate pair, which is no character") from None
    # JSON's escapes are TOML's, but for the one character that TOML wants escaped and JSON does not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}, {str(value)[:60]}"
