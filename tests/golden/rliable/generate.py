"""Records what rliable makes of two agents' scores, with the very resamplings it drew.

    pip install rliable==1.2.0 "pandas<3" && python generate.py > scores.json
"""

import json

import numpy as np
from rliable import library, metrics

REPS, RUNS, TASKS = 200, 10, 3
np.random.seed(3)  # what rliable resamples with
rng = np.random.RandomState(7)
# Two agents, ten runs of three tasks; rounded, so that there are ties within and between them.
x = np.round(rng.normal([0.6, 0.8, 0.3], [0.2, 0.05, 0.3], (RUNS, TASKS)), 2)
y = np.round(rng.normal([0.5, 0.8, 0.4], [0.3, 0.1, 0.2], (RUNS - 2, TASKS)), 2)
taus = np.linspace(-0.4, 1.2, 9)

aggregate = lambda s: np.array([
    metrics.aggregate_iqm(s), metrics.aggregate_median(s), metrics.aggregate_mean(s),
    metrics.aggregate_optimality_gap(s, 1.0),
])


class Fixed(library.StratifiedBootstrap):
    """Keeps the indices it draws."""

    def update_indices(self):
        index = super().update_indices()
        self.drawn.append(np.asarray(index[0]).tolist())
        return index


class FixedPair(library.StratifiedIndependentBootstrap):
    def update_indices(self):
        index = super().update_indices()
        self.drawn.append([np.asarray(i[0]).tolist() for i in index[0]])
        return index


def interval(bootstrap, func):
    bootstrap.drawn = []
    ci = bootstrap.conf_int(func, reps=REPS, size=0.95, method="percentile")
    return bootstrap.drawn, np.asarray(ci).tolist()


drawn_x, ci_x = interval(Fixed(x, random_state=np.random.RandomState(1)), aggregate)
drawn_p, ci_p = interval(FixedPair(x, y, random_state=np.random.RandomState(2)),
                         lambda a, b: np.array([metrics.probability_of_improvement(a, b)]))
profile = library.create_performance_profile({"x": x}, taus, reps=10)[0]["x"]
print(json.dumps({
    "made_with": "rliable 1.2.0, generate.py",
    "x": x.tolist(), "y": y.tolist(), "taus": taus.tolist(),
    "aggregate_x": aggregate(x).tolist(), "aggregate_y": aggregate(y).tolist(),
    "probability_of_improvement": float(metrics.probability_of_improvement(x, y)),
    "profile_x": profile.tolist(),
    "resampled_x": drawn_x, "interval_x": ci_x,
    "resampled_pair": drawn_p, "interval_probability": ci_p,
}))
