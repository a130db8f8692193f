"""Nonsense for all that takes values from Python: actions alone and in batches, observations and masks of a policy, reset options, saved
states. Each is taken, or refused with an exception that Python knows; what is refused changes nothing, and no panic comes through.

Some hundred of each as a test; `RELAX_FUZZ=1000000 pytest tests/test_fuzz.py -s` makes a million, and watches the memory."""

import copy
import os
import resource
import time

import gymnasium
import numpy as np
import pytest

import relax_rl

COUNT = int(os.environ.get("RELAX_FUZZ", "400"))
SEED = int(os.environ.get("RELAX_FUZZ_SEED", "0"))
# What a wrong argument may raise. A panic is none of them: it is no `Exception` at all.
REFUSALS = (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError, RuntimeError, gymnasium.error.Error)

NUMBERS = [0, 1, 2, -1, 5, 2**31, 2**32, 2**63 - 1, -(2**63), 2**64, 10**30, 0.0, -0.0, 0.5, 1.0, -1.0, 1e300, 5e-324, 3.5e38]
NUMBERS += [float("nan"), float("inf"), float("-inf"), True, False]
OTHERS = [None, "", "1", "é\0", b"1", 1j, np.datetime64(1, "s"), (), [], {}, {1: 2}, {"low": 0.1}, slice(1), object(), len, ..., int]
TYPES = ["b1", "i1", "u1", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">f4", ">i8", "c8", "U2", "S3", "O", "M8[s]", "f4,i4"]


def array(rng):
    shape = tuple(rng.integers(0, 5, rng.integers(0, 4)))
    kind = TYPES[rng.integers(len(TYPES))]
    values = np.array([NUMBERS[i] for i in rng.integers(0, len(NUMBERS), int(np.prod(shape)))], dtype=object)
    with np.errstate(all="ignore"):
        try:
            made = values.reshape(shape).astype(kind)
        except (ValueError, TypeError, OverflowError):
            made = np.zeros(shape, kind)
    how = rng.integers(6)
    if how == 0 and made.ndim:
        made = made[..., ::-1]
    elif how == 1:
        made = made.T
    elif how == 2:
        made.flags.writeable = False
    elif how == 3 and made.dtype.kind in "if":
        made = np.ma.masked_array(made, mask=np.zeros(made.shape, bool))
    return made


def anything(rng, depth=0):
    match rng.integers(8 if depth < 3 else 5):
        case 0 | 1:
            return NUMBERS[rng.integers(len(NUMBERS))]
        case 2:
            return OTHERS[rng.integers(len(OTHERS))]
        case 3 | 4:
            return array(rng)
        case 5:
            return [anything(rng, depth + 1) for _ in range(rng.integers(5))]
        case 6:
            return tuple(anything(rng, depth + 1) for _ in range(rng.integers(5)))
        case _:
            return {str(NUMBERS[rng.integers(9)]): anything(rng, depth + 1) for _ in range(rng.integers(4))}


def nearly(good, rng):
    """A right value, one thing about it changed; or anything at all."""
    how = rng.integers(9)
    value = np.array(good)
    with np.errstate(all="ignore"):
        if how == 0 and value.size and value.dtype.kind in "iuf":
            value = value.astype("f8").reshape(-1)
            value[rng.integers(value.size)] = float(NUMBERS[rng.integers(len(NUMBERS))])
            return value.reshape(np.shape(good))
        if how == 1:
            return value.astype(["f8", "f2", "i8", "u1", "b1", ">f4", "O"][rng.integers(7)])
    if how == 2:
        return value[None]
    if how == 3:
        return value.reshape(-1)[: rng.integers(value.size + 1)]
    if how == 4:
        return value.tolist()
    if how == 5:
        return np.concatenate([value.reshape(-1)] * int(rng.integers(1, 4)))
    if how == 6:
        return good
    return anything(rng)


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def fuzz(name, feed, check=None):
    """Feeds as many inputs as are wanted; `check` from time to time."""
    rng, begun, before = np.random.default_rng([SEED, *name.encode()]), time.monotonic(), memory()
    taken = 0
    for i in range(COUNT):
        try:
            feed(rng)
            taken += 1
        except REFUSALS:
            pass
        if check and i % 100 == 0:
            check()
    assert 0 < taken < COUNT, f"{taken} of {COUNT} were taken: nothing was tried"
    if "RELAX_FUZZ" in os.environ:
        seconds = time.monotonic() - begun
        print(f"\n{name}: {COUNT} inputs in {seconds:.0f} s, {taken} of them taken, no panic; at most {memory()} MiB ({before} before)")
    assert memory() < before + 300


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1", "Catch-v0", "TicTacToe-v0"])
def test_actions(id):
    env, twin = (gymnasium.make(f"relax_rl/{id}").unwrapped for _ in range(2))
    env.action_space.seed(0)

    def feed(rng):
        env.reset(seed=3)
        env.step(nearly(env.action_space.sample(), rng))

    def check():
        for one in (env, twin):
            one.reset(seed=1)
        action = env.action_space.sample(mask=env._env.action_mask()) if env._masked else env.action_space.sample()
        with pytest.raises(REFUSALS):
            env.step("no action")
        assert env.step(action)[0].tobytes() == twin.step(action)[0].tobytes(), "what was refused has changed something"

    fuzz(f"actions of {id}", feed, check)


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_batches_of_actions(id):
    envs, twin = (gymnasium.make_vec(f"relax_rl/{id}", 3) for _ in range(2))
    envs.action_space.seed(0)
    envs.reset(seed=1)

    def feed(rng):
        envs.step(nearly(envs.action_space.sample(), rng))

    def check():
        for one in (envs, twin):
            one.reset(seed=1)
        actions = envs.action_space.sample()
        with pytest.raises(REFUSALS):
            envs.step([0, "no action", 0])
        assert envs.step(actions)[0].tobytes() == twin.step(actions)[0].tobytes(), "what was refused has changed something"

    fuzz(f"batches of {id}", feed, check)


@pytest.mark.parametrize("alone", [True, False])
def test_resets(alone):
    env = gymnasium.make("relax_rl/CartPole-v1").unwrapped if alone else gymnasium.make_vec("relax_rl/CartPole-v1", 3)

    def feed(rng):
        if rng.integers(2):
            low = NUMBERS[rng.integers(len(NUMBERS))] if rng.integers(2) else -0.02
            env.reset(seed=1, options={"low": low, "high": 0.03} if rng.integers(3) else anything(rng))
        else:
            env.reset(seed=anything(rng))

    fuzz("resets" if alone else "resets of a batch", feed)


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def trained(env, kind):
        config = {"env": {"id": env}, "agent": {"kind": kind, "hidden": [4]}, "run": {"env_steps": 64, "evaluation_episodes": 0}}
        return relax_rl.load(relax_rl.train(config, out=folder / f"{env}-{kind}").dir)

    return [
        (trained("CartPole-v1", "a2c"), gymnasium.make("relax_rl/CartPole-v1").observation_space, None),
        (trained("Pendulum-v1", "ddpg"), gymnasium.make("relax_rl/Pendulum-v1").observation_space, None),
        (trained("TicTacToe-v0", "a2c"), gymnasium.make("relax_rl/TicTacToe-v0").observation_space, np.ones(9, np.int8)),
    ]


def test_predictions(policies):
    def feed(rng):
        policy, space, mask = policies[rng.integers(len(policies))]
        observation = space.sample() if rng.integers(2) else np.stack([space.sample()] * 3)
        chosen = {"action_mask": nearly(mask, rng)} if mask is not None and rng.integers(2) else {}
        if not rng.integers(20):
            chosen |= {"deterministic": anything(rng)}
        action, _ = policy.predict(nearly(observation, rng), **chosen)
        assert action is not None

    fuzz("predictions", feed)


def test_saved_states():
    source = gymnasium.make("relax_rl/CartPole-v1").unwrapped
    source.reset(seed=2)
    state = source.__getstate__()

    def changed(value, rng):
        if isinstance(value, (list, tuple)) and value and rng.integers(4):
            at = int(rng.integers(len(value)))
            return type(value)([changed(part, rng) if i == at else part for i, part in enumerate(value)])
        return nearly(value, rng) if isinstance(value, (int, float, list, tuple)) else anything(rng)

    def feed(rng):
        env = copy.copy(source)
        env.__setstate__(state | {"_env": changed(state["_env"], rng)})
        env.step(0)
        env.reset(seed=1)

    fuzz("saved states", feed)
