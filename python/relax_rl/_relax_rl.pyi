from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Self, final

import numpy as np
from gymnasium.spaces import Space
from numpy.typing import ArrayLike, NDArray

def specs() -> list[tuple[str, int | None, float | None, str]]:
    """Id, step limit, reward threshold and description of every native environment."""

def train(
    text: str, name: str, overrides: list[str], out: str | PathLike[str], quiet: bool
) -> tuple[str, str, bool]: ...
def resume(dir: str | PathLike[str], overrides: list[str], quiet: bool) -> tuple[str, str, bool]: ...
def export(dir: str | PathLike[str], path: str | PathLike[str], format: str | None, checkpoint: str) -> None: ...
def state_hash(dir: str | PathLike[str]) -> str: ...
def rollout(config: str, policy: bytes, states: bytes, start: int, end: int) -> tuple[bytes, bytes]: ...
def train_with(
    text: str, name: str, overrides: list[str], out: str | PathLike[str], quiet: bool, fleet: Any
) -> tuple[str, str, bool]: ...
def resume_with(
    dir: str | PathLike[str], overrides: list[str], quiet: bool, fleet: Any
) -> tuple[str, str, bool]: ...

def compare(
    configs: list[str],
    agents: list[str],
    seeds: tuple[int, int],
    budget: int | None,
    overrides: list[str],
    out: str | PathLike[str],
    jobs: int,
    maker: Any,
) -> tuple[str, list[tuple[str, str]], list[tuple[str, str]]]: ...
def sweep_settings(
    text: str, name: str, trials: int | None, out: str | PathLike[str], jobs: int, maker: Any
) -> tuple[list[tuple[list[str], list[tuple[float | None, str]]]], int | None]: ...

@final
class Worker:
    """Some slots of a run, and their environments."""

    def __new__(cls, config: str, start: int, end: int) -> Self: ...
    def rollout(self, policy: bytes, states: bytes) -> tuple[bytes, bytes]: ...

@final
class Learner:
    """An agent that learns from messages."""

    def __new__(cls, text: str, name: str, overrides: list[str]) -> Self: ...
    @property
    def config(self) -> str: ...
    @property
    def slots(self) -> int: ...
    @property
    def env_steps(self) -> int: ...
    @property
    def updates(self) -> int: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def wants_batches(self) -> bool: ...
    @property
    def state_hash(self) -> str: ...
    def policy(self) -> bytes: ...
    def improve(self, batches: list[bytes]) -> None: ...
    def fit(self) -> dict[str, float | None]: ...
    def state(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...

@final
class Policy:
    """The best policy of a run.

    It pickles and copies, with where it stands in drawing actions, and so goes to other processes. Its environment is made again there:
    one of Python's that is registered by a module must be named as Gymnasium imports it, `module:Name-v0`."""

    def __new__(cls, dir: str | PathLike[str]) -> Self: ...
    @property
    def config(self) -> str:
        """The configuration of its run, TOML."""

    def seed(self, seed: int) -> None:
        """Seeds the actions that `predict(…, deterministic=False)` draws."""

    def predict(
        self,
        observation: ArrayLike | dict[str, Any] | tuple[Any, ...],
        state: None = None,
        episode_start: ArrayLike | None = None,
        deterministic: bool = True,
        action_mask: ArrayLike | None = None,
    ) -> tuple[Any, None]:
        """The action for one observation, or the actions for a batch of them, and the next state.

        Observations and actions are elements of the environment's own spaces, or batches of them as Gymnasium's vector
        environments have them. These policies have no memory: `state` must be None, as the second thing returned is,
        and `episode_start` changes nothing. The signature is that of Stable-Baselines3."""

    def __reduce__(self) -> tuple[Callable[[bytes, list[int]], Policy], tuple[bytes, list[int]]]: ...
    @classmethod
    def _restored(cls, bytes: bytes, words: Sequence[int]) -> Self: ...

def estimator_table() -> list[tuple[str, str, bool, dict[str, Any], str]]:
    """Name, label, whether it is unbiased, what it needs, and what it is: every line of the table."""

def score_function_gradient(
    logits: NDArray[Any],
    k: int | None,
    samples: NDArray[Any],
    values: NDArray[Any],
    baseline: NDArray[Any],
    signal: tuple[float, float],
) -> NDArray[Any]: ...
def leave_one_out_baseline(values: NDArray[Any], group: int) -> NDArray[Any]: ...
def antithetic_gradient(
    logits: NDArray[Any],
    k: int | None,
    samples: NDArray[Any],
    opposites: NDArray[Any],
    values: NDArray[Any],
    opposite_values: NDArray[Any],
) -> NDArray[Any]: ...
def draw(logits: NDArray[np.float64], k: int | None, seed: int, pairs: bool) -> tuple[NDArray[Any], NDArray[Any] | None]: ...
def exact_gradient(logits: NDArray[np.float64], k: int | None, f: Callable[[Any], Any]) -> tuple[float, NDArray[np.float64]]: ...
def certify(
    draw: Callable[[], NDArray[np.float64]],
    name: str,
    exact: list[float],
    significance: float,
    detectable: float,
    power: float,
    pilot: int,
    limit: int,
) -> dict[str, Any]: ...

@final
class NumberBaseline:
    """One learned number as a baseline."""

    def __new__(cls, learning_rate: float, variance: bool) -> Self: ...
    value: float
    def update(
        self, logits: NDArray[np.float64], k: int | None, samples: NDArray[Any], values: NDArray[np.float64]
    ) -> None: ...

@final
class Signal:
    """Running mean and deviation of a learning signal."""

    def __new__(cls, decay: float) -> Self: ...
    @property
    def centre(self) -> float: ...
    @property
    def scale(self) -> float: ...
    state: list[float]
    def update(self, values: NDArray[np.float64], baseline: NDArray[np.float64]) -> None: ...

@final
class FunctionEstimator:
    """An estimator that calls functions, what it has learned, and its random numbers."""

    def __new__(
        cls,
        name: str,
        learning_rate: float,
        hidden: list[int],
        gain: float | None,
        temperature: float,
        baseline: float,
        seed: int,
    ) -> Self: ...
    @property
    def gain(self) -> float: ...
    @property
    def temperature(self) -> float: ...
    @property
    def baseline(self) -> float: ...
    def estimate(
        self,
        logits: NDArray[np.float64],
        k: int | None,
        group: int,
        free: int,
        functions: dict[str, Any],
        baseline: NDArray[np.float64],
        learn: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
    def save(self) -> Any:
        """Everything that `load` needs to go on from here."""

    def load(self, saved: Any) -> None: ...

@final
class Minimizer:
    """A minimisation whose function somebody else calls."""

    def __new__(
        cls, variables: list[tuple[str, int]], options: str, constraint: Callable[[list[int]], list[int]] | None = None
    ) -> Self: ...
    @property
    def certainty(self) -> float:
        """Mean over variables of the likeliest choice's probability."""

    def ask(self) -> list[list[int]]: ...
    def tell(self, values: list[float]) -> None: ...
    def likeliest(self) -> list[int]: ...

@final
class NativeEnv:
    """One native environment without its time limit."""

    def __new__(cls, id: str, kwargs: dict[str, Any] | None = None) -> Self: ...
    def spaces(self) -> tuple[Space[Any], Space[Any]]: ...
    def seed(self, seed: int) -> None: ...
    def generator(self) -> list[int]:
        """State of the generator: state high and low, increment high and low, `has_uint32`, `uinteger`."""

    def set_generator(self, words: list[int]) -> None: ...
    def reset(self, options: dict[str, Any] | None = None) -> NDArray[np.float32]: ...
    def attributes(self) -> dict[str, Any]:
        """Numbers of the environment by name."""

    def set_attribute(self, name: str, value: float) -> None: ...
    def save(self) -> Any:
        """Everything that `load` needs to go on from here."""

    def load(self, saved: Any) -> None: ...
    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool]: ...
    def action_mask(self) -> Any:
        """Which choices are allowed now, as `action_space.sample(mask=…)` takes it; None if nothing is masked."""

    def render(self) -> NDArray[np.uint8] | None: ...

@final
class NativeEnvs:
    """Many native environments, stepped by one call."""

    def __new__(
        cls,
        id: str,
        slots: int,
        kwargs: dict[str, Any] | None = None,
        max_episode_steps: int | None = None,
        autoreset: str = "SameStep",
    ) -> Self: ...
    def spaces(self) -> tuple[Space[Any], Space[Any]]: ...
    def reset(
        self, seeds: list[int | None], options: dict[str, Any] | None = None, mask: list[bool] | None = None
    ) -> NDArray[np.float32]: ...
    def action_masks(self) -> NDArray[np.int8] | None:
        """Which choices are allowed now, a row for each environment; None if nothing is masked."""

    def attributes(self, slot: int) -> dict[str, Any]: ...
    def set_attribute(self, slot: int, name: str, value: float) -> None: ...
    def save(self) -> Any: ...
    def load(self, saved: Any) -> None: ...
    def step(
        self, actions: ArrayLike
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]: ...
    def render(self, slot: int) -> NDArray[np.uint8] | None: ...
