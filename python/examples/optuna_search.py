"""Hyper-parameter search with Optuna over `relax_rl.train`: TPE, and a run that is worse than others at its budget ends there.

    pip install optuna
    python optuna_search.py --trials 40 --out runs/optuna

The study lies in `OUT/study.log`: the same command goes on with it, and several at a time, on several machines with a common file
system, share it. `relax sweep` does the same without Python, and to the same trials however often it is killed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

import relax_rl

CONFIG: dict[str, Any] = {
    "env": {"id": "Acrobot-v1"},
    "agent": {"kind": "a2c"},
    "rollout": {"workers": 1},
}


def settings(trial: optuna.Trial) -> dict[str, Any]:
    """What is searched, as overrides of the configuration."""
    return {
        "learner.learning_rate": trial.suggest_float("learner.learning_rate", 1e-5, 1e-1, log=True),
        "learner.value_epochs": trial.suggest_int("learner.value_epochs", 1, 32, log=True),
        "learner.lambda": trial.suggest_float("learner.lambda", 0.5, 1.0),
        "learner.entropy": trial.suggest_float("learner.entropy", 1e-4, 1e-1, log=True),
        "rollout.steps": trial.suggest_int("rollout.steps", 4, 128, log=True),
    }


def search(out: Path, *, trials: int, budgets: Sequence[int] = (10_000, 30_000, 90_000), seed: int = 1000) -> optuna.Study:
    """Goes on with the study of the folder `out` until it has `trials` trials. Each is trained on the budgets, one after the other, with a
    seed of its own on each, and its score is the greedy evaluation after the last."""

    def objective(trial: optuna.Trial) -> float:
        score, overrides = 0.0, settings(trial)
        for rung, budget in enumerate(budgets):
            overrides |= {"run.env_steps": budget, "run.seed": seed + rung}
            run = relax_rl.train(CONFIG, out=out / "runs" / f"t{trial.number:03}-r{rung}", **overrides)
            score = float(run.summary["evaluation"]["mean"])
            trial.set_user_attr("dir", str(run.dir))
            trial.report(score, budget)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score

    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="relax-rl",
        storage=JournalStorage(JournalFileBackend(str(out / "study.log"))),
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=budgets[0], reduction_factor=3),
    )
    # A trial that was killed is not taken up again, and does not count.
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    study.optimize(objective, n_trials=max(0, trials - len(study.get_trials(deepcopy=False, states=ended))))
    return study


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--trials", type=int, default=40)
    arguments.add_argument("--out", type=Path, default=Path("runs/optuna"))
    given = arguments.parse_args()
    best = search(given.out, trials=given.trials).best_trial
    print(f"trial {best.number}: {best.value}, in {best.user_attrs['dir']}")
    for name, value in best.params.items():
        print(f"{name} = {value}")


if __name__ == "__main__":
    main()
