"""Arguments that the native half would refuse in its own words, checked in Python's, by their names."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

MOST = 2**64 - 1


def whole(name: str, value: Any, least: int = 0, most: int = MOST) -> int:
    """`value` as a whole number from `least` to `most`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} is {number}; it must be from {least} to {most}")
    return number


def text(name: str, value: Any) -> str:
    """`value`, which must be text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {value!r}")
    return value


def flag(name: str, value: Any) -> bool:
    """`value`, which must be a truth value, Python's or NumPy's."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def number(name: str, value: Any) -> float:
    """`value`, which must be a number, Python's or NumPy's."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None


def plain(value: Any) -> Any:
    """A number or truth value of NumPy as Python's own, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"an option must be a number, text, a list or a dictionary, not {value!r}")
