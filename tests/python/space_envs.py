"""An environment with any observation and action space, which refuses an action that is not exactly of its space: of
another structure, dtype or shape, or out of bounds."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

F64, F16, F32 = np.float64, np.float16, np.float32

OBSERVATIONS = {
    "box": spaces.Box(-1, 1, (2,), F32),
    "no-dimensions": spaces.Box(-1, 1, (), F32),
    "float64": spaces.Box(-1e3, 1e3, (2, 2), F64),
    "float16": spaces.Box(-1, 1, (2,), F16),
    "integers": spaces.Box(-5, 5, (3,), np.int64),
    "image": spaces.Box(0, 255, (2, 3, 1), np.uint8),
    "discrete": spaces.Discrete(4),
    "discrete-start": spaces.Discrete(4, start=-2),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-discrete-start": spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 0], [-3, 7]]),
    "multi-binary": spaces.MultiBinary(3),
    "multi-binary-2d": spaces.MultiBinary((2, 2)),
    "dict": spaces.Dict(
        image=spaces.Box(0, 255, (2, 2), np.uint8), mode=spaces.Discrete(3, start=1), bits=spaces.MultiBinary(2)
    ),
    "tuple": spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (2,), F64), spaces.MultiDiscrete([2, 2]))),
    "nested": spaces.Dict(
        a=spaces.Tuple((spaces.Box(0, 1, (), F32), spaces.Dict(b=spaces.Discrete(2)))), c=spaces.Box(0, 9, (1,), np.int8)
    ),
}

ACTIONS = {
    "box": spaces.Box(-1, 1, (2,), F32),
    "no-dimensions": spaces.Box(-0.1, 0.1, (), F64),
    "float64": spaces.Box(-0.1, 0.1, (2,), F64),
    "float64-image": spaces.Box(-0.7, 0.3, (2, 2), F64),
    "float16": spaces.Box(-1, 1, (2,), F16),
    "point": spaces.Box(0.1, 0.1, (2,), F64),
    "between-float32": spaces.Box(0.1 - 1e-12, 0.1 + 1e-12, (2,), F64),
    "half-infinite": spaces.Box(np.array([0, -np.inf]), np.array([np.inf, 0.3]), dtype=F64),
    "infinite": spaces.Box(-np.inf, np.inf, (2,), F32),
    "wide-float64": spaces.Box(-1e300, 1e300, (2,), F64),
    "integers": spaces.Box(0, 10, (2,), np.int32),
    "int64": spaces.Box(-(2**63), 2**63 - 1, (2,), np.int64),
    "uint8": spaces.Box(0, 255, (1, 2), np.uint8),
    "odd-integers": spaces.Box(2**24 + 1, 2**24 + 3, (1,), np.int64),
    "discrete": spaces.Discrete(3),
    "discrete-start": spaces.Discrete(3, start=5),
    "discrete-negative": spaces.Discrete(2, start=-7),
    "one-choice": spaces.Discrete(1),
    "multi-discrete-of-one": spaces.MultiDiscrete([4]),
    "multi-binary-of-one": spaces.MultiBinary(1),
    "dict-of-boxes": spaces.Dict(a=spaces.Box(-0.1, 0.1, (2,), F64), b=spaces.Box(0, 3, (), np.int8)),
    "tuple-of-boxes": spaces.Tuple((spaces.Box(-1, 1, (1,), F32), spaces.Box(0, 2, (2,), F32))),
    "dict-of-discrete": spaces.Dict(x=spaces.Discrete(3, start=1)),
    "nested-box": spaces.Dict(a=spaces.Tuple((spaces.Box(0, 1, (2, 1), F32),))),
}

# Several choices at once.
FACTORED = {
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-discrete-start": spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 0], [-3, 7]]),
    "multi-binary": spaces.MultiBinary(3),
    "multi-binary-2d": spaces.MultiBinary((2, 2)),
    "tuple-of-discrete": spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3, start=-1))),
    "dict-of-choices": spaces.Dict(a=spaces.MultiBinary(2), b=spaces.Tuple((spaces.Discrete(2), spaces.MultiDiscrete([2, 3])))),
}

REFUSED = {
    "mixed": spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (2,), F32))),
    "text": spaces.Text(5),
    "sequence": spaces.Dict(a=spaces.Sequence(spaces.Discrete(2))),
}


def exact(space, value):
    """Whether `value` is in `space` without any conversion."""
    if isinstance(space, spaces.Dict):
        return type(value) is dict and set(value) == set(space.spaces) and all(exact(s, value[k]) for k, s in space.items())
    if isinstance(space, spaces.Tuple):
        return type(value) is tuple and len(value) == len(space) and all(map(exact, space.spaces, value))
    if isinstance(space, spaces.Discrete):
        return isinstance(value, np.integer) and value.dtype == space.dtype and bool(space.contains(value))
    return isinstance(value, np.ndarray) and value.dtype == space.dtype and bool(space.contains(value))


class Strict(gym.Env):
    metadata = {"render_modes": []}

    def __init__(self, observation="box", action="discrete", length=7, log=None):
        self.observation_space = OBSERVATIONS[observation]
        self.action_space = (ACTIONS | FACTORED | REFUSED)[action]
        self.length, self.log = length, log

    def observe(self):
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken = 0
        observation = self.observe()
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write(f"{seed} {observation!r}\n")
        return observation, {}

    def step(self, action):
        if not exact(self.action_space, action):
            raise AssertionError(f"{action!r} is not exactly in {self.action_space}")
        self.taken += 1
        return self.observe(), 1.0, self.taken >= self.length, False, {}


gym.register("Strict-v0", Strict)


class Keywords(gym.Env):
    """Notes what it was made with."""

    metadata = {"render_modes": []}
    observation_space = spaces.Box(-1, 1, (1,), F32)
    action_space = spaces.Discrete(2)
    made_with = []

    def __init__(self, **kwargs):
        self.made_with.append(kwargs)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, F32), {}

    def step(self, action):
        return np.zeros(1, F32), 1.0, bool(self.np_random.random() < 0.2), False, {}


gym.register("Keywords-v0", Keywords)


class OwnNormalise(gym.wrappers.NormalizeReward):
    """A normalising wrapper by another name."""


class OwnStatistics(gym.Wrapper):
    """Keeps running statistics of its own."""

    def __init__(self, env):
        super().__init__(env)
        self.seen = gym.wrappers.utils.RunningMeanStd(shape=())

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        self.seen.update(np.array([reward]))
        return observation, reward / np.sqrt(self.seen.var + 1e-8), *rest


class Frozen(gym.wrappers.NormalizeObservation):
    """Normalises by fixed statistics, which is no matter."""

    def __init__(self, env):
        super().__init__(env)
        self.update_running_mean = False


class Hidden(gym.Env):
    """An environment that keeps a normalised one inside."""

    metadata = {"render_modes": []}

    def __init__(self):
        self.inside = [gym.wrappers.NormalizeObservation(gym.make("CartPole-v1"))]
        self.observation_space, self.action_space = self.inside[0].observation_space, self.inside[0].action_space

    def reset(self, **kwargs):
        return self.inside[0].reset(**kwargs)

    def step(self, action):
        return self.inside[0].step(action)


gym.register("Hidden-v0", Hidden)
gym.register("Normal-v0", lambda: gym.wrappers.NormalizeReward(gym.make("CartPole-v1")))


def normal_vector(num_envs, **kwargs):
    """A vector entry point with a normalising wrapper of vectors around it."""
    return gym.wrappers.vector.NormalizeReward(gym.make_vec("CartPole-v1", num_envs))


gym.register("NormalVector-v0", vector_entry_point=normal_vector)
