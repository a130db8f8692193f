"""Gradients from a function that is called, with what an estimator learns kept from call to call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import _arguments, _relax_rl
from ._arrays import Array, Family, Function, Rng, _choices, _finite, _first, _logits, _numbers, _seed


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
