"""Environments that mask actions and raise when a forbidden one is taken, alone and as vector environments of every autoreset
mode; and some whose masks make no sense. The observation is the mask."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

SPACES = {
    "discrete": (spaces.Discrete(5), [5]),
    "shifted": (spaces.Discrete(4, start=-2), [4]),
    "multi-discrete": (spaces.MultiDiscrete([3, 2, 4]), [3, 2, 4]),
    "multi-binary": (spaces.MultiBinary(3), [2, 2, 2]),
    "dict": (spaces.Dict({"a": spaces.Discrete(3), "b": spaces.MultiBinary(1)}), [3, 2]),
    "box": (spaces.Box(-1.0, 1.0, (2,), np.float32), [2]),
}


class Masked(gym.Env):
    """One choice of each factor at least is allowed while an episode runs. The lowest allowed choice of each pays."""

    render_mode = None

    def __init__(self, action="discrete", fault=None, at=3, truncates=True):
        self.action_space, self.counts = SPACES[action]
        self.kind, self.fault, self.at, self.truncates = action, fault, at, truncates
        self.observation_space = spaces.Box(0.0, 1.0, (sum(self.counts),), np.float32)
        self.steps = 0

    def draw(self):
        self.factors = []
        for n in self.counts:
            own = self.np_random.integers(0, 2, size=n).astype(np.int8)
            own[self.np_random.integers(n)] = 1
            self.factors.append(own)

    def observation(self):
        return np.concatenate(self.factors).astype(np.float32)

    def told(self):
        if self.kind == "multi-discrete":
            mask = tuple(self.factors)
        elif self.kind == "multi-binary":
            mask = np.concatenate(self.factors).astype(np.bool_)
        else:
            mask = np.concatenate(self.factors)
        if self.steps >= self.at:
            if self.fault == "missing":
                return {}
            if self.fault == "nothing":
                mask = np.zeros_like(mask)
            elif self.fault == "short":
                mask = mask[:-1]
            elif self.fault == "type":
                mask = mask.astype(np.float32)
            elif self.fault == "two":
                mask = 2 * mask
        return {} if self.fault == "late" and self.steps < self.at else {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.draw()
        return self.observation(), self.told()

    def choices(self, action):
        if self.kind == "shifted":
            return [int(action) + 2]
        if self.kind == "dict":
            return [int(action["a"]), int(action["b"][0])]
        return [int(choice) for choice in np.atleast_1d(action)]

    def step(self, action):
        self.steps += 1
        reward = 0.0
        if self.kind != "box" and self.fault != "late":
            for own, choice in zip(self.factors, self.choices(action), strict=True):
                if not own[choice]:
                    raise AssertionError(f"{choice} of {own} is forbidden")
                reward += float(choice == np.argmax(own))
        self.draw()
        over = self.np_random.random() < 0.2 and self.fault is None
        cut = self.truncates and self.np_random.random() < 0.1
        if not over:
            return self.observation(), reward, False, bool(cut), self.told()
        # The game is over: nothing is allowed, or nothing is told of it.
        self.factors = [np.zeros_like(own) for own in self.factors]
        return self.observation(), reward, True, False, self.told() if self.np_random.random() < 0.5 else {}


def vector(mode):
    class Vector(VectorEnv):
        metadata = {"autoreset_mode": mode}
        render_mode = None

        def __init__(self, num_envs=1, **kwargs):
            self.num_envs = num_envs
            self.envs = [Masked(**kwargs) for _ in range(num_envs)]
            one = self.envs[0]
            self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
            self.observation_space = batch_space(one.observation_space, num_envs)
            self.action_space = batch_space(one.action_space, num_envs)
            self.over = np.zeros(num_envs, dtype=np.bool_)
            self.seen = [None] * num_envs

        def reset(self, *, seed=None, options=None):
            marked = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
            infos = {}
            for slot in np.flatnonzero(marked):
                self.seen[slot], info = self.envs[slot].reset(seed=None if seed is None else seed + int(slot))
                infos = self._add_info(infos, info, slot)
            self.over &= ~marked
            return np.stack(self.seen), infos

        def step(self, actions):
            n, infos = self.num_envs, {}
            rewards, terminated, truncated = np.zeros(n), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
            for slot, env in enumerate(self.envs):
                if self.over[slot]:
                    assert mode == AutoresetMode.NEXT_STEP
                    self.seen[slot], info = env.reset()
                    self.over[slot] = False
                else:
                    self.seen[slot], rewards[slot], terminated[slot], truncated[slot], info = env.step(actions[slot])
                    self.over[slot] = terminated[slot] or truncated[slot]
                    if self.over[slot] and mode == AutoresetMode.SAME_STEP:
                        last = {"final_obs": self.seen[slot], "final_info": info}
                        self.seen[slot], info = env.reset()
                        info, self.over[slot] = {**last, **info}, False
                infos = self._add_info(infos, info, slot)
            return np.stack(self.seen), rewards, terminated, truncated, infos

    return Vector


gym.register(id="Masked-v0", entry_point=Masked, disable_env_checker=True)
for name, mode in (
    ("SameStep", AutoresetMode.SAME_STEP), ("NextStep", AutoresetMode.NEXT_STEP), ("Disabled", AutoresetMode.DISABLED),
):
    gym.register(id=f"Masked{name}-v0", vector_entry_point=vector(mode))
