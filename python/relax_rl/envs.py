"""The native environments as Gymnasium's `Env` and `VectorEnv`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ._relax_rl import NativeEnv, NativeEnvs

RENDER_FPS = 50


def _space(described: tuple[str, list[float], list[float], list[int], list[int]]) -> spaces.Space[Any]:
    kind, low, high, shape, counts = described
    if kind == "box":
        bounds = (np.array(bound, dtype=np.float32).reshape(shape) for bound in (low, high))
        return spaces.Box(*bounds, dtype=np.float32)
    if kind == "discrete":
        return spaces.Discrete(counts[0])
    return spaces.MultiDiscrete(counts) if kind == "multi-discrete" else spaces.MultiBinary(counts[0])


class Native(gymnasium.Env[np.ndarray, Any]):
    """A native environment. `reset(seed=s)` starts the same episode as Gymnasium's environment of that name."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": RENDER_FPS}

    def __init__(self, native_id: str, render_mode: str | None = None, **kwargs: Any) -> None:
        self._env = NativeEnv(native_id, kwargs)
        self.observation_space, self.action_space = map(_space, self._env.spaces())
        self.render_mode = render_mode
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._env.seed(seed)
        elif not self._seeded:
            self._env.seed(int(self.np_random.integers(2**63)))
        self._seeded = True
        return self._env.reset(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated = self._env.step(action)
        return observation, reward, terminated, truncated, {}

    def render(self) -> np.ndarray | None:
        return self._env.render() if self.render_mode == "rgb_array" else None


class NativeVector(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Native environments, all stepped by one call. An episode's end also starts the next one (`SAME_STEP`); the last
    observations are in `infos["final_obs"]`, those that count marked in `infos["_final_obs"]`."""

    metadata = {
        "render_modes": ["rgb_array"],
        "render_fps": RENDER_FPS,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        native_id: str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._envs = NativeEnvs(native_id, num_envs, kwargs, max_episode_steps)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space, self.single_action_space = map(_space, self._envs.spaces())
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._step = self._envs.step

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if options is not None and "reset_mask" in options:
            raise ValueError("reset_mask is for AutoresetMode.DISABLED; these environments reset by themselves")
        if seed is None or isinstance(seed, int):
            super().reset(seed=seed)
        if isinstance(seed, int):
            seeds = [seed + slot for slot in range(self.num_envs)]
        else:
            fresh = self.np_random.integers(2**32, size=self.num_envs).tolist()
            seeds = fresh if seed is None else [f if s is None else s for s, f in zip(seed, fresh, strict=True)]
        return self._envs.reset(seeds), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        return self._step(actions)

    def render(self) -> tuple[np.ndarray | None, ...] | None:
        if self.render_mode != "rgb_array":
            return None
        return tuple(self._envs.render(slot) for slot in range(self.num_envs))
