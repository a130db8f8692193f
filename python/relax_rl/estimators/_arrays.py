"""Logits, samples and values as arrays that fit each other; what is wrong with them is said here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _arguments, _relax_rl


Family = Literal["bernoulli", "categorical"]
"""What is drawn: independent zeros and ones, or one of several outcomes."""
Rng = int | np.random.Generator
"""A seed, or a generator that one is drawn from."""
Array = NDArray[Any]
Function = Callable[[Any], Any]

_RULED_OUT = 1e4
"""How far below the largest logit an outcome of probability 0 is put: its probability is 0 to the bit, and nothing is infinite."""


def _choices(family: Any, logits: Array) -> int | None:
    """K of a categorical family; None for Bernoulli variables."""
    if family == "bernoulli":
        return None
    if family != "categorical":
        raise ValueError(f'family is {family!r}, and must be "bernoulli" (zeros and ones) or "categorical" (one of several outcomes)')
    if logits.ndim == 0:
        raise ValueError("logits must have an axis of outcomes, the last, and are one number")
    return int(logits.shape[-1])


def _numbers(name: str, given: Any, dtype: Any = None) -> Array:
    """`given` as an array of 32- or 64-bit floats, of `dtype` if that is given."""
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, not of {array.dtype}")
    if dtype is None:
        dtype = np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64
    array = array.astype(dtype, copy=False)
    if array.size == 0:
        raise ValueError(f"{name} has the shape {array.shape}, which is empty")
    return array


def _first(where: Array) -> str:
    """The first index at which an array is true."""
    if where.ndim == 0:
        return "its only place"
    return str(tuple(int(i) for i in np.argwhere(where)[0]))


def _finite(name: str, array: Array) -> Array:
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{name} is {array[~finite][0]} at {_first(~finite)}, and must be finite")
    return array


def _logits(given: Any, family: Any) -> tuple[Array, int | None, Array | None]:
    """Logits that are finite, K, and where an outcome was ruled out or certain, if anywhere."""
    logits = _numbers("logits", given)
    k = _choices(family, logits)
    if np.isfinite(logits).all():
        return logits, k, None
    if np.isnan(logits).any():
        raise ValueError(f"logits is nan at {_first(np.isnan(logits))}")
    infinite = np.isinf(logits)
    if k is None:
        return np.clip(logits, -_RULED_OUT, _RULED_OUT), k, infinite
    if (logits == np.inf).any():
        raise ValueError(f"logits is inf at {_first(logits == np.inf)}: an outcome may be ruled out by -inf, and by nothing else")
    top = logits.max(axis=-1, keepdims=True)
    if np.isinf(top).any():
        raise ValueError(f"logits is -inf for every outcome at {_first(np.isinf(top[..., 0]))}")
    return np.where(infinite, top - np.asarray(_RULED_OUT, logits.dtype), logits), k, infinite


def _sampled(name: str, given: Any, k: int | None, ruled_out: Array | None, full: tuple[int, ...]) -> Array:
    """Samples as the native half takes them, flat."""
    samples = np.asarray(given)
    if samples.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, not of {samples.dtype}")
    if k is None:
        wrong = (samples != 0) & (samples != 1)
        if wrong.any():
            raise ValueError(f"{name} is {samples[wrong][0]} at {_first(wrong)}: Bernoulli variables are 0 or 1")
        return samples
    if samples.dtype.kind == "f" and not (samples == np.floor(samples)).all():
        raise ValueError(f"{name} must hold the numbers of outcomes, from 0 to {k - 1}, and not one-hot or soft ones")
    wrong = (samples < 0) | (samples >= k)
    if wrong.any():
        raise ValueError(f"{name} is {samples[wrong][0]} at {_first(wrong)}: there are {k} outcomes, numbered from 0")
    if ruled_out is not None:
        taken = np.take_along_axis(np.broadcast_to(ruled_out, full), samples[..., None].astype(np.int64), axis=-1)[..., 0]
        if taken.any():
            raise ValueError(f"{name} has an outcome at {_first(taken)} that logits of -inf rule out")
    return samples


@dataclass(frozen=True)
class _Batch:
    """Logits and samples that fit each other, flat; and how what comes of them has the logits' shape."""

    logits: Array
    samples: Array
    k: int | None
    dtype: Any
    full: tuple[int, ...]
    """The shape of values, of what a value judges, and of outcomes."""
    valued: int
    """How many of the axes are those of values."""
    shape: tuple[int, ...]
    """The logits' own."""
    fixed: Array | None

    def values(self, name: str, given: Any) -> Array:
        """One number for each value, flat."""
        array = _finite(name, _numbers(name, given, self.dtype))
        try:
            array = np.broadcast_to(array, self.full[: self.valued])
        except ValueError:
            raise ValueError(f"{name} has the shape {array.shape}, and must have that of values, {self.full[: self.valued]}") from None
        return np.ascontiguousarray(array).reshape(-1)

    def score_function(self, values: Array, baseline: Array, signal: tuple[float, float] = (0.0, 1.0)) -> Array:
        """The score times (values − baseline − centre)/scale."""
        return self.gathered(_relax_rl.score_function_gradient(self.logits, self.k, self.samples, values, baseline, signal))

    def gathered(self, gradient: Array) -> Array:
        """The mean over samples that share logits, and the sum over what a value judges with the same logits."""
        gradient = gradient.reshape(self.full)
        missing = len(self.full) - len(self.shape)
        shared = [
            axis for axis, size in enumerate(self.full) if axis < missing or (size != 1 and self.shape[axis - missing] == 1)
        ]
        if shared:
            count = int(np.prod([self.full[axis] for axis in shared if axis < self.valued], dtype=np.int64))
            gradient = gradient.sum(axis=tuple(shared), keepdims=True) / np.asarray(count, self.dtype)
            gradient = gradient.reshape(self.shape)
        if self.fixed is not None:
            gradient[self.fixed] = 0
        return gradient


def _batch(logits: Any, samples: Any, values: Any, family: Any, named: str = "samples") -> _Batch:
    given, k, fixed = _logits(logits, family)
    shape = np.shape(values)
    taken = np.asarray(samples)
    if taken.shape[: len(shape)] != shape:
        raise ValueError(
            f"{named} has the shape {taken.shape} and values {shape}: the first axes of {named} must be those of values, and what "
            "follows is what one value judges"
        )
    full = taken.shape if k is None else (*taken.shape, k)
    try:
        whole = np.broadcast_to(given, full)
    except ValueError:
        outcomes = "" if k is None else f" with {k} outcomes each"
        raise ValueError(f"logits of the shape {given.shape} do not fit {named} of the shape {taken.shape}{outcomes}") from None
    taken = _sampled(named, taken, k, fixed, full)
    flat = np.ascontiguousarray(taken, dtype=given.dtype if k is None else np.uint32).reshape(-1)
    return _Batch(np.ascontiguousarray(whole).reshape(-1), flat, k, given.dtype, full, len(shape), given.shape, fixed)


def _seed(rng: Any) -> int:
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**64, dtype=np.uint64))
    return _arguments.whole("rng, unless it is a numpy.random.Generator,", rng)
