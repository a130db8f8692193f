"""Training from Python."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _arguments, _relax_rl, _toml
from ._relax_rl import Policy

Config = str | os.PathLike[str] | Mapping[str, Any]
"""The path of a TOML file, the text of one (with its line breaks), or the same as nested dictionaries."""


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    dir: Path
    """The run folder."""
    summary: dict[str, Any]
    """What it came to: steps, episodes, returns, the evaluation (as `summary.json` of the folder)."""

    @property
    def state_hash(self) -> str:
        """Hash of what was learned: equal for equal runs, whatever the workers and interruptions, and whoever ran them."""
        return str(self.summary["state_hash"])


def _overrides(overrides: Mapping[str, Any]) -> list[str]:
    return [_toml.override(name, value) for name, value in overrides.items()]


def _read(config: Config) -> tuple[str, str, str]:
    """A configuration as TOML, what messages call it, and what a run folder does."""
    if isinstance(config, Mapping):
        return _toml.settings(config), "config", "python"
    if isinstance(config, str) and "\n" in config:
        return config, "config", "python"
    if isinstance(config, (str, os.PathLike)):
        return Path(config).read_text(encoding="utf-8"), os.fspath(config), Path(config).stem
    raise TypeError(f"config must be the path of a TOML file or a dictionary, not {config!r}")


def _fresh(stem: str) -> Path:
    number = 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path


def train(
    config: Config,
    *,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    **overrides: Any,
) -> Run:
    """Trains as `config` says: the path of a TOML file, its text, or the same as nested dictionaries.

    `overrides` change single settings, with `__` or a dot between the parts of a name: `run__seed=3`, or
    `**{"run.seed": 3}`. Arguments of the environment (`env__kwargs__x=…`) reach it as they are: None, tuples, numbers of
    NumPy and whatever else is a literal. The run folder is `out`, by default a fresh one under `runs/`. Python's lock is released; Ctrl-C
    saves the state, so that `resume` can go on, and raises `KeyboardInterrupt`.

    Raises `ValueError` for a wrong setting, and names it; `RuntimeError` if the run itself fails.
    """
    quiet = _arguments.flag("quiet", quiet)
    text, name, stem = _read(config)
    dir, summary, _ = _relax_rl.train(text, name, _overrides(overrides), Path(out or _fresh(stem)), quiet)
    return Run(Path(dir), json.loads(summary))


def resume(dir: str | os.PathLike[str], *, quiet: bool = True, **overrides: Any) -> Run:
    """Continues the run of a folder from its newest checkpoint, or trains it for longer (`run__env_steps=…`)."""
    quiet = _arguments.flag("quiet", quiet)
    dir, summary, _ = _relax_rl.resume(Path(dir), _overrides(overrides), quiet)
    return Run(Path(dir), json.loads(summary))


def state_hash(dir: str | os.PathLike[str]) -> str:
    """Hash of what the run of a folder had learned at its newest checkpoint, finished or not; of a finished run its `Run.state_hash`."""
    return _relax_rl.state_hash(Path(dir))


def export(
    dir: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    checkpoint: str = "best",
) -> Path:
    """Writes the policy of a run folder to the file `path`, for others to run, and returns the path.

    `format` is "onnx", "safetensors" or "json", by default what the name ends in; `checkpoint` is "best" (by evaluation; the newest if none
    was kept) or "latest". Everything between an observation and an action is inside. Raises `ValueError` for a policy that no file could
    describe.
    """
    _relax_rl.export(Path(dir), Path(path), format, checkpoint)
    return Path(path)


def load(dir: str | os.PathLike[str]) -> Policy:
    """The best policy of a run folder; the newest if none was kept. Its `predict` gives actions."""
    return Policy(Path(dir))
