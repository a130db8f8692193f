"""The native environments as Gymnasium's `Env` and `VectorEnv`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from . import _arguments
from ._relax_rl import NativeEnv, NativeEnvs

RENDER_FPS = 50
_HALF = 2**64 - 1


def _words(generator: np.random.Generator) -> list[int]:
    """The state of a generator of NumPy as the native ones have it."""
    bits = getattr(generator, "bit_generator", None)
    if type(bits) is not np.random.PCG64:
        kind = type(bits if bits is not None else generator).__name__
        raise ValueError(f"native environments draw as numpy.random.PCG64 does, and cannot as {kind}")
    state = bits.state
    numbers = (state["state"]["state"], state["state"]["inc"])
    return [part for n in numbers for part in (n >> 64, n & _HALF)] + [state["has_uint32"], state["uinteger"]]


def _set_words(generator: np.random.Generator, words: Sequence[int]) -> None:
    state, inc = (words[i] << 64 | words[i + 1] for i in (0, 2))
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state, "inc": inc},
        "has_uint32": words[4],
        "uinteger": words[5],
    }


def _shaped(space: gymnasium.Space[Any]) -> tuple[int, ...] | None:
    """The shape of observations, where it is another than the row of numbers that the native half has."""
    return space.shape if space.shape is not None and len(space.shape) != 1 else None


def _options(options: Any) -> dict[str, Any] | None:
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"reset options must be a dictionary, not a {type(options).__name__}")
    for name, value in (options or {}).items():
        _arguments.text("the name of a reset option", name)
        # As Gymnasium's own environments do: whatever can become one number is one. Text is refused by the native half, by its name.
        if name != "reset_mask" and not isinstance(value, str):
            try:
                float(value)
            except (TypeError, ValueError):
                raise ValueError(f"the reset option {name!r} is {value!r}; it must be a number") from None
    return dict(options) if options else None


class Native(gymnasium.Env[np.ndarray, Any]):
    """A native environment. `reset(seed=s)` starts the same episode as Gymnasium's environment of that name, and takes
    the same options. Its numbers (`gravity`, `state`, …) are attributes. `np_random` is the generator it draws from: it
    can be drawn from, and replaced by another PCG64. It can be copied and pickled in the middle of an episode. Where actions are
    masked, `info["action_mask"]` is what `action_space.sample(mask=…)` takes."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": RENDER_FPS}

    def __init__(self, native_id: str, render_mode: str | None = None, **kwargs: Any) -> None:
        self._made = (_arguments.text("native_id", native_id), kwargs)
        self.render_mode = render_mode
        self._seeded = False
        self._generator: np.random.Generator | None = None
        env = NativeEnv(native_id, kwargs)
        self.observation_space, self.action_space = env.spaces()
        self._shape = _shaped(self.observation_space)
        self._numbers = frozenset(env.attributes())
        self._masked = False  # the first reset shows whether it is
        self._env = env

    # While somebody holds NumPy's generator, that one is the truth, and the native one follows it. Until then there is
    # none: a step need not look at it.

    @property
    def np_random(self) -> np.random.Generator:
        if self._generator is None:
            self._seed_somehow()
            self._generator = np.random.Generator(np.random.PCG64())
            self._follow(self._generator)
        return self._generator

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        words = _words(value)
        self._generator, self._np_random_seed, self._seeded = value, -1, True
        self._env.set_generator(words)

    @property
    def _np_random(self) -> np.random.Generator | None:  # type: ignore[override]
        # Gymnasium's checker looks here for whether a reset has seeded the environment.
        return self.np_random if self._seeded else None

    @property
    def np_random_seed(self) -> int:
        self._seed_somehow()
        return self._np_random_seed  # type: ignore[return-value]

    def _seed_somehow(self) -> None:
        """Seeds an environment that has not been seeded."""
        if not self._seeded:
            generator, self._np_random_seed = seeding.np_random()
            self._env.set_generator(_words(generator))
            self._seeded = True

    def _follow(self, generator: np.random.Generator) -> None:
        """Brings NumPy's generator to where the native one is."""
        _set_words(generator, self._env.generator())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        options = _options(options)
        if seed is None:
            self._seed_somehow()
            if self._generator is not None:
                self._env.set_generator(_words(self._generator))
        elif type(seed) is int and 0 <= seed <= _HALF:
            self._env.seed(seed)
            self._generator, self._np_random_seed, self._seeded = None, seed, True
        else:
            generator, self._np_random_seed = seeding.np_random(seed)  # refuses what is no seed
            self._env.set_generator(_words(generator))
            self._generator, self._seeded = None, True
        try:
            observation = self._env.reset(options)
            self._masked = self._env.action_mask() is not None
            return observation if self._shape is None else observation.reshape(self._shape), self._info()
        finally:
            if self._generator is not None:
                self._follow(self._generator)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self._generator is None:
            observation, reward, terminated, truncated = self._env.step(action)
        else:
            self._env.set_generator(_words(self._generator))
            try:
                observation, reward, terminated, truncated = self._env.step(action)
            finally:
                self._follow(self._generator)
        if self._shape is not None:
            observation = observation.reshape(self._shape)
        return observation, reward, terminated, truncated, self._info() if self._masked else {}

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._env.action_mask()} if self._masked else {}

    def render(self) -> np.ndarray | None:
        return self._env.render() if self.render_mode == "rgb_array" else None

    def __getattr__(self, name: str) -> Any:
        # Only names that are not found otherwise come here.
        if not name.startswith("_") and name in self._numbers:
            return self._env.attributes()[name]
        raise AttributeError(f"{self._made[0]} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_numbers", ()):
            self._env.set_attribute(name, _number(name, value))
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_env": self._env.save(), "_generator": copy.deepcopy(self._generator)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        env = NativeEnv(*state["_made"])
        env.load(state["_env"])
        self.__dict__.update(state, _env=env)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise AttributeError(f"{name} cannot become {value!r}: only numbers can be changed, to numbers") from None


class NativeVector(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Native environments, all stepped by one call.

    `autoreset_mode` is one of Gymnasium's, `SAME_STEP` by default: an episode's end also starts the next one; the last
    observations are in `infos["final_obs"]`, those that count marked in `infos["_final_obs"]`. With `NEXT_STEP`, the step
    after an end starts the next episode; with `DISABLED`, `reset(options={"reset_mask": …})` does. Where actions are masked,
    `infos["action_mask"]` has a row for each environment."""

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
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        **kwargs: Any,
    ) -> None:
        mode = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else str(autoreset_mode)
        num_envs = _arguments.whole("num_envs", num_envs, least=1, most=2**32 - 1)
        if max_episode_steps is not None:
            max_episode_steps = _arguments.whole("max_episode_steps", max_episode_steps, least=1, most=2**32 - 1)
        self._made = (_arguments.text("native_id", native_id), num_envs, kwargs, max_episode_steps, mode)
        self._envs = NativeEnvs(*self._made)
        self.metadata = self.metadata | {"autoreset_mode": AutoresetMode(mode)}
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space, self.single_action_space = self._envs.spaces()
        self._shape = _shaped(self.single_observation_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._step = self._envs.step

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        options, mask = _options(options), None
        if options is not None and "reset_mask" in options:
            mask = self._mask(options.pop("reset_mask"))
        if seed is None or isinstance(seed, (int, np.integer)):
            super().reset(seed=None if seed is None else int(seed))
        if isinstance(seed, (int, np.integer)):
            seeds: list[int | None] = [
                _arguments.whole(f"the seed of environment {slot}", int(seed) + slot) for slot in range(self.num_envs)
            ]
        else:
            if seed is not None and (isinstance(seed, (str, bytes)) or not isinstance(seed, Iterable)):
                raise TypeError(f"seed must be a whole number, or a list of one for each environment, not {seed!r}")
            given: list[int | None] = [None] * self.num_envs if seed is None else list(seed)
            if len(given) != self.num_envs:
                raise ValueError(f"there are {len(given)} seeds for {self.num_envs} environments")
            # Of slots that are reset alone, the random numbers go on.
            fresh = [None] * self.num_envs if mask is not None else self.np_random.integers(2**32, size=self.num_envs).tolist()
            seeds = [
                f if s is None else _arguments.whole(f"seed[{slot}]", s)
                for slot, (s, f) in enumerate(zip(given, fresh, strict=True))
            ]
        observations, masks = self._observed(self._envs.reset(seeds, options, mask)), self._envs.action_masks()
        if masks is None:
            return observations, {}
        return observations, {"action_mask": masks, "_action_mask": np.ones(self.num_envs, dtype=np.bool_)}

    def _observed(self, rows: np.ndarray) -> np.ndarray:
        """Observations as their space has them: the same memory."""
        return rows if self._shape is None else rows.reshape(self.num_envs, *self._shape)

    def _mask(self, mask: Any) -> list[bool]:
        if self.metadata["autoreset_mode"] != AutoresetMode.DISABLED:
            raise ValueError("reset_mask is for AutoresetMode.DISABLED; these environments reset by themselves")
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"reset_mask must be an array of {self.num_envs} truth values, one of them at least true; it is {mask!r}"
            )
        return [bool(flag) for flag in mask]

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._shape is None:
            return self._step(actions)
        observations, rewards, terminated, truncated, infos = self._step(actions)
        if "final_obs" in infos:
            infos["final_obs"] = self._observed(infos["final_obs"])
        return self._observed(observations), rewards, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray | None, ...] | None:  # type: ignore[override]
        if self.render_mode != "rgb_array":
            return None
        return tuple(self._envs.render(slot) for slot in range(self.num_envs))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """A number of each environment, such as "gravity" or "state"."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Changes a number in each environment: one value for all, or a list of one each."""
        values = list(values) if isinstance(values, (list, tuple, np.ndarray)) else [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{name}: there are {len(values)} values for {self.num_envs} environments")
        self.get_attr(name)
        for slot, value in enumerate(values):
            self._envs.set_attribute(slot, name, _number(name, value))

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """What `get_attr` gives; or "render", called for each environment."""
        if name == "render":
            return self.render() or (None,) * self.num_envs
        if name == "render_mode":
            return (self.render_mode,) * self.num_envs
        try:
            return tuple(self._envs.attributes(slot)[name] for slot in range(self.num_envs))
        except KeyError:
            known = ", ".join(["render", *self._envs.attributes(0)])
            raise AttributeError(f"{self._made[0]} has no attribute {name!r}; it has {known}") from None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {"_envs": self._envs.save(), "_np_random": copy.deepcopy(self._np_random)}
        del state["_step"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        envs = NativeEnvs(*state["_made"])
        envs.load(state["_envs"])
        self.__dict__.update(state, _envs=envs, _step=envs.step)
