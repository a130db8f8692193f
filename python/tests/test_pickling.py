"""What goes to other processes: environments, in the middle of an episode too, and policies."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import relax_rl

IDS = sorted(id for id in gymnasium.envs.registry if id.startswith("relax_rl/"))


def make(id):
    return gymnasium.make(id, disable_env_checker=True)


def there_and_back(env):
    return pickle.loads(pickle.dumps(env))


@pytest.mark.parametrize("id", IDS)
def test_pickle_env(id):
    """Gymnasium's own test of that name (tests/envs/test_envs.py)."""
    env = make(id)
    pickled_env = there_and_back(env)

    data_equivalence(env.reset(), pickled_env.reset())

    action = env.action_space.sample()
    data_equivalence(env.step(action), pickled_env.step(action))
    env.close()
    pickled_env.close()


def actions(env, steps):
    env.action_space.seed(0)
    mask = None
    for _ in range(steps):
        yield env.action_space.sample(mask) if mask is not None else env.action_space.sample()
        mask = env.unwrapped._info().get("action_mask")


@pytest.mark.parametrize("how", [there_and_back, copy.deepcopy], ids=["pickled", "copied"])
@pytest.mark.parametrize("id", IDS)
def test_an_environment_goes_on_where_it_was(id, how):
    """As Gymnasium's test, but that what comes of it must be equal, and in the middle of an episode."""
    env = make(id)
    env.reset(seed=3)
    over = False
    for action in actions(env, 5):
        *_, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
        if over:
            break
    twin = how(env)
    for _ in range(2):
        for action in actions(env, 0 if over else 8):
            ours, theirs = env.step(action), twin.step(action)
            assert data_equivalence(ours, theirs, exact=True), id
            if ours[2] or ours[3]:
                break
        over = False
        assert data_equivalence(env.reset(), twin.reset(), exact=True), id


def played(env, steps):
    """In another process."""
    return [env.step(env.action_space.sample())[0] for _ in range(steps)]


def decided(policy, observations):
    return policy.predict(observations)[0], policy.predict(observations, deterministic=False)[0]


@pytest.fixture(scope="module")
def elsewhere():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_an_environment_goes_to_another_process(id, elsewhere):
    env = make(f"relax_rl/{id}")
    env.reset(seed=1)
    env.action_space.seed(1)
    sent = elsewhere.submit(played, env, 6).result()
    assert np.array_equal(sent, played(env, 6))
    envs = gymnasium.make_vec(f"relax_rl/{id}", 3)
    envs.reset(seed=1)
    envs.action_space.seed(1)
    assert np.array_equal(elsewhere.submit(played, envs, 6).result(), played(envs, 6))
