"""Gradients from samples and their values, wherever those come from."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .. import _arguments, _relax_rl
from ._arrays import Array, Family, Rng, _Batch, _batch, _finite, _logits, _numbers, _seed


def sample(logits: ArrayLike, size: int | tuple[int, ...] = (), *, family: Family, rng: Rng) -> Array:
    """Samples of the distributions that the logits are of: `size` of each, as the first axes.

    Zeros and ones (uint8) of the logits' shape, or numbers of outcomes (int64) of that shape without the last axis. Any other sampler
    of the same distributions does as well. `rng`: a seed, or a generator of NumPy."""
    return _draw(logits, size, family, rng, pairs=False)[0]


def antithetic(logits: ArrayLike, size: int | tuple[int, ...] = (), *, family: Family, rng: Rng) -> tuple[Array, Array]:
    """Pairs of samples that are as unlike each other as can be, each distributed as `sample` has them: for `disarm`."""
    samples, opposites = _draw(logits, size, family, rng, pairs=True)
    assert opposites is not None
    return samples, opposites


def _draw(logits: Any, size: Any, family: Any, rng: Any, pairs: bool) -> tuple[Array, Array | None]:
    given, k, _ = _logits(logits, family)
    sizes = tuple(_arguments.whole("size", n, least=1) for n in (size if isinstance(size, tuple) else (size,)))
    whole = np.broadcast_to(given, (*sizes, *given.shape))
    flat = np.ascontiguousarray(whole, dtype=np.float64).reshape(-1)
    shape = whole.shape if k is None else whole.shape[:-1]
    samples, opposites = _relax_rl.draw(flat, k, _seed(rng), pairs)
    return samples.reshape(shape), None if opposites is None else opposites.reshape(shape)


def reinforce(
    logits: ArrayLike,
    samples: ArrayLike,
    values: ArrayLike,
    *,
    family: Family,
    baseline: ArrayLike | LearnedBaseline | None = None,
) -> Array:
    """REINFORCE, the score times (f − baseline), of the logits' shape (Williams 1992).

    `values` are f of the samples, one for each of `samples`' first axes; the axes that follow are what one value judges: a mask of ten
    bits has `samples` (N, 10), a text of T tokens `samples` (N, T) and logits (N, T, K). Logits broadcast: of samples that share them
    the mean is returned.

    `baseline`: a number, or one for each value, such as a critic's; it must not depend on the sample that it is taken off. A
    `LearnedBaseline` is used as it is, and then fitted to the batch, for the next one.
    """
    batch = _batch(logits, samples, values, family)
    f = batch.values("values", values)
    if not isinstance(baseline, LearnedBaseline):
        return batch.score_function(f, batch.values("baseline", 0.0 if baseline is None else baseline))
    gradient = batch.score_function(f, batch.values("baseline", baseline.value))
    baseline._fit(batch, f)
    return gradient


def nvil(
    logits: ArrayLike, samples: ArrayLike, values: ArrayLike, *, family: Family, baseline: ArrayLike, signal: Signal
) -> Array:
    """NVIL: REINFORCE with a critic's values as the baseline, the rest centred and scaled by its own running statistics (Mnih and
    Gregor 2014). `signal` is used as it is and then takes in the batch. Its scale multiplies the expectation, as a learning rate would;
    with `Signal(scaled=False)` the estimate is unbiased. The rest is as for `reinforce`."""
    batch = _batch(logits, samples, values, family)
    f, off = batch.values("values", values), batch.values("baseline", baseline)
    gradient = batch.score_function(f, off, (signal.centre, signal.scale))
    signal._fit(f, off)
    return gradient


def leave_one_out_baseline(values: ArrayLike) -> Array:
    """For each value the mean of the others along the last axis, which must be samples of one distribution each (Kool et al. 2019).

    `values - leave_one_out_baseline(values)` are the advantages that multiply the gradient of the log-probability where another
    library has it: RLOO."""
    given = _finite("values", _numbers("values", values))
    if given.ndim == 0 or given.shape[-1] < 2:
        raise ValueError(f"values has the shape {given.shape}, and its last axis must be two samples or more to compare")
    flat = np.ascontiguousarray(given).reshape(-1)
    return _relax_rl.leave_one_out_baseline(flat, given.shape[-1]).reshape(given.shape)


def leave_one_out(logits: ArrayLike, samples: ArrayLike, values: ArrayLike, *, family: Family) -> Array:
    """REINFORCE whose baseline is the mean of the other samples' values (RLOO; Kool et al. 2019), of the logits' shape.

    The last axis of `values` must be samples of one distribution: (N,), or (prompts, N) for N answers to each prompt. The rest is as
    for `reinforce`."""
    batch = _batch(logits, samples, values, family)
    f = batch.values("values", values)
    baseline = leave_one_out_baseline(f.reshape(batch.full[: batch.valued]))
    return batch.score_function(f, baseline.reshape(-1))


def surrogate(
    logits: ArrayLike,
    samples: ArrayLike,
    values: ArrayLike,
    predicted: ArrayLike,
    free_samples: ArrayLike,
    free_predicted: ArrayLike,
    *,
    family: Family,
    gain: float = 1.0,
) -> Array:
    """Leave-one-out with a cheap model of f, such as a reward model: few samples with their values, many free ones.

    `predicted` and `free_predicted` are what the model says of `samples` and of `free_samples`; it must not have seen the values. Any
    model and any gain that does not depend on the batch is unbiased; a good model takes most of the variance. Both kinds of samples
    are as for `leave_one_out`: along the last axis of `values` and of `free_predicted`."""
    gain = _arguments.number("gain", gain)
    batch = _batch(logits, samples, values, family)
    shape = batch.full[: batch.valued]
    rest = batch.values("values", values) - batch.values("predicted", predicted) * np.asarray(gain, batch.dtype)
    free = np.asarray(gain, batch.dtype) * _numbers("free_predicted", free_predicted, batch.dtype)
    own = leave_one_out(logits, samples, rest.reshape(shape), family=family)
    return own + leave_one_out(logits, free_samples, free, family=family)


def disarm(
    logits: ArrayLike,
    samples: ArrayLike,
    opposites: ArrayLike,
    values: ArrayLike,
    opposite_values: ArrayLike,
    *,
    family: Family,
) -> Array:
    """DisARM, of the logits' shape: pairs of samples of `antithetic`, compared (Dong et al. 2020; of choices by sticks, 2021).

    `values` and `opposite_values` are f of either. The rest is as for `reinforce`."""
    batch = _batch(logits, samples, values, family)
    other = _batch(logits, opposites, values, family, "opposites")
    if other.full != batch.full:
        raise ValueError(f"opposites has the shape {np.shape(opposites)} and samples {np.shape(samples)}")
    f, f_other = batch.values("values", values), batch.values("opposite_values", opposite_values)
    gradient = _relax_rl.antithetic_gradient(batch.logits, batch.k, batch.samples, other.samples, f, f_other)
    return batch.gathered(gradient)


class LearnedBaseline:
    """One learned number as the baseline of `reinforce`: a running mean of f, or the number of the least variance.

    `objective`: "squared-error", which tends to the mean of f, or "variance"."""

    def __init__(self, learning_rate: float = 0.05, objective: Literal["squared-error", "variance"] = "squared-error") -> None:
        if objective not in ("squared-error", "variance"):
            raise ValueError(f'objective is {objective!r}, and must be "squared-error" or "variance"')
        rate = _arguments.number("learning_rate", learning_rate)
        if not 0 < rate <= 1:
            raise ValueError(f"learning_rate is {rate}, and must be above 0 and at most 1")
        self._made = (rate, objective == "variance")
        self._native = _relax_rl.NumberBaseline(*self._made)

    @property
    def value(self) -> float:
        """The baseline now."""
        return self._native.value

    def _fit(self, batch: _Batch, values: Array) -> None:
        samples = batch.samples.astype(np.float64) if batch.k is None else batch.samples
        self._native.update(batch.logits.astype(np.float64), batch.k, samples, values.astype(np.float64))

    def __getstate__(self) -> tuple[tuple[float, bool], float]:
        return self._made, self.value

    def __setstate__(self, state: tuple[tuple[float, bool], float]) -> None:
        self._made = state[0]
        self._native = _relax_rl.NumberBaseline(*self._made)
        self._native.value = state[1]

    def __repr__(self) -> str:
        return f"LearnedBaseline(value={self.value:.6g})"


class Signal:
    """Running mean and deviation of a learning signal, for `nvil`. A batch is forgotten by the factor `decay` with each later one."""

    def __init__(self, decay: float = 0.8, scaled: bool = True) -> None:
        self._decay, self._scaled = _arguments.number("decay", decay), _arguments.flag("scaled", scaled)
        self._native = _relax_rl.Signal(self._decay)

    @property
    def centre(self) -> float:
        """The running mean; 0 before the first batch."""
        return self._native.centre

    @property
    def scale(self) -> float:
        """The running standard deviation, 1 at least; 1 if it is not `scaled`."""
        return self._native.scale if self._scaled else 1.0

    def _fit(self, values: Array, baseline: Array) -> None:
        self._native.update(values.astype(np.float64), baseline.astype(np.float64))

    def __getstate__(self) -> tuple[float, bool, list[float]]:
        return self._decay, self._scaled, self._native.state

    def __setstate__(self, state: tuple[float, bool, list[float]]) -> None:
        self._decay, self._scaled = state[:2]
        self._native = _relax_rl.Signal(self._decay)
        self._native.state = state[2]

    def __repr__(self) -> str:
        return f"Signal(centre={self.centre:.6g}, scale={self.scale:.6g})"
