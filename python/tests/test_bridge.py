"""What reaches a Gymnasium environment from Python as it was given, and what is refused whatever it is called."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import relax_rl

MODULES = Path(__file__).parents[2] / "tests" / "python"
sys.path.insert(0, str(MODULES))
os.environ["PYTHONPATH"] = os.pathsep.join([str(MODULES), os.environ.get("PYTHONPATH", "")])  # for subprocesses

from space_envs import Keywords  # noqa: E402

CARTPOLE = {
    "env": {"id": "gym:CartPole-v1", "vectorization": "sync"},
    "agent": {"kind": "a2c", "hidden": [4]},
    "rollout": {"envs": 2, "steps": 8},
    "run": {"env_steps": 64, "evaluation_episodes": 0},
}

ARGUMENTS = [
    None,
    True,
    np.bool_(True),
    3,
    10**19,
    -(10**40),
    2**63 - 1,
    -(2**63),
    0.5,
    -0.0,
    float("inf"),
    np.float32(0.1),
    np.float64("inf"),
    np.int64(3),
    np.uint8(3),
    np.float16(0.25),
    1 + 2j,
    "null",
    "",
    "\U00020bb7 \x00\x07\x7f\n\"\\'",
    b"\x00ab",
    [],
    [1, None, [2.5, "x"]],
    (),
    (1,),
    (1, (2, None)),
    {},
    {"a": 1, "b": {"c": [1, {"d": None}]}},
    {"z": 1, "a": 2},
    {1: 2, (3, 4): None},
    {"python": "None"},
    {1, 2},
    frozenset(),
    np.array([[1, 2], [3, 4]], dtype=np.int16),
    np.zeros((0, 3), dtype=np.float32),
    np.array(1.5),
    [{"x": np.float32(1)}],
]


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


def keywords(path, **settings):
    config = CARTPOLE | {"env": {"id": "gym:space_envs:Keywords-v0", "vectorization": "sync"}}
    run = relax_rl.train(config, out=path, **settings)
    return run, Keywords.made_with[-1]


def test_arguments_arrive_as_they_are(tmp_path):
    given = {f"x{i}": value for i, value in enumerate(ARGUMENTS)}
    env = {"id": "gym:space_envs:Keywords-v0", "vectorization": "sync", "kwargs": given}
    run = relax_rl.train(CARTPOLE | {"env": env}, out=tmp_path / "dictionaries")
    for name, value in given.items():
        assert same(Keywords.made_with[-1][name], value), value
    # They are still what they were when they come from the run folder.
    Keywords.made_with.clear()
    relax_rl.resume(run.dir, run__env_steps=96)
    assert all(same(Keywords.made_with[-1][name], value) for name, value in given.items())
    overrides = {f"env__kwargs__{name}": value for name, value in given.items()}
    _, made = keywords(tmp_path / "overrides", **overrides)
    assert all(same(made[name], value) for name, value in given.items())
    _, made = keywords(tmp_path / "whole", env__kwargs=given)
    assert all(same(made[name], value) for name, value in given.items())


def test_settings_of_numpy_and_paths_are_taken(tmp_path):
    run = relax_rl.train(
        CARTPOLE | {"run": {"env_steps": np.int32(64), "evaluation_episodes": np.uint8(0)}},
        out=tmp_path / "run",
        agent__hidden=np.array([4, 4]),
        learner__gamma=np.float32(0.5),
        run__stop_when_solved=np.bool_(False),
    )
    text = (run.dir / "config.toml").read_text()
    assert "gamma = 0.5" in text and run.summary["env_steps"] == 64


@pytest.mark.parametrize(
    "setting, says",
    [
        ({"run__seed": None}, "run.seed is None; leave it out"),
        ({"run__seed": 10**19}, "64 bits"),
        ({"run__seed": object()}, "run.seed is an object"),
        ({"env__kwargs__x": object()}, "env.kwargs.x is an object.*cannot be written"),
        ({"env__kwargs__x": Path("a")}, "env.kwargs.x is a PosixPath"),
        ({"env__kwargs__x": [1, print]}, r"env.kwargs.x\[1\]"),
        ({"env__kwargs__x": "\ud800"}, "surrogate"),
        ({"env__kwargs": "x"}, "a dictionary of arguments"),
        ({"env__kwargs__num_envs": 3}, "env.kwargs.num_envs is no argument"),
        ({"env__kwargs__x": {"a": {"b": {1: print}}}}, "env.kwargs.x"),
    ],
)
def test_what_cannot_be_written_is_named(setting, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        keywords(tmp_path / "run", **setting)


def wrapper(name, **kwargs):
    return {"name": "Gymnasium", "wrapper": name, "kwargs": kwargs}


STATISTICS = {
    "ours": {"wrappers": [{"name": "NormalizeReward"}]},
    "ours-observation": {"wrappers": [{"name": "NormalizeObservation"}]},
    "gymnasiums": {"wrappers": [wrapper("NormalizeReward")]},
    "gymnasiums-observation": {"wrappers": [wrapper("NormalizeObservation")]},
    "with-arguments": {"wrappers": [wrapper("NormalizeReward", gamma=0.9)]},
    "package": {"wrappers": [wrapper("gymnasium.wrappers.NormalizeReward")]},
    "module": {"wrappers": [wrapper("gymnasium.wrappers.stateful_observation.NormalizeObservation")]},
    "inside": {"wrappers": [wrapper("NormalizeReward"), wrapper("ClipReward", max_reward=1.0)]},
    "subclass": {"wrappers": [wrapper("space_envs.OwnNormalise")]},
    "own-statistics": {"wrappers": [wrapper("space_envs.OwnStatistics")]},
    "in-the-environment": {"id": "gym:space_envs:Normal-v0"},
    "inside-the-environment": {"id": "gym:space_envs:Hidden-v0"},
    "in-the-vector": {"id": "gym:space_envs:NormalVector-v0", "vectorization": "vector"},
    "native": {"id": "CartPole-v1", "wrappers": [{"name": "NormalizeReward"}]},
}


@pytest.mark.parametrize("name", STATISTICS)
def test_running_statistics_are_refused_by_every_name(name, tmp_path):
    env = {"id": "gym:CartPole-v1", "vectorization": "sync"} | STATISTICS[name]
    if name == "native":
        del env["vectorization"]
    with pytest.raises(ValueError, match="keeps running statistics(.|\n)*learner.normalize_"):
        relax_rl.train(CARTPOLE | {"env": env}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_running_statistics_are_refused_in_subprocesses_too(tmp_path):
    env = {"id": "gym:CartPole-v1", "vectorization": "async", "wrappers": [wrapper("space_envs.OwnNormalise")]}
    with pytest.raises(ValueError, match="keeps running statistics"):
        relax_rl.train(CARTPOLE | {"env": env}, out=tmp_path / "run")


def test_fixed_statistics_and_other_wrappers_are_taken(tmp_path):
    wrappers = [wrapper("space_envs.Frozen"), wrapper("ClipReward", max_reward=np.float64(0.5))]
    relax_rl.train(CARTPOLE | {"env": {"id": "gym:CartPole-v1", "vectorization": "sync", "wrappers": wrappers}}, out=tmp_path / "run")


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_resumed_run_never_repeats_an_episode(vectorization, tmp_path):
    def stopped_and_resumed(run, budgets):
        """The episodes that were started, in parts between a start and a stop."""
        log = run.with_suffix(".log")
        env = {"id": "gym:space_envs:Strict-v0", "vectorization": vectorization, "kwargs": {"log": str(log)}}
        parts = []
        for steps in budgets:
            relax_rl.resume(run, run__env_steps=steps) if parts else relax_rl.train(CARTPOLE | {"env": env}, out=run)
            parts.append(log.read_text().splitlines()[sum(map(len, parts)) :])
        return parts

    parts = stopped_and_resumed(tmp_path / "run", (64, 128, 192, 256))
    assert all(len(part) >= 8 for part in parts)
    observations = [line.partition(" ")[2] for part in parts for line in part]
    assert len(set(observations)) == len(observations)
    seeds = [line.partition(" ")[0] for part in parts for line in part if not line.startswith("None")]
    assert len(set(seeds)) == len(seeds) == 2 * len(parts)
    # The same run, resumed at the same steps, is the same run.
    again = stopped_and_resumed(tmp_path / "again", (64, 128))
    assert [sorted(part) for part in again] == [sorted(part) for part in parts[:2]]


def test_a_module_that_is_not_there_is_looked_for_before_it_is_installed(tmp_path):
    with pytest.raises(ValueError, match=r"start from the folder that holds no_such_module_here\.py"):
        relax_rl.train(CARTPOLE | {"env": {"id": "gym:no_such_module_here:X-v0"}}, out=tmp_path / "run")
    with pytest.raises(ValueError, match="space_envs is, but has no such part"):
        relax_rl.train(CARTPOLE | {"env": {"id": "gym:space_envs.more:X-v0"}}, out=tmp_path / "run")
