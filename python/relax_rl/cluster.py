"""One run on many machines: whatever brings bytes to them and back will do. `relax_rl.ray` is one such thing, ready made.

    learner                                       workers, anywhere
    1. improve the policy with the batches  ◀──── rollout(config, policy, states, slots) → (batch, states)
    2. policy, states ───────────────────────────▶ a pure function: who calls it, how often and where, changes no number
    3. fit the critics, while they act again

The batches are put together in the order of their slots, so that the weights are those of one machine, bit for bit, into however many
parts the slots are cut. Messages carry their version, the instruction set, the run they belong to and a checksum; what does not belong
together raises `ValueError`. The checksum finds damage, not malice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from typing import Any, Protocol

from . import _arguments, _relax_rl
from .training import Config, Run, _fresh, _overrides, _read

__all__ = ["Config", "Fleet", "Learner", "Parts", "Pool", "Worker", "parts", "resume", "rollout", "train"]

Parts = list[tuple[int, int, bytes]]
"""Slots from the first number up to the second, and where they stand."""


def rollout(config: Config, policy: bytes, states: bytes, slots: range) -> tuple[bytes, bytes]:
    """Acts in `slots` as `policy` says, from `states` on; returns the batch, and where the slots stand after it.

    A pure function: it gives the same wherever and however often it is called. `policy` is what the learner gave, `states` what this
    function returned in the round before (b"" in the first one), and `config` the learner's (`Learner.config`, or what that was made of).
    Worlds that cannot save their state (`gym:…`) are refused; they need a `Worker`. Python's lock is released meanwhile.
    """
    start, end = _ends(slots)
    return _relax_rl.rollout(_read(config)[0], policy, states, start, end)


class Worker:
    """Some slots of a run, whose environments it keeps: for worlds that cannot save their state."""

    def __init__(self, config: Config, slots: range) -> None:
        start, end = _ends(slots)
        self._worker = _relax_rl.Worker(_read(config)[0], start, end)

    def rollout(self, policy: bytes, states: bytes = b"") -> tuple[bytes, bytes]:
        """As the function `rollout`, from where the environments stand.

        `states` is what the last call returned. A worker that takes another's place needs it, so that the random numbers go on; where the
        environments cannot be restored, it starts episodes that the run has not had yet.
        """
        return self._worker.rollout(policy, states)


class Learner:
    """An agent that learns from what workers anywhere have experienced.

        learner = Learner(config)
        states = {slots: b"" for slots in parts(learner.slots, 4)}
        while not learner.is_over:
            policy = learner.policy()
            answers = {slots: rollout(config, policy, states[slots], slots) for slots in states}        # anywhere
            learner.improve([batch for batch, _ in answers.values()])
            states = {slots: after for slots, (_, after) in answers.items()}
            learner.fit()

    Between `improve` and `fit` the new `policy()` can be sent off already, as long as `wants_batches`. `overrides` are those of
    `relax_rl.train`.
    """

    def __init__(self, config: Config, **overrides: Any) -> None:
        text, name, _ = _read(config)
        self._learner = _relax_rl.Learner(text, name, _overrides(overrides))

    @property
    def config(self) -> str:
        """Every setting, as the text of a TOML file: what workers need."""
        return self._learner.config

    @property
    def slots(self) -> int:
        """Slots of the run: `rollout.envs`."""
        return self._learner.slots

    @property
    def env_steps(self) -> int:
        """Environment steps so far."""
        return self._learner.env_steps

    @property
    def updates(self) -> int:
        """Updates so far."""
        return self._learner.updates

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self._learner.is_over

    @property
    def wants_batches(self) -> bool:
        """Whether there will be another `improve`: the budget is not used up."""
        return self._learner.wants_batches

    @property
    def state_hash(self) -> str:
        """Hash of what was learned, that of every other run with this configuration (`Run.state_hash`)."""
        return self._learner.state_hash

    def policy(self) -> bytes:
        """The message for the workers: the policy as it is now, and how many steps to take with it."""
        return self._learner.policy()

    def improve(self, batches: Sequence[bytes]) -> None:
        """The first half of an update: a step of the policy, from the batches of all slots in any order.

        Raises `ValueError`, with nothing changed, for a batch that is damaged, of another run or of another policy, and for slots that are
        missing or come twice; `RuntimeError` if training diverges.
        """
        self._learner.improve(list(batches))

    def fit(self) -> dict[str, float | None]:
        """The second half: fits the critics to the same batches. Returns what was measured, as a row of `metrics.csv`."""
        return self._learner.fit()

    def state(self) -> bytes:
        """Everything that it needs to go on bit for bit, with the workers' states."""
        return self._learner.state()

    def restore(self, state: bytes) -> None:
        """Goes on from what `state` gave; raises `ValueError`, with nothing changed, if that does not fit."""
        self._learner.restore(state)


def parts(slots: int, count: int) -> list[range]:
    """`slots` slots in `count` parts, or in as many as there are slots."""
    slots, count = _arguments.whole("slots", slots, 1), _arguments.whole("count", count, 1)
    count = min(count, slots)
    return [range(i * slots // count, (i + 1) * slots // count) for i in range(count)]


class Fleet(Protocol):
    """Whoever brings messages to workers and back. `train` calls it from a thread of its own, one method after the other."""

    def begin(self, config: str, slots: int, pure: bool) -> int:
        """Told once what is trained, as the text of a TOML file, and whether `rollout` can be used (else every part needs a `Worker` of its
        own). Returns into how many parts the slots are to be cut."""

    def launch(self, policy: bytes, parts: Parts) -> None:
        """Sends every part off and returns without waiting. A part whose worker dies is to be tried again."""

    def gather(self, patience: float) -> list[tuple[bytes, bytes]] | None:
        """The answers of all parts, in their order, waited for no longer than so many seconds; None: not yet."""

    def abandon(self) -> None:
        """Gives up what was launched."""


class Pool:
    """A fleet of an executor: `concurrent.futures.ProcessPoolExecutor`, or another library's of that kind (Dask's, mpi4py's)."""

    def __init__(self, executor: Executor, workers: int) -> None:
        self._executor, self._workers = executor, _arguments.whole("workers", workers, 1)
        self._config = ""
        self._futures: list[Future[tuple[bytes, bytes]]] = []

    def begin(self, config: str, slots: int, pure: bool) -> int:
        if not pure:
            raise ValueError("this world cannot save its state, and an executor's workers keep nothing; relax_rl.ray can train it")
        self._config = config
        return self._workers

    def launch(self, policy: bytes, parts: Parts) -> None:
        work = [(self._config, policy, states, range(start, end)) for start, end, states in parts]
        self._futures = [self._executor.submit(rollout, *arguments) for arguments in work]

    def gather(self, patience: float) -> list[tuple[bytes, bytes]] | None:
        if wait(self._futures, timeout=patience).not_done:
            return None
        return [future.result() for future in self._futures]

    def abandon(self) -> None:
        for future in self._futures:
            future.cancel()


def train(
    config: Config,
    fleet: Fleet,
    *,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    **overrides: Any,
) -> Run:
    """As `relax_rl.train`, with the workers of `fleet`: the same run folder and the same numbers. Evaluations are made here."""
    quiet = _arguments.flag("quiet", quiet)
    text, name, stem = _read(config)
    dir, summary, _ = _relax_rl.train_with(text, name, _overrides(overrides), Path(out or _fresh(stem)), quiet, fleet)
    return Run(Path(dir), json.loads(summary))


def resume(dir: str | os.PathLike[str], fleet: Fleet, *, quiet: bool = True, **overrides: Any) -> Run:
    """As `relax_rl.resume`, with the workers of `fleet`, whoever the run was begun with."""
    quiet = _arguments.flag("quiet", quiet)
    dir, summary, _ = _relax_rl.resume_with(Path(dir), _overrides(overrides), quiet, fleet)
    return Run(Path(dir), json.loads(summary))


def _ends(slots: range) -> tuple[int, int]:
    if not isinstance(slots, range) or slots.step != 1:
        raise TypeError(f"slots must be a range of whole numbers, such as range(0, 4), not {slots!r}")
    if slots.start < 0 or slots.stop <= slots.start:
        raise ValueError(f"there are no slots {slots.start}..{slots.stop}")
    return slots.start, slots.stop
