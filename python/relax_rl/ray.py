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
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import ray
except ImportError as error:
    raise ImportError("relax_rl.ray needs Ray: pip install relax-rl[ray]") from error

from . import _arguments, _relax_rl, cluster, training
from .training import Config, Run, _overrides, _read

__all__ = ["Comparison", "Fleet", "Sweep", "Trial", "compare", "resume", "sweep", "train"]


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
        """Connects to the cluster."""
        _connect()
        self._config, self._pure = ray.put(config), pure
        return min(self._workers or _processors(), slots)

    def launch(self, policy: bytes, parts: cluster.Parts) -> None:
        """Sends a task for every part, or a message to its actor."""
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
        """The answers, if they are all there; what has died is sent again."""
        waiting = {reference: part for part, reference in enumerate(self._pending) if self._answers[part] is None}
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=patience)
        for reference in ready:
            part = waiting[reference]
            try:
                self._answers[part] = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                # It would fail again.
                self.abandon()
                raise _cause(error) from None
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
        """Cancels the tasks."""
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


# Once: each of these is sent to the cluster. Ray's types are not there where Ray is not installed.
_rollout: Any = ray.remote(_roll)
_Keeper: Any = ray.remote(_Kept)


def _connect() -> None:
    if not ray.is_initialized():
        ray.init(log_to_driver=False)


def _processors() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _cause(error: Any) -> BaseException:
    """What a task of ours has raised."""
    return error.cause if isinstance(error.cause, Exception) else RuntimeError(str(error))


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to."""

    dir: Path
    """Its folder, with `report.html`, `results.csv` and the runs."""
    runs: dict[str, list[Run]]
    """The runs of every configuration, in the order of their seeds."""
    failed: dict[str, str]
    """Runs that failed, and why."""


def compare(
    configs: Config | Sequence[str | os.PathLike[str]] | Mapping[str, Config],
    *,
    seeds: range | int = 5,
    agents: Sequence[str] = (),
    budget: int | None = None,
    out: str | os.PathLike[str] = "runs/compare",
    jobs: int | None = None,
    retries: int = 3,
    options: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Comparison:
    """As `relax compare`: configurations with several seeds each, every run a task of Ray's, and the same report.

    `configs` are paths, a suite's path, or configurations by name; with `agents`, each is run with each of these. `jobs` runs are made at a
    time, by default as many as the cluster has processors. Run folders come back to `out`, no common file system is needed; the same call
    goes on with what is missing, and one that was begun with the program, too.
    """
    seeds = seeds if isinstance(seeds, range) else range(_arguments.whole("seeds", seeds, 1))
    if seeds.step != 1 or not seeds or seeds.start < 0:
        raise ValueError(f"seeds is {seeds!r}; it must be a number of seeds, or a range of them")
    _connect()
    with tempfile.TemporaryDirectory() as folder:
        dir, made, failed = _relax_rl.compare(
            _paths(configs, Path(folder)),
            list(agents),
            (seeds.start, seeds.stop),
            budget,
            _overrides(overrides),
            Path(out),
            _processors() if jobs is None else _arguments.whole("jobs", jobs, 1),
            _Runs(retries, options),
        )
    runs: dict[str, list[Run]] = {}
    for label, path in made:
        runs.setdefault(label, []).append(_run_of(Path(path)))
    return Comparison(Path(dir), runs, dict(failed))


def _paths(configs: Any, folder: Path) -> list[str]:
    """The files of configurations; those that are none are written into `folder`."""
    if isinstance(configs, Mapping) and "env" in configs:
        configs = {"config": configs}
    if isinstance(configs, (str, os.PathLike)):
        return [os.fspath(configs)]
    if not isinstance(configs, Mapping):
        return [os.fspath(path) for path in configs]
    for name, config in configs.items():
        (folder / f"{name}.toml").write_text(_read(config)[0], encoding="utf-8")
    return [str(folder / f"{name}.toml") for name in configs]


@dataclass(frozen=True)
class Trial:
    """Settings that were tried."""

    settings: dict[str, Any]
    """By their dotted names, to be overrides of the configuration."""
    scores: list[float | None]
    """On each rung that it reached; None: a run failed."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep came to."""

    dir: Path
    """Its folder, with `report.html`, `best.toml`, `trials.csv` and the runs."""
    trials: list[Trial]
    """In the order in which they were tried."""
    best: Trial | None
    """The best of them; None if every run failed."""


def sweep(
    config: Config,
    *,
    out: str | os.PathLike[str] = "runs/sweep",
    trials: int | None = None,
    jobs: int | None = None,
    retries: int = 3,
    options: Mapping[str, Any] | None = None,
) -> Sweep:
    """As `relax sweep`: a search of the settings in the table `sweep` of `config`, every run a task of Ray's, to the same trials.

    `jobs`, where run folders go, and how to go on with it, are as for `compare`.
    """
    text, name, _ = _read(config)
    _connect()
    jobs = _processors() if jobs is None else _arguments.whole("jobs", jobs, 1)
    tried, best = _relax_rl.sweep_settings(text, name, trials, Path(out), jobs, _Runs(retries, options))
    found = [Trial(dict(map(_setting, settings)), [score for score, _ in scores]) for settings, scores in tried]
    return Sweep(Path(out), found, None if best is None else found[best])


def _setting(text: str) -> tuple[str, Any]:
    name, value = text.split("=", 1)
    return name, tomllib.loads(f"value = {value}")["value"]


class _Runs:
    """Makes runs as tasks of Ray's."""

    def __init__(self, retries: int, options: Mapping[str, Any] | None) -> None:
        self._task = _RUN.options(**{"max_retries": _arguments.whole("retries", retries), **(options or {})})

    def launch(self, config: str, dir: str | os.PathLike[str], begun: bool) -> Any:
        return self._task.remote(config, _pack(Path(dir)) if begun else None)

    def gather(self, launched: Any, dir: str | os.PathLike[str], patience: float) -> bool:
        if not ray.wait([launched], timeout=patience)[0]:
            return False
        try:
            packed = ray.get(launched)
        except ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        # It is there as a whole or not at all.
        path = Path(dir)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            run = Path(folder) / "run"
            _unpack(packed, run)
            if path.exists():
                path.rename(Path(folder) / "before")
            run.rename(path)
        return True

    def abandon(self, launched: Any) -> None:
        ray.cancel(launched, force=False)


def _run(config: str, begun: bytes | None) -> bytes:
    """A whole run, wherever this is; returns its folder."""
    with tempfile.TemporaryDirectory() as folder:
        dir = Path(folder) / "run"
        if begun is None:
            training.train(config, out=dir)
        else:
            _unpack(begun, dir)
            training.resume(dir)
        return _pack(dir)


_RUN: Any = ray.remote(_run)


def _pack(dir: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(dir.rglob("*")):
            # The lock is this machine's.
            if path.is_file() and path.name != ".lock":
                archive.add(path, path.relative_to(dir).as_posix(), recursive=False)
    return packed.getvalue()


def _unpack(packed: bytes, dir: Path) -> None:
    dir.mkdir()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(dir, filter="data")


def _run_of(dir: Path) -> Run:
    return Run(dir, json.loads((dir / "summary.json").read_text(encoding="utf-8")))
