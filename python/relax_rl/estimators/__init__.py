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

from ._certificate import Certificate, Exact, certify, exact
from ._function import ESTIMATORS, Entry, Estimate, Estimator, estimate
from ._samples import LearnedBaseline, Signal, antithetic, disarm, leave_one_out, leave_one_out_baseline, nvil, reinforce, sample, surrogate

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
