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
    """In another process, too. Whoever draws again draws otherwise."""
    return [policy.predict(observations, deterministic=flag)[0] for flag in (True, False, False)]


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


POLICIES = {
    "choices": {"env": {"id": "CartPole-v1"}, "agent": {"kind": "relax-a2c"}},
    "numbers": {"env": {"id": "Pendulum-v1"}, "agent": {"kind": "ppo"}},
    "deterministic": {"env": {"id": "Pendulum-v1"}, "agent": {"kind": "td3"}, "learner": {"replay": {"warm_up_steps": 20}}},
    "squashed": {"env": {"id": "Pendulum-v1"}, "agent": {"kind": "sac"}, "learner": {"replay": {"warm_up_steps": 20}}},
    "an encoder": {"env": {"id": "CatchImage-v0"}, "agent": {"kind": "a2c", "encoder": "small-cnn"}, "rollout": {"envs": 2}},
    "Python's environment": {"env": {"id": "gym:FrozenLake-v1", "kwargs": {"is_slippery": False}}, "agent": {"kind": "a2c"}},
}


@pytest.fixture(scope="module", params=POLICIES)
def trained(request, tmp_path_factory):
    config = POLICIES[request.param]
    run = relax_rl.train(config, out=tmp_path_factory.mktemp("policy") / "run", run__env_steps=80, run__evaluation_episodes=1)
    return config["env"], run


def test_a_policy_goes_on_where_it_was(trained, elsewhere):
    """Pickled, copied, in another process: the same actions, and the same draws after those that were made already."""
    env, run = trained
    made = gymnasium.make_vec(env["id"].removeprefix("gym:") if ":" in env["id"] else f"relax_rl/{env['id']}", 5, **env.get("kwargs", {}))
    observations = made.reset(seed=4)[0]
    policy = relax_rl.load(run.dir)
    policy.seed(7)
    first = decided(policy, observations)
    twins = [there_and_back(policy), copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy, protocol=2))]
    sent = elsewhere.submit(decided, policy, observations).result()
    ours = decided(policy, observations)
    for theirs in [sent, *(decided(twin, observations) for twin in twins)]:
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert np.array_equal(first[0], ours[0]) and twins[0].config == policy.config
    # A twin is another policy: what it draws moves nothing else.
    twins[1].seed(1)
    assert all(np.array_equal(a, b) for a, b in zip(decided(policy, observations), decided(twins[0], observations), strict=True))


def test_a_pickled_policy_that_is_damaged_is_refused(trained):
    make, (data, words) = relax_rl.load(trained[1].dir).__reduce__()
    for wrong in [data[:-1], data[:-1] + bytes([data[-1] ^ 1]), b"", pickle.dumps(3)]:
        with pytest.raises(ValueError, match="^the policy cannot be read: it"):
            make(wrong, words)
    with pytest.raises(ValueError, match="version of relax-rl"):
        make(data.replace(b'"format_version":"1"', b'"format_version":"9"'), words)
    with pytest.raises(ValueError):
        make(data, [0] * 6)
