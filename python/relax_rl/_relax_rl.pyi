from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Space = tuple[str, list[float], list[float], list[int], list[int]]

def specs() -> list[tuple[str, int | None, float | None, str]]:
    """Id, step limit, reward threshold and description of every native environment."""

def train(
    text: str, name: str, overrides: list[str], out: str | PathLike[str], quiet: bool
) -> tuple[str, str, bool]: ...
def resume(dir: str | PathLike[str], overrides: list[str], quiet: bool) -> tuple[str, str, bool]: ...

class Policy:
    """The best policy of a run."""

    def __init__(self, dir: str | PathLike[str]) -> None: ...
    @property
    def config(self) -> str:
        """The configuration of its run, TOML."""

    def seed(self, seed: int) -> None:
        """Seeds the actions that `predict(…, deterministic=False)` draws."""

    def predict(self, observation: ArrayLike, deterministic: bool = True) -> Any:
        """The action for one observation, or the actions for a batch of them."""

class NativeEnv:
    """One native environment without its time limit."""

    def __init__(self, id: str, kwargs: dict[str, Any] | None = None) -> None: ...
    def spaces(self) -> tuple[_Space, _Space]: ...
    def seed(self, seed: int) -> None: ...
    def reset(self) -> NDArray[np.float32]: ...
    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool]: ...
    def render(self) -> NDArray[np.uint8] | None: ...

class NativeEnvs:
    """Many native environments, stepped by one call."""

    def __init__(
        self, id: str, slots: int, kwargs: dict[str, Any] | None = None, max_episode_steps: int | None = None
    ) -> None: ...
    def spaces(self) -> tuple[_Space, _Space]: ...
    def reset(self, seeds: list[int]) -> NDArray[np.float32]: ...
    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]: ...
    def render(self, slot: int) -> NDArray[np.uint8] | None: ...
