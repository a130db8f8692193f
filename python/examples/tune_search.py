"""Hyper-parameter search with Ray Tune over `relax_rl.train`: trials that are worse than others at their budget end there.

    pip install "ray[tune]"
    python tune_search.py --trials 40 --out runs/tune

`relax sweep` does the same without Python, `relax_rl.ray.sweep` on a Ray cluster, both to the same trials however often they are killed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler

import relax_rl

CONFIG: dict[str, Any] = {
    "env": {"id": "Acrobot-v1"},
    "agent": {"kind": "a2c"},
    "rollout": {"workers": 0},
    # A run that goes on with another budget has another schedule; without one it is the run that had it from the start.
    "learner": {"anneal": False},
}

SPACE: dict[str, Any] = {
    "learner.learning_rate": tune.loguniform(1e-5, 1e-1),
    "learner.value_epochs": tune.lograndint(1, 33),
    "learner.lambda": tune.uniform(0.5, 1.0),
    "learner.entropy": tune.loguniform(1e-4, 1e-1),
    "rollout.steps": tune.lograndint(4, 129),
}


def trial(settings: dict[str, Any], config: dict[str, Any], budgets: Sequence[int]) -> None:
    """Trains to one budget after the other, and tells the greedy evaluation after each."""
    dir = Path(tune.get_context().get_trial_dir()) / "run"
    for budget in budgets:
        if dir.exists():
            run = relax_rl.resume(dir, run__env_steps=budget)
        else:
            run = relax_rl.train(config, out=dir, run__env_steps=budget, **settings)
        tune.report({"return": run.summary["evaluation"]["mean"], "env_steps": budget, "dir": str(dir)})


def search(
    out: Path, *, trials: int, budgets: Sequence[int] = (10_000, 30_000, 90_000), seed: int = 1000, config: dict[str, Any] = CONFIG
) -> tune.ResultGrid:
    """Runs the trials, a processor each, and returns what they came to."""
    tuner = tune.Tuner(
        tune.with_parameters(trial, config=config, budgets=tuple(budgets)),
        param_space={**SPACE, "run.seed": seed},
        tune_config=tune.TuneConfig(
            metric="return",
            mode="max",
            num_samples=trials,
            search_alg=tune.search.BasicVariantGenerator(random_state=seed),
            scheduler=ASHAScheduler(time_attr="env_steps", max_t=budgets[-1], grace_period=budgets[0], reduction_factor=3),
        ),
        run_config=tune.RunConfig(name="search", storage_path=str(out.resolve()), verbose=0),
    )
    return tuner.fit()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--trials", type=int, default=40)
    arguments.add_argument("--out", type=Path, default=Path("runs/tune"))
    given = arguments.parse_args()
    best = search(given.out, trials=given.trials).get_best_result()
    metrics = best.metrics or {}
    print(f"{metrics['return']} after {metrics['env_steps']} steps, in {metrics['dir']}")
    for name, value in (best.config or {}).items():
        print(f"{name} = {value}")


if __name__ == "__main__":
    main()
