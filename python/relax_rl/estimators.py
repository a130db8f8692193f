"""Unbiased gradient estimators for discrete choices, on NumPy arrays.

Wanted is the gradient of E[f(b)] by the logits that b is drawn from, where f can only be called, or is differentiable besides.
`family` says what is drawn: "bernoulli", zeros and ones, a logit each; or "categorical", one of K outcomes, whose logits are the last
axis. Gradients are of E[f]: ascend a reward, descend a loss.

From samples and their values, wherever those come from:

    samples = estimators.sample(logits, 8, family="bernoulli", rng=rng)                    # logits (10,), samples (8, 10)
    gradient = estimators.leave_one_out(logits, samples, values, family="bernoulli")       # values (8,), gradient (10,)

From a function that is called, with what the estimator learns kept from call to call:

    relax = estimators.Estimator("relax", family="bernoulli")
    gradient = relax(f, logits, samples=8).gradient

Whether an estimator is unbiased, yours too, is what `certify` finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _arguments, _relax_rl

__all__ = [
    "ESTIMATORS",
    "Certificate",
    "Entry",
    "Estimate",
    "Estimator",
    "Exact",
    "LearnedBaseline",
    "Signal",
    "antithetic",
    "certify",
    "disarm",
    "estimate",
    "exact",
    "leave_one_out",
    "leave_one_out_baseline",
    "nvil",
    "reinforce",
    "sample",
    "surrogate",
]

Family = Literal["bernoulli", "categorical"]
"""What is drawn: independent zeros and ones, or one of several outcomes."""
Rng = int | np.random.Generator
"""A seed, or a generator that one is drawn from."""
Array = NDArray[Any]
Function = Callable[[Any], Any]

_RULED_OUT = 1e4
"""How far below the largest logit an outcome of probability 0 is put: its probability is 0 to the bit, and nothing is infinite."""


class Entry(NamedTuple):
    """One line of the table of estimators."""

    name: str
    """What `Estimator` and `estimate` call it."""
    label: str
    """What it is called above a figure."""
    unbiased: bool
    """Whether the mean of its estimates is the gradient."""
    needs: dict[str, Any]
    """How many samples it compares, and whether it takes the gradient of f, learns η and λ, a control variate or a baseline, or takes a
    surrogate."""
    summary: str
    """What it is, in half a line."""


ESTIMATORS: Mapping[str, Entry] = {line[0]: Entry(*line) for line in _relax_rl.estimator_table()}
"""All estimators that are called with a function, by name."""


# ── Arrays ──


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


# ── From samples and their values ──


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


# ── From a function ──


@dataclass(frozen=True)
class Estimate:
    """What an estimator made of one call."""

    gradient: Array
    """The estimate, of the logits' shape: the mean over samples."""
    each: Array
    """The estimates of the samples, which follow the batch's axes. Where samples are compared with each other, only their mean is an
    estimate of its own."""
    samples: Array
    """What f was called with first: zeros and ones, or rows of zeros with a single 1."""
    values: Array
    """What it returned."""


class Estimator:
    """An estimator that calls a function, by its name in `ESTIMATORS`, with what it learns kept from one call to the next.

    What it learns is fitted to a batch after the batch has been used, which keeps every estimate unbiased: η of "rebar" and
    "relaxed-rebar" (and λ, where the second derivative of f is given), the control variate of "relax" and "relaxed-rebar", the number
    of "baseline", the centre of "nvil", the gain of "surrogate".

    - `seed`: of all of its random numbers; an integer, or a generator that one is drawn from.
    - `learning_rate`: of what it learns (Adam; for "baseline" plain steps).
    - `hidden`: units of the control variate's hidden layers, of our own.
    - `control_variate`: one of yours in its place, a function of relaxed samples z that returns its values and its gradients. If it has
      a method `fit(z, alpha, beta)`, that is called with the batch: the variance falls along the gradient, by its parameters, of
      Σ alpha·c(z) + beta·∇c(z).
    - `gain`: η at first, 1 unless given. Of "surrogate" it is learned if it is not given, and else kept.
    - `temperature`: λ of relaxed f.
    - `baseline`: the number of "baseline" at first.
    - `surrogate`: the model of f for "surrogate", called as f is. It must not have seen the values of the call it is used in.
    - `free_samples`: how many samples of each distribution the surrogate alone is called with.
    """

    def __init__(
        self,
        name: str,
        *,
        family: Family,
        seed: Rng = 0,
        learning_rate: float = 0.01,
        hidden: tuple[int, ...] = (16,),
        control_variate: Function | None = None,
        gain: float | None = None,
        temperature: float = 0.5,
        baseline: float = 0.0,
        surrogate: Function | None = None,
        free_samples: int = 64,
    ) -> None:
        if _arguments.text("name", name) not in ESTIMATORS:
            raise ValueError(f"there is no estimator {name!r}; there are {', '.join(ESTIMATORS)}")
        self.entry = ESTIMATORS[name]
        """Its line in the table."""
        _choices(family, np.zeros(1))
        self.family: Family = family
        """What it draws."""
        needs = self.entry.needs
        if needs["surrogate"] and surrogate is None:
            raise ValueError(f"{name} needs surrogate=…, a function that predicts f; leave-one-out needs no more than f")
        for given, wanted, what in [(surrogate, "surrogate", "a surrogate"), (control_variate, "control_variate", "a control variate")]:
            if given is not None and not needs[wanted]:
                raise ValueError(f"{name} has no use for {what}")
        rate = _arguments.number("learning_rate", learning_rate)
        temperature = _arguments.number("temperature", temperature)
        if not (0 < temperature < np.inf and 0 <= rate < np.inf):
            raise ValueError(f"temperature is {temperature} and learning_rate {rate}; neither may be below 0, nor the temperature 0")
        units = [_arguments.whole("hidden", n, least=1, most=2**16) for n in hidden]
        gain = None if gain is None else _arguments.number("gain", gain)
        self._free = _arguments.whole("free_samples", free_samples, least=2, most=2**32)
        self._control_variate, self._surrogate = control_variate, surrogate
        self._made = (name, rate, units, gain, temperature, _arguments.number("baseline", baseline), _seed(seed))
        self._native = _relax_rl.FunctionEstimator(*self._made)

    @property
    def gain(self) -> float:
        """η now."""
        return self._native.gain

    @property
    def temperature(self) -> float:
        """λ now."""
        return self._native.temperature

    @property
    def baseline(self) -> float:
        """The number of "baseline" now, or the centre of "nvil"."""
        return self._native.baseline

    def __call__(
        self,
        f: Function,
        logits: ArrayLike,
        *,
        samples: int | None = None,
        batch_axes: int = 0,
        gradient: Function | None = None,
        hessian_vector: Callable[[Any, Any], Any] | None = None,
        baseline: ArrayLike = 0.0,
        learn: bool = True,
    ) -> Estimate:
        """Draws samples, calls `f` and estimates the gradient of its mean by the logits.

        The first `batch_axes` axes of the logits are problems of their own; the others belong to what f judges: (10,) is a mask of ten
        bits, or one choice among ten; (4, 3), categorical, four choices among three. f is called with an array of the logits' shape
        with an axis of `samples` after the batch's, and returns a number for each: (batch…, samples).

        f gets zeros and ones, or rows of zeros with a single 1. For the estimators that need its gradient it gets soft ones, too, and
        `gradient(x)` returns that gradient, of x's shape; with `hessian_vector(x, t)`, its derivative along t, the temperature is
        learned as well.

        `samples`: 1, or 2 where they are compared with each other; each of "disarm" is a pair. `baseline`: B of "nvil", a number or
        one for each problem. `learn`: whether what it learns is fitted to the batch afterwards.
        """
        needs, name = self.entry.needs, self.entry.name
        given, k, fixed = _logits(logits, self.family)
        axes = _arguments.whole("batch_axes", batch_axes, most=max(given.ndim - 1, 0))
        count = needs["samples"] if samples is None else _arguments.whole("samples", samples, least=1, most=2**32)
        if name == "disarm":
            count = 1 if samples is None else count
        elif count < needs["samples"]:
            raise ValueError(f"{name} compares samples with each other, and needs {needs['samples']} or more; samples is {count}")
        if needs["gradient"] and gradient is None:
            raise ValueError(f"{name} needs gradient=…, the gradient of f at soft outcomes; reinforce, leave-one-out, disarm and relax do not")
        shape, event = given.shape[:axes], given.shape[axes:]
        flat = np.ascontiguousarray(given, dtype=np.float64).reshape(int(np.prod(shape, dtype=np.int64)), -1)
        if name != "nvil" and np.any(baseline):
            raise ValueError(f"{name} takes no baseline of the problems; nvil does")
        try:
            values_off = np.broadcast_to(_finite("baseline", _numbers("baseline", baseline, np.float64)), shape)
        except ValueError as error:
            raise ValueError(f"baseline does not fit problems of the shape {shape}: {error}") from None
        call = _Calls((*shape, count), event, given.dtype)
        functions: dict[str, Callable[..., Any] | None] = {
            "value": call.number("f", f),
            "gradient": None if gradient is None else call.array("gradient", gradient),
            "hessian_vector": None if hessian_vector is None else call.array("hessian_vector", hessian_vector),
            "surrogate": None if self._surrogate is None else call.number("surrogate", self._surrogate),
        }
        if self._control_variate is not None:
            functions["control_variate"] = call.both("control_variate", self._control_variate)
            fit = getattr(self._control_variate, "fit", None)
            functions["fit"] = None if fit is None else call.fit(fit)
        each, drawn, values = self._native.estimate(
            flat, k, count, self._free, functions, np.ascontiguousarray(values_off).reshape(-1), _arguments.flag("learn", learn)
        )
        whole = (*shape, count, *event)
        each = each.reshape(whole)
        if fixed is not None:
            each[np.broadcast_to(np.expand_dims(fixed, axes), whole)] = 0
        cast = given.dtype
        mean = each.mean(axis=axes)
        return Estimate(
            mean.astype(cast), each.astype(cast, copy=False), drawn.reshape(whole).astype(cast), values.reshape(*shape, count)
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_native": self._native.save(), "entry": self.entry.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        native = _relax_rl.FunctionEstimator(*state["_made"])
        native.load(state["_native"])
        self.__dict__.update(state, _native=native, entry=ESTIMATORS[state["entry"]])

    def __repr__(self) -> str:
        return f"Estimator({self.entry.name!r}, family={self.family!r})"


@dataclass(frozen=True)
class _Calls:
    """Functions as the native half calls them: rows in, rows out; what they return is checked here."""

    lead: tuple[int, ...]
    event: tuple[int, ...]
    dtype: Any

    def _shaped(self, x: Array) -> Array:
        return x.reshape(*self.lead, *self.event).astype(self.dtype, copy=False)

    def _checked(self, name: str, returned: Any, shape: tuple[int, ...], what: str) -> Array:
        try:
            array = np.asarray(returned, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"{name} returned {returned!r:.80}, and must return an array of numbers") from None
        if array.shape != shape:
            hint = ""
            if name == "f" and array.shape == self.lead[-1:] and len(self.lead) > 1:
                hint = "; if f judges all axes of logits together, leave batch_axes out"
            raise ValueError(f"{name} returned an array of the shape {array.shape}, and must return {shape}: {what}{hint}")
        if not np.isfinite(array).all():
            wrong = ~np.isfinite(array)
            raise ValueError(f"{name} returned {array[wrong][0]} at {_first(wrong)}, and must return finite numbers")
        return np.ascontiguousarray(array).reshape(-1)

    def number(self, name: str, f: Function) -> Callable[[Array], Array]:
        return lambda x: self._checked(name, f(self._shaped(x)), self.lead, "a number for each sample")

    def array(self, name: str, f: Callable[..., Any]) -> Callable[..., Array]:
        shape = (*self.lead, *self.event)
        return lambda *x: self._checked(name, f(*map(self._shaped, x)), shape, "what it was called with has that shape")

    def both(self, name: str, c: Function) -> Callable[[Array], tuple[Array, Array]]:
        def call(z: Array) -> tuple[Array, Array]:
            returned = c(self._shaped(z))
            if not isinstance(returned, (tuple, list)) or len(returned) != 2:
                raise TypeError(f"{name} must return its values and its gradients, not {type(returned).__name__}")
            shape = (*self.lead, *self.event)
            return (
                self._checked(name, returned[0], self.lead, "a number for each sample"),
                self._checked(f"the gradient of {name}", returned[1], shape, "that of z"),
            )

        return call

    def fit(self, fit: Callable[..., Any]) -> Callable[..., None]:
        def call(z: Array, alpha: Array, beta: Array) -> None:
            fit(self._shaped(z), alpha.reshape(self.lead).astype(self.dtype, copy=False), self._shaped(beta))

        return call


def estimate(
    name: str,
    f: Function,
    logits: ArrayLike,
    *,
    family: Family,
    rng: Rng,
    samples: int | None = None,
    batch_axes: int = 0,
    gradient: Function | None = None,
    baseline: ArrayLike = 0.0,
    **settings: Any,
) -> Estimate:
    """One estimate, with nothing learned and nothing kept: `Estimator(name, …)(f, logits, …)`. `settings`: `gain`, `temperature`,
    `control_variate`, `surrogate`, … as `Estimator` has them, but that the gain of "surrogate" is 1 unless it is given; `baseline` is the
    number of "baseline" and B of "nvil"."""
    estimator, baseline = _fresh(name, family, rng, baseline, settings)
    return estimator(f, logits, samples=samples, batch_axes=batch_axes, gradient=gradient, baseline=baseline, learn=False)


def _fresh(name: str, family: Family, seed: Rng, baseline: Any, settings: dict[str, Any]) -> tuple[Estimator, Any]:
    """An estimator that is to learn nothing, and what is left of `baseline` for its call."""
    if name == "baseline":
        settings, baseline = settings | {"baseline": baseline}, 0.0
    if name == "surrogate":
        settings = {"gain": 1.0} | settings
    return Estimator(name, family=family, seed=seed, **settings), baseline


# ── Exact gradients, and certificates ──


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
