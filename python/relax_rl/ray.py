"""One run, or many, on a Ray cluster: `pip install relax-rl[ray]`.

    import relax_rl.ray

    run = relax_rl.ray.train("configs/halfcheetah-a2c.toml", num_workers=8, out="runs/mine")
    run.state_hash == relax_rl.train("configs/halfcheetah-a2c.toml").state_hash         # the numbers are those of one machine

The learner is where this is called, the rollouts are Ray's tasks (actors, where worlds cannot save their state). One that dies with its
process or its machine is tried again. Every machine needs this package, of the same version, and the same kind of processor.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import ray
except ImportError as error:
    raise ImportError("relax_rl.ray needs Ray: pip install relax-rl[ray]") from error

from . import _arguments, _relax_rl, cluster
from .training import Config, Run, _overrides, _read

__all__ = ["Fleet", "compare", "resume", "runs", "train"]


def train(
    config: Config,
    *,
    num_workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    retries: int = 3,
    options: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Run:
    """As `relax_rl.train`, with rollouts on a Ray cluster: the same run folder and, for worlds that can save their state, the same numbers.

    The slots of a batch (`rollout.envs`) are shared out among `num_workers` workers, by default as many as the cluster has processors. One
    that dies is tried again `retries` times a round. `options` are Ray's for a task, such as `{"num_cpus": 1, "resources": {"worker": 1}}`.
    Evaluations are made here. Without a cluster that has been connected to (`ray.init`), Ray starts one on this machine, or connects to
    `RAY_ADDRESS`.
    """
    return cluster.train(config, Fleet(num_workers, retries, options), out=out, quiet=quiet, **overrides)


def resume(
    dir: str | os.PathLike[str],
    *,
    num_workers: int | None = None,
    quiet: bool = True,
    retries: int = 3,
    options: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Run:
    """As `relax_rl.resume`, with rollouts on a Ray cluster, whoever the run was begun with, and with whatever number of workers."""
    return cluster.resume(dir, Fleet(num_workers, retries, options), quiet=quiet, **overrides)


class Fleet:
    """Workers on a Ray cluster, for `relax_rl.cluster.train`."""

    def __init__(self, num_workers: int | None = None, retries: int = 3, options: Mapping[str, Any] | None = None) -> None:
        self._workers = None if num_workers is None else _arguments.whole("num_workers", num_workers, 1)
        self._retries = _arguments.whole("retries", retries)
        self._options = dict(options or {})
        self._pure = True
        self._config: Any = None
        self._policy: Any = None
        self._parts: cluster.Parts = []
        self._pending: list[Any] = []
        self._answers: list[tuple[bytes, bytes] | None] = []
        self._deaths: list[int] = []
        self._keepers: dict[int, Any] = {}

    def begin(self, config: str, slots: int, pure: bool) -> int:
        _connect()
        self._config, self._pure = ray.put(config), pure
        wanted = self._workers or int(ray.cluster_resources().get("CPU", 1))
        return max(1, min(wanted, slots))

    def launch(self, policy: bytes, parts: cluster.Parts) -> None:
        # Once for all of them, whatever its size.
        self._policy, self._parts = ray.put(policy), parts
        self._answers, self._deaths = [None] * len(parts), [0] * len(parts)
        self._pending = [self._send(part) for part in range(len(parts))]

    def _send(self, part: int) -> Any:
        start, end, states = self._parts[part]
        if self._pure:
            task = _rollout.options(**{"max_retries": 0, **self._options})
            return task.remote(self._config, self._policy, states, start, end)
        if part not in self._keepers:
            self._keepers[part] = _Keeper.options(**self._options).remote(self._config, start, end)
        return self._keepers[part].rollout.remote(self._policy, states)

    def gather(self, patience: float) -> list[tuple[bytes, bytes]] | None:
        waiting = {reference: part for part, reference in enumerate(self._pending) if self._answers[part] is None}
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=patience)
        for reference in ready:
            part = waiting[reference]
            try:
                self._answers[part] = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                # It would fail again.
                self.abandon()
                raise error.cause from None
            except (ray.exceptions.RayError, OSError) as error:
                self._deaths[part] += 1
                start, end, _ = self._parts[part]
                if self._deaths[part] > self._retries:
                    self.abandon()
                    raise RuntimeError(
                        f"the worker of slots {start}–{end - 1} has died {self._deaths[part]} times in one round: {error}"
                    ) from None
                # What it held is lost, and what it was asked for is known.
                self._keepers.pop(part, None)
                self._pending[part] = self._send(part)
        answers = [answer for answer in self._answers if answer is not None]
        return answers if len(answers) == len(self._answers) else None

    def abandon(self) -> None:
        if self._pure:
            for part, reference in enumerate(self._pending):
                if self._answers[part] is None:
                    ray.cancel(reference, force=False)
        self._pending, self._parts, self._answers = [], [], []


def _roll(config: str, policy: bytes, states: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    return cluster.rollout(config, policy, states, range(start, end))


class _Kept:
    """The environments of some slots, which cannot save their state."""

    def __init__(self, config: str, start: int, end: int) -> None:
        self._worker = cluster.Worker(config, range(start, end))

    def rollout(self, policy: bytes, states: bytes) -> tuple[bytes, bytes]:
        return self._worker.rollout(policy, states)


# Ray's types are not there where Ray is not installed.
_rollout: Any = ray.remote(_roll)
_Keeper: Any = ray.remote(_Kept)


def _connect() -> None:
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
