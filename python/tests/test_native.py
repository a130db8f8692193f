"""What a native environment does beyond stepping, against Gymnasium's own: reset options, generators, copies, attributes,
autoreset modes."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import relax_rl  # noqa: F401  registers the environments

IDS = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]
OPTIONS = {
    "CartPole-v1": [{"low": -0.01, "high": 0.02}, {"high": 0.3}, {"low": np.float32(-0.25)}, {"low": 0, "high": 0}],
    "Acrobot-v1": [{"low": -1, "high": 1.5}, {"low": 0.05}],
    "MountainCar-v0": [{"low": -0.5, "high": -0.45}, {"high": 0.0}],
    "MountainCarContinuous-v0": [{"low": -0.5, "high": -0.45}],
    "Pendulum-v1": [{"x_init": 0.5, "y_init": 0.25}, {"x_init": 1}, {"y_init": 0.0}],
}


def pair(id):
    return gymnasium.make(f"relax_rl/{id}"), gymnasium.make(id)


@pytest.mark.parametrize("id", IDS)
def test_reset_options_are_gymnasiums(id):
    ours, theirs = pair(id)
    for options in [None, {}, *OPTIONS[id], None]:
        for seed in (3, None):
            a, b = (env.reset(seed=seed, options=options)[0] for env in (ours, theirs))
            assert a.tobytes() == b.tobytes(), (options, seed)
            action = theirs.action_space.sample()
            assert ours.step(action)[0].tobytes() == theirs.step(action)[0].tobytes()
    mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
    ours, theirs = gymnasium.make_vec(f"relax_rl/{id}", 3), gymnasium.make_vec(id, 3, "sync", vector_kwargs=mode)
    for options in OPTIONS[id]:
        assert ours.reset(seed=5, options=dict(options))[0].tobytes() == theirs.reset(seed=5, options=dict(options))[0].tobytes()


def test_wrong_reset_options_are_refused_in_words():
    for id, options, says in [
        ("CartPole-v1", {"lo": 1}, "there is no `lo`; there are low, high"),
        ("CartPole-v1", {"low": 1.0}, "`low` is 1.0, above `high`"),
        ("CartPole-v1", {"low": "a"}, "`low` must be a finite number"),
        ("CartPole-v1", {"high": float("nan")}, "finite"),
        ("Pendulum-v1", {"low": 0.0}, "there are x_init, y_init"),
        ("Pendulum-v1", {"x_init": -1.0}, "0 or more"),
    ]:
        for env in (gymnasium.make(f"relax_rl/{id}"), gymnasium.make_vec(f"relax_rl/{id}", 2)):
            before, _ = env.reset(seed=1)
            with pytest.raises(ValueError, match=says):
                env.reset(seed=1, options=options)
            assert env.reset(seed=1)[0].tobytes() == before.tobytes()
    for env in (gymnasium.make("relax_rl/CartPole-v1").unwrapped, gymnasium.make_vec("relax_rl/CartPole-v1", 2)):
        with pytest.raises(ValueError, match="must be a dictionary"):
            env.reset(options=5)


def test_the_generator_can_be_drawn_from_and_replaced():
    ours, theirs = (env.unwrapped for env in pair("CartPole-v1"))
    for env in (ours, theirs):
        env.reset(seed=11)
    assert ours.np_random_seed == theirs.np_random_seed == 11

    def both(work):
        a, b = work(ours), work(theirs)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()

    both(lambda env: env.np_random.random(3))
    both(lambda env: env.np_random.integers(7))  # leaves half a word behind
    both(lambda env: env.reset()[0])
    both(lambda env: env.np_random.standard_normal())

    def replace(env):
        env.np_random = np.random.Generator(np.random.PCG64(99))
        return env.reset()[0]

    both(replace)
    assert ours.np_random_seed == theirs.np_random_seed == -1
    both(lambda env: env.reset()[0])
    both(lambda env: env.np_random.random())
    both(lambda env: env.step(1)[0])
    both(lambda env: env.reset(seed=4)[0])
    both(lambda env: env.reset()[0])
    both(lambda env: env.reset(seed=2**80 + 1)[0])
    with pytest.raises(ValueError, match="cannot as MT19937"):
        ours.np_random = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(ValueError, match="cannot as int"):
        ours.np_random = 5
    for wrong in (-1, 1.5, "a"):
        with pytest.raises(gymnasium.error.Error, match="Seed"):
            ours.reset(seed=wrong)
    fresh = gymnasium.make("relax_rl/CartPole-v1").unwrapped
    assert fresh.np_random_seed == fresh.np_random_seed and fresh.np_random is fresh.np_random
    first, second = (gymnasium.make("relax_rl/CartPole-v1").reset()[0] for _ in range(2))
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_alike_and_apart(id, how):
    env = gymnasium.make(f"relax_rl/{id}").unwrapped
    vec = gymnasium.make_vec(f"relax_rl/{id}", 3)
    for original in (env, vec):
        first = how(original)  # before its first reset
        assert first.reset(seed=2)[0].tobytes() == original.reset(seed=2)[0].tobytes()
        original.action_space.seed(0)
        actions = [original.action_space.sample() for _ in range(60)]
        for action in actions[:20]:
            original.step(action)
            if original is env and env.step(action)[2]:
                env.reset()
        twin = how(original)
        for action in actions[20:]:
            results = [one.step(action) for one in (original, twin)]
            assert results[0][0].tobytes() == results[1][0].tobytes()
            assert np.array_equal(results[0][1:4], results[1][1:4])
            if original is env and results[0][2]:
                assert env.reset()[0].tobytes() == twin.reset()[0].tobytes()
        twin.reset(seed=9)
        original.step(actions[0])  # the copy has a state of its own


def test_a_copy_has_its_own_generator():
    env = gymnasium.make("relax_rl/CartPole-v1").unwrapped
    env.reset(seed=0)
    env.np_random.random()
    env.gravity = 3.0
    twin = copy.copy(env)
    assert twin.gravity == 3.0
    assert twin.np_random.random() == env.np_random.random()
    env.np_random.random()
    assert twin.np_random.random() != env.np_random.random()


@pytest.mark.parametrize("id", IDS)
def test_attributes_are_gymnasiums(id):
    ours, theirs = pair(id)
    for env in (ours, theirs):
        env.reset(seed=1)
    names = set(ours.unwrapped._numbers)
    assert {"state"} < names
    for name in names - {"m", "l"}:
        mine, his = ours.unwrapped.get_wrapper_attr(name), getattr(theirs.unwrapped, name)
        assert np.allclose(mine, his, rtol=0, atol=0), name
        assert ours.get_wrapper_attr(name) is not None
    vec = gymnasium.make_vec(f"relax_rl/{id}", 2)
    vec.reset(seed=1)
    assert np.array_equal(vec.get_attr("state")[0], ours.unwrapped.state) and len(vec.call("state")) == 2
    for asked in (lambda: vec.get_attr("nonsense"), lambda: ours.unwrapped.nonsense, lambda: vec.set_attr("nonsense", 1)):
        with pytest.raises(AttributeError, match="nonsense"):
            asked()


def test_an_attribute_that_is_changed_changes_the_dynamics_or_is_refused():
    ours, theirs = (env.unwrapped for env in pair("CartPole-v1"))
    for env in (ours, theirs):
        env.gravity = 3.5
        env.reset(seed=0)
    for _ in range(8):
        assert ours.step(1)[0].tobytes() == theirs.step(1)[0].tobytes()
    ours, theirs = (env.unwrapped for env in pair("Pendulum-v1"))
    for env in (ours, theirs):
        env.g = 1.5
        env.reset(seed=0)
        env.reset(seed=0)
    for _ in range(8):
        assert ours.step(np.ones(1, np.float32))[0].tobytes() == theirs.step(np.ones(1, np.float32))[0].tobytes()
    vec = gymnasium.make_vec("relax_rl/CartPole-v1", 3)
    vec.set_attr("gravity", [1.0, 2.0, 3.0])
    assert vec.get_attr("gravity") == vec.call("gravity") == (1.0, 2.0, 3.0)
    vec.set_attr("gravity", 9.0)
    assert vec.get_attr("gravity") == (9.0, 9.0, 9.0)
    cart = gymnasium.make("relax_rl/CartPole-v1").unwrapped
    for name, value, says in [("tau", 0.1, "fixed"), ("state", np.zeros(4), "only numbers"), ("gravity", "x", "only numbers")]:
        with pytest.raises(AttributeError, match=says):
            setattr(cart, name, value)
        with pytest.raises((AttributeError, ValueError)):
            vec.set_attr(name, value)
    cart.mine = 5
    assert cart.mine == 5


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_every_autoreset_mode_is_gymnasiums(id, mode):
    limit = {"max_episode_steps": 13}
    ours = gymnasium.make_vec(f"relax_rl/{id}", 4, autoreset_mode=mode, **limit)
    theirs = gymnasium.make_vec(id, 4, "sync", vector_kwargs={"autoreset_mode": mode}, **limit)
    assert ours.metadata["autoreset_mode"] == mode
    assert ours.reset(seed=3)[0].tobytes() == theirs.reset(seed=3)[0].tobytes()
    theirs.action_space.seed(1)
    ends = 0
    for _ in range(150):
        actions = theirs.action_space.sample()
        a, b = ours.step(actions), theirs.step(actions)
        for mine, his in zip(a[:4], b[:4], strict=True):
            assert mine.dtype == his.dtype and mine.tobytes() == his.tobytes()
        assert ("final_obs" in a[4]) == ("final_obs" in b[4])
        ended = a[2] | a[3]
        ends += int(ended.sum())
        if mode == AutoresetMode.DISABLED and ended.any():
            with pytest.raises(ValueError, match="has ended"):
                ours.step(actions)
            seeds = [None, 7, None, 8]
            fresh = [env.reset(seed=list(seeds), options={"reset_mask": ended.copy()})[0] for env in (ours, theirs)]
            assert fresh[0].tobytes() == fresh[1].tobytes()
    assert ends >= 20
    twin = pickle.loads(pickle.dumps(ours))
    assert twin.metadata["autoreset_mode"] == mode
    if mode != AutoresetMode.DISABLED:
        assert twin.step(actions)[0].tobytes() == ours.step(actions)[0].tobytes()


def test_a_running_episode_can_be_reset_by_the_mask():
    ours = gymnasium.make_vec("relax_rl/CartPole-v1", 3, autoreset_mode="Disabled")
    theirs = gymnasium.make_vec("CartPole-v1", 3, "sync", vector_kwargs={"autoreset_mode": "Disabled"})
    for env in (ours, theirs):
        env.reset(seed=0)
        env.step(np.array([0, 1, 0]))
    for options in ({}, {"low": 0.0, "high": 0.01}):
        mask = np.array([False, True, False])
        a, b = (env.reset(options={"reset_mask": mask, **options})[0] for env in (ours, theirs))
        assert a.tobytes() == b.tobytes()
    for wrong in ([True, False, False], np.zeros(3, bool), np.ones(2, bool), np.ones(3)):
        with pytest.raises(ValueError, match="reset_mask must be"):
            ours.reset(options={"reset_mask": wrong})
    with pytest.raises(ValueError, match="DISABLED"):
        gymnasium.make_vec("relax_rl/CartPole-v1", 3).reset(options={"reset_mask": np.ones(3, bool)})
    with pytest.raises(ValueError, match="must be one of"):
        gymnasium.make_vec("relax_rl/CartPole-v1", 3, autoreset_mode="Sometimes")
