"""The search with Optuna that the documentation names."""

import importlib.util
from pathlib import Path

import pytest


def test_a_search_with_optuna_goes_on_and_comes_to_the_same(tmp_path):
    optuna = pytest.importorskip("optuna", reason="scripts/setup-python examples installs it")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = Path(__file__).parents[1] / "examples" / "optuna_search.py"
    spec = importlib.util.spec_from_file_location("optuna_search", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.CONFIG["run"] = {"evaluation_episodes": 2}
    budgets = (256, 768)

    def trials(study):
        return [(trial.number, trial.params, trial.state, trial.value) for trial in study.get_trials()]

    whole = trials(example.search(tmp_path / "whole", trials=6, budgets=budgets))
    assert len(whole) == 6 and len({str(params) for _, params, _, _ in whole}) == 6
    assert {state.name for _, _, state, _ in whole} <= {"COMPLETE", "PRUNED"} and "COMPLETE" in {state.name for _, _, state, _ in whole}
    assert (tmp_path / "whole" / "runs" / "t005-r0" / "summary.json").exists()
    assert trials(example.search(tmp_path / "parts", trials=6, budgets=budgets)) == whole
    more = example.search(tmp_path / "parts", trials=8, budgets=budgets)
    assert trials(more)[:6] == whole and len(trials(more)) == 8
    assert Path(more.best_trial.user_attrs["dir"]).is_dir()
