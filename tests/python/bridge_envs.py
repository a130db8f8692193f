"""Environments for the tests of the bridge: every kind of space, every autoreset mode, every fault."""

import os
import signal
import time

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class Count(gym.Env):
    """Counts its steps; an episode's length grows with its number. Observation (step, episode), reward 1 a step."""

    observation_space = spaces.Box(0.0, 1e6, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, start=3, truncates=False):
        self.start, self.truncates, self.episode = start, truncates, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.start, self.episode = 3 + seed % 5, 0
        self.episode += 1
        self.t = 0
        return self.observe(), {}

    def observe(self):
        return np.array([self.t, self.episode], dtype=np.float32)

    def step(self, action):
        self.t += 1
        over = self.t >= self.start + self.episode
        return self.observe(), 1.0, over and not self.truncates, over and self.truncates, {}


def counts(mode):
    def entry(num_envs, max_episode_steps=None, truncates=False):
        return SyncVectorEnv([lambda: Count(truncates=truncates) for _ in range(num_envs)], autoreset_mode=mode)
    return entry


class Faulty(gym.Env):
    """Does what `fault` says in its step number `at`, if its seed leaves the rest `slot` (none: always)."""

    action_space = spaces.Discrete(2)

    def __init__(self, fault="none", at=20, integer=False):
        self.fault, self.at, self.t = fault, at, 0
        kind = np.uint8 if fault == "dtype" else np.float32
        self.observation_space = spaces.Box(0, 255, (3,), kind)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.fault == "reset" and self.t > 0:
            raise RuntimeError("no more episodes")
        return np.zeros(3, dtype=self.observation_space.dtype), {}

    def step(self, action):
        self.t += 1
        observation, reward = np.full(3, self.t % 7, dtype=self.observation_space.dtype), 1.0
        if self.t == self.at:
            match self.fault:
                case "raise":
                    raise KeyError("the battery is flat")
                case "not-finite":
                    observation = np.array([0.0, np.nan, 0.0], dtype=np.float32)
                case "reward-not-finite":
                    reward = float("nan")
                case "reward-text":
                    reward = "much"
                case "shape":
                    observation = np.zeros(4, dtype=np.float32)
                case "scalar":
                    observation = np.float32(0.0)
                case "dtype":
                    observation = np.array([0.5, 1.5, 2.5])
                case "hang":
                    time.sleep(1e6)
                case "spin":
                    while True:
                        pass
                case "die":
                    os.kill(os.getpid(), signal.SIGKILL)
        return observation, reward, self.t % 10 == 0, False, {}


OBSERVATIONS = {
    "box64": spaces.Box(-10.0, 10.0, (2, 2), np.float64),
    "image": spaces.Box(0, 255, (2, 3, 1), np.uint8),
    "int": spaces.Box(-5, 5, (3,), np.int32),
    "discrete": spaces.Discrete(4, start=2),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(3),
    "dict": spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Box(0.0, 9.0, (2,), np.float32)}),
    "tuple": spaces.Tuple([spaces.MultiBinary(2), spaces.Box(0.0, 9.0, (1,), np.float32)]),
    "text": spaces.Text(5),
    "sequence": spaces.Sequence(spaces.Discrete(2)),
    "nested": spaces.Dict({"x": spaces.Graph(spaces.Box(0, 1, (1,)), None)}),
}
SHOWN = {
    "box64": np.array([[1.0, -2.0], [3.5, 0.1]]),
    "image": np.arange(6, dtype=np.uint8).reshape(2, 3, 1) + 250,
    "int": np.array([-5, 0, 4], dtype=np.int32),
    "discrete": 4,
    "multi-discrete": np.array([1, 2]),
    "multi-binary": np.array([1, 0, 1], dtype=np.int8),
    "dict": {"b": 1, "a": np.array([7.0, 8.0], dtype=np.float32)},
    "tuple": (np.array([0, 1], dtype=np.int8), np.array([6.0], dtype=np.float32)),
}
ACTIONS = {
    "discrete": spaces.Discrete(3, start=-1),
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "box64": spaces.Box(-1.0, 1.0, (1, 2), np.float64),
    "int": spaces.Box(-9, 9, (2,), np.int64),
    "multi-discrete": spaces.MultiDiscrete([3, 4], start=[10, 20]),
    "multi-binary": spaces.MultiBinary(3),
    "dict": spaces.Dict({"a": spaces.Box(-1.0, 1.0, (1,), np.float32), "b": spaces.Box(-9.0, 9.0, (2,), np.float64)}),
    "mixed": spaces.Tuple([spaces.Discrete(2), spaces.Box(-1.0, 1.0, (1,), np.float32)]),
}


class Spaces(gym.Env):
    """Shows one observation for ever; the reward is the sum of what the action holds, as Python got it."""

    def __init__(self, observation="discrete", action="discrete"):
        self.observation_space, self.action_space = OBSERVATIONS[observation], ACTIONS[action]
        self.shown = SHOWN.get(observation)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.shown, {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        parts = action.values() if isinstance(action, dict) else [action]
        return self.shown, float(sum(np.sum(np.asarray(part, dtype=np.float64)) for part in parts)), False, False, {}


class Needy(gym.Env):
    """Needs a package that nobody has."""

    def __init__(self):
        import a_package_that_nobody_has


class Keeper(Count):
    """Keeps the array of its last action, as environments that punish jerky ones do; the reward is the change."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, **kwargs):
        self.last = np.zeros(1, dtype=np.float32)
        return super().reset(**kwargs)

    def step(self, action):
        change = float(action[0] - self.last[0])
        self.last = action
        observation, _, terminated, truncated, info = super().step(action)
        return observation, change, terminated, truncated, info


def register(name, entry, **more):
    gym.register(id=f"{name}-v0", entry_point=entry, disable_env_checker=True, **more)


register("Count", Count)
register("Faulty", Faulty)
register("Spaces", Spaces)
register("Needy", Needy)
register("Keeper", Keeper)
for mode in AutoresetMode:
    name = "Count" + mode.name.title().replace("_", "")
    gym.register(id=f"{name}-v0", vector_entry_point=counts(mode))
