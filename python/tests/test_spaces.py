"""One conversion of observations and actions in training, evaluation and `predict`: every space with every other."""

import os
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

import relax_rl

MODULES = Path(__file__).parents[2] / "tests" / "python"
sys.path.insert(0, str(MODULES))
os.environ["PYTHONPATH"] = os.pathsep.join([str(MODULES), os.environ.get("PYTHONPATH", "")])  # for subprocesses

from space_envs import ACTIONS, FACTORED, OBSERVATIONS, REFUSED, exact  # noqa: E402


def trained(path, observation="box", action="discrete", kind="a2c", vectorization="sync"):
    return relax_rl.train(
        {
            "env": {
                "id": "gym:space_envs:Strict-v0",
                "vectorization": vectorization,
                "kwargs": {"observation": observation, "action": action},
            },
            "agent": {"kind": kind, "hidden": [4]},
            "rollout": {"envs": 2, "steps": 8},
            "run": {"env_steps": 64, "evaluation_episodes": 2},
        },
        out=path,
    )


def same(a, b):
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b)


def check_policy(policy, observation_space, action_space):
    observation_space.seed(0)
    observations = [observation_space.sample() for _ in range(4)]
    batch = concatenate(observation_space, observations, create_empty_array(observation_space, 4))
    for deterministic in (True, False):
        for observation in observations:
            policy.seed(1)
            action, state = policy.predict(observation, deterministic=deterministic)
            assert exact(action_space, action), (action, action_space)
            assert state is None
        policy.seed(1)
        actions, _ = policy.predict(batch, deterministic=deterministic)
        assert batch_space(action_space, 4).contains(actions), (actions, action_space)
        if deterministic:
            alone = [policy.predict(one)[0] for one in observations]
            assert all(map(same, iterate(batch_space(action_space, 4), actions), alone))


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_observations(name, tmp_path):
    run = trained(tmp_path / "run", observation=name)
    assert run.summary["evaluation"]["mean"] == 7.0
    check_policy(relax_rl.load(run.dir), OBSERVATIONS[name], ACTIONS["discrete"])


@pytest.mark.parametrize("name", ACTIONS | FACTORED)
def test_actions(name, tmp_path):
    run = trained(tmp_path / "run", action=name)
    assert run.summary["evaluation"]["mean"] == 7.0
    check_policy(relax_rl.load(run.dir), OBSERVATIONS["box"], (ACTIONS | FACTORED)[name])


@pytest.mark.parametrize("observation, action", [("nested", "dict-of-boxes"), ("no-dimensions", "discrete-start")])
def test_subprocesses_convert_alike(observation, action, tmp_path):
    run = trained(tmp_path / "run", observation, action, vectorization="async")
    assert run.summary["evaluation"]["mean"] == 7.0


@pytest.mark.parametrize("name", REFUSED)
def test_actions_that_no_agent_has_are_refused_in_words(name, tmp_path):
    with pytest.raises(ValueError, match="the action space .* is not supported"):
        trained(tmp_path / "run", action=name)


@pytest.mark.parametrize("name", ["infinite", "half-infinite", "wide-float64", "discrete"])
def test_an_agent_that_scales_refuses_what_it_cannot_scale_to(name, tmp_path):
    with pytest.raises(ValueError, match='"ddpg"'):
        trained(tmp_path / "run", action=name, kind="ddpg")


@pytest.mark.parametrize("name", ["box", "float64", "integers", "uint8", "int64", "dict-of-boxes", "point"])
def test_an_agent_that_scales_stays_in_the_space(name, tmp_path):
    run = trained(tmp_path / "run", action=name, kind="ddpg")
    check_policy(relax_rl.load(run.dir), OBSERVATIONS["box"], ACTIONS[name])


def test_numbers_and_lists_are_observations_too(tmp_path):
    run = relax_rl.train(
        {
            "env": {"id": "gym:FrozenLake-v1", "vectorization": "sync"},
            "agent": {"kind": "a2c", "hidden": [4]},
            "run": {"env_steps": 300, "evaluation_episodes": 0},
        },
        out=tmp_path / "run",
    )
    policy = relax_rl.load(run.dir)
    for one in (5, np.int64(5), np.uint8(5), np.array(5)):
        action, _ = policy.predict(one)
        assert isinstance(action, np.int64)
    for batch in ([5], np.array([5]), (5,)):
        actions, _ = policy.predict(batch)
        assert actions.shape == (1,) and actions[0] == action
    for wrong, says in [
        (16, "16 is not in the observation space Discrete"),
        (-1, "-1 is not in"),
        (5.0, "float64.*whole numbers"),
        (None, "the observation is None"),
        ("5", "no number"),
        ([[5]], r"shape \(1, 1\)"),
        ([[1], [2, 3]], "no array"),
        ({"a": 1}, "no number"),
        ([0, 16], "16 is not in"),
    ]:
        with pytest.raises(ValueError, match=says):
            policy.predict(wrong)
    assert policy.predict(5)[0] == action
    with pytest.raises(ValueError, match="state must be None"):
        policy.predict(5, False)
    assert policy.predict(5, None, np.array([True]), True)[0] == action


def test_incomplete_observations_are_refused(tmp_path):
    policy = relax_rl.load(trained(tmp_path / "run", observation="dict").dir)
    good = OBSERVATIONS["dict"].sample()
    for wrong, says in [
        ({key: value for key, value in good.items() if key != "mode"}, "has the parts"),
        (good | {"more": 1}, "has the parts"),
        (good | {"mode": 4}, r"observation\['mode'\] 4 is not in"),
        (good | {"bits": [2, 0]}, "0 and 1"),
        (good | {"image": np.zeros((2, 2))}, "type float64"),
        (5, "Dict of"),
    ]:
        with pytest.raises(ValueError, match=says):
            policy.predict(wrong)


def test_native_policies_convert_alike(tmp_path):
    config = {"env": {"id": "Pendulum-v1"}, "agent": {"kind": "a2c"}, "run": {"env_steps": 500, "evaluation_episodes": 0}}
    policy = relax_rl.load(relax_rl.train(config, out=tmp_path / "run").dir)
    env = gymnasium.make("relax_rl/Pendulum-v1")
    check_policy(policy, env.observation_space, env.action_space)
