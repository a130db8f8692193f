"""Exact gradients by enumeration, and certificates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import _arguments, _relax_rl
from ._arrays import Array, Family, Function, _finite, _logits, _numbers
from ._function import Estimator, _Calls, _fresh, estimate


class Exact(NamedTuple):
    """What estimates are held against."""

    value: float
    """The mean of f."""
    gradient: Array
    """Its gradient, of the logits' shape."""


def exact(f: Function, logits: ArrayLike, *, family: Family) -> Exact:
    """The mean of f and its gradient by the logits, over all outcomes: a million of them at most.

    All axes of the logits belong to what f judges. It is called as `Estimator` calls it, with some thousand outcomes at a time."""
    given, k, _ = _logits(logits, family)

    def value(x: Array) -> Array:
        return _Calls((len(x),), given.shape, np.float64).number("f", f)(x)

    flat = np.ascontiguousarray(given, dtype=np.float64).reshape(-1)
    mean, gradient = _relax_rl.exact_gradient(flat, k, value)
    return Exact(mean, gradient.reshape(given.shape))


@dataclass(frozen=True)
class Certificate:
    """Whether estimates have the right mean."""

    name: str
    """What was certified."""
    biased: bool
    """The verdict. Of an estimator without bias it is wrong with the probability `alarm`."""
    samples: int
    """How many estimates were drawn."""
    worst_z: float
    """The largest deviation of a mean, in standard errors."""
    p_value: float
    """The probability of such deviations, of one coordinate or of all together, if there is no bias."""
    detectable: float
    """The bias that so many estimates find with the power asked for, as a share of the gradient's root mean square."""
    exact: Array
    """The gradient, of the logits' shape, as the others are."""
    mean: Array
    """The mean of the estimates."""
    standard_error: Array
    """That of the mean."""
    z_scores: Array
    """(mean − exact) / standard error."""
    variance: Array
    """The variance of one estimate."""

    def __str__(self) -> str:
        lines = [f"{'':>10} {'exact':>12} {'mean':>12} {'std. error':>11} {'z':>7} {'variance':>11}"]
        for index in np.ndindex(self.exact.shape):
            where = ",".join(map(str, index))
            numbers = f"{self.exact[index]:>12.6g} {self.mean[index]:>12.6g} {self.standard_error[index]:>11.2e}"
            lines.append(f"{where:>10} {numbers} {self.z_scores[index]:>7.2f} {self.variance[index]:>11.4g}")
        verdict = "BIASED" if self.biased else "unbiased"
        p = f"p = {self.p_value:.2g}" if self.p_value > 0 else "p < 1e-300"
        lines.append(
            f"{self.name}: {verdict}, worst |z| {self.worst_z:.2f}, {p}, {self.samples} estimates, which find a bias of "
            f"{100 * self.detectable:.2g} %"
        )
        return "\n".join(lines)


def certify(
    estimator: str | Estimator | Callable[..., Any],
    f: Function | None,
    logits: ArrayLike,
    *,
    family: Family | None = None,
    exact_gradient: ArrayLike | None = None,
    samples: int | None = None,
    gradient: Function | None = None,
    baseline: ArrayLike = 0.0,
    detectable: float = 0.05,
    power: float = 0.9,
    alarm: float = 0.001,
    pilot: int = 1000,
    limit: int = 200_000,
    seed: int = 0,
    **settings: Any,
) -> Certificate:
    """Whether an estimator is unbiased: the mean of many estimates against the gradient by enumeration, as `relax certify` does it.

    `estimator` is

    - a function `estimator(f, logits, rng)` that returns one estimate, of the logits' shape, or several independent ones as an axis
      before it; all of its random numbers must come from `rng`, a generator of NumPy;
    - an `Estimator`, with what it has learned, which it keeps; or the name of one, as `estimate` takes it.

    `f` and `logits` are as for `exact`. Where there are too many outcomes, or f is not to be called so, give `exact_gradient`.

    A `pilot` measures the spread and is thrown away; then as many estimates are drawn as find a bias of the share `detectable` of the
    gradient with the probability `power`, and `limit` at most. Of an estimator without bias the verdict is "biased" with the
    probability `alarm`. `samples`, `gradient`, `baseline` and other settings are those of `Estimator`.
    """
    given = _numbers("logits", logits)
    if isinstance(estimator, Estimator):
        family = family or estimator.family
        if family != estimator.family:
            raise ValueError(f"family is {family!r}, and the estimator's is {estimator.family!r}")
    if family is None:
        raise TypeError('certify needs family="bernoulli" or family="categorical"')
    _, k, fixed = _logits(given, family)
    if exact_gradient is None:
        if f is None:
            raise ValueError("there is neither f to enumerate nor an exact_gradient")
        truth = exact(f, given, family=family).gradient
    else:
        truth = _finite("exact_gradient", _numbers("exact_gradient", exact_gradient, np.float64))
        if truth.shape != given.shape:
            raise ValueError(f"exact_gradient has the shape {truth.shape}, and logits {given.shape}")
    for name, share in [("detectable", detectable), ("power", power), ("alarm", alarm)]:
        if not 0 < _arguments.number(name, share) < 1:
            raise ValueError(f"{name} is {share}, and must be above 0 and below 1")
    if callable(estimator) and not isinstance(estimator, Estimator):
        if settings or samples is not None or gradient is not None or np.any(baseline):
            unused = ", ".join([*settings, *(n for n, v in [("samples", samples), ("gradient", gradient)] if v is not None)])
            raise TypeError(f"a function of your own takes no {unused or 'baseline'}")
        rng, name = np.random.default_rng(seed), getattr(estimator, "__name__", type(estimator).__name__)
        own = estimator

        def drawn() -> Array:
            return _own(own(f, given, rng), given.shape)
    else:
        if f is None:
            raise ValueError("there is no f for the estimator to call")
        if isinstance(estimator, str):
            estimator, baseline = _fresh(estimator, family, seed, baseline, settings)
        elif settings:
            raise TypeError(f"an Estimator has its settings already: {', '.join(settings)}")
        made, function, name = estimator, f, estimator.entry.name
        many = np.broadcast_to(given.astype(np.float64), (256, *given.shape))

        def drawn() -> Array:
            got = made(function, many, samples=samples, batch_axes=1, gradient=gradient, baseline=baseline, learn=False)
            rows: Array = np.ascontiguousarray(got.gradient).reshape(256, -1)
            return rows

    found = _relax_rl.certify(
        drawn,
        name,
        truth.reshape(-1).tolist(),
        float(alarm),
        float(detectable),
        float(power),
        _arguments.whole("pilot", pilot, least=2),
        _arguments.whole("limit", limit, least=2),
    )
    arrays = {key: value.reshape(given.shape) for key, value in found.items() if isinstance(value, np.ndarray)}
    return Certificate(**{**found, **arrays})


def _own(returned: Any, shape: tuple[int, ...]) -> Array:
    """What a user's estimator returned, as rows."""
    rows = np.asarray(returned)
    if rows.dtype.kind not in "biuf":
        raise TypeError(f"the estimator returned {returned!r:.80}, and must return an array of numbers")
    if rows.shape != shape and (rows.shape[1:] != shape or rows.ndim != len(shape) + 1 or not len(rows)):
        raise ValueError(
            f"the estimator returned an array of the shape {rows.shape}, and must return {shape}, or several such as an axis before it"
        )
    _finite("what the estimator returned", rows)
    flat: Array = np.ascontiguousarray(rows, dtype=np.float64).reshape(-1, int(np.prod(shape, dtype=np.int64)))
    return flat
