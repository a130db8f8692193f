"""Minimising a function of discrete choices that can only be called."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import _arguments
from ._relax_rl import Minimizer

_QUIET = 100
"""Batches without a new point after which a minimisation has converged."""

Point = dict[Any, Any]


@dataclass(frozen=True)
class Found:
    """What a minimisation found."""

    best: Point
    """The best point called."""
    value: float
    """f there."""
    likeliest: Point
    """The likeliest choice of every name at the end; with a noisy f often the better answer."""
    history: list[tuple[Point, float]]
    """All calls, in order."""
    reason: str
    """Why it ended: "calls", "seconds", "target", "converged" or "stopped"."""
    maximize: bool = False

    @property
    def best_so_far(self) -> list[float]:
        """The best value after each call."""
        best: list[float] = []
        choose = max if self.maximize else min
        for _, value in self.history:
            best.append(choose(best[-1], value) if best else value)
        return best

    def plot(self, ax: Any = None) -> Any:
        """Draws every call and the best so far with matplotlib, and returns the axes."""
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots()
        ax.plot([value for _, value in self.history], ".", markersize=3, alpha=0.4, label="calls")
        ax.plot(self.best_so_far, label="best so far")
        ax.set_xlabel("calls of f")
        ax.set_ylabel("f")
        ax.legend()
        return ax

    def __repr__(self) -> str:
        return f"Found(value={self.value!r}, best={self.best!r}, {len(self.history)} calls, ended by {self.reason})"


class FailedCall(RuntimeError):
    """f raised, or did not return a finite number. The exception of f is its `__cause__`."""

    def __init__(self, text: str, point: Point, history: list[tuple[Point, float]]):
        super().__init__(text)
        self.point = point
        """Where f failed."""
        self.history = history
        """The calls that did not fail, in order."""


class _Journal:
    """One line a call. Going on means going through the calls again without calling f."""

    def __init__(self, path: str | os.PathLike[str], header: dict[str, Any]):
        self.path, self.answers = Path(path), {}
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]  # a line that a crash cut short is dropped
        if not whole and not json.dumps(header).encode().startswith(data):
            raise ValueError(f"{self.path} is no journal of a minimisation; name a file that is not there yet")
        for number, line in enumerate(whole.decode("utf-8", "replace").splitlines(), 1):
            told = self._line(line, number)
            if number > 1:
                self.answers[told["batch"], told["row"]] = told
            elif told != json.loads(json.dumps(header)):
                raise ValueError(f"{self.path} is the journal of another minimisation; it begins with {line}")
        self.file = self.path.open("ab")
        self.file.truncate(len(whole))
        if not whole:
            self._write(header)

    def _line(self, line: str, number: int) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{self.path} is no journal of a minimisation: line {number}: {error}") from None
        if number > 1 and (not isinstance(told, dict) or [type(told.get(key)) for key in ("batch", "row", "x", "y")] != [int, int, list, float]):
            raise ValueError(f"{self.path} is no journal of a minimisation: line {number} is no call: {line:.200}")
        return told

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line).encode() + b"\n")
        self.file.flush()

    def answer(self, batch: int, row: int, point: Sequence[int]) -> float | None:
        """f of this row of this batch, if it is written down."""
        call = self.answers.get((batch, row))
        if call is None:
            return None
        if call["x"] != list(point):
            raise ValueError(
                f"{self.path}: batch {batch} has {call['x']} there and {list(point)} here; was it written by another version, "
                "or with another constraint?"
            )
        return float(call["y"])

    def add(self, batch: int, row: int, point: Sequence[int], value: float) -> None:
        self._write({"batch": batch, "row": row, "x": list(point), "y": value})


def _plain(choice: Any) -> str:
    """A choice as the journal names it: the same in another process."""
    if isinstance(choice, (tuple, list)):
        return f"({', '.join(map(_plain, choice))})"
    return repr(choice) if choice is None or isinstance(choice, (str, int, float, bool)) else type(choice).__name__


def _same(answer: Any) -> Any:
    return answer


class _Function:
    """f at the rows of a batch: from the journal, one by one, in parallel, or all at once."""

    def __init__(
        self, f: Callable[[Any], Any], named: Callable[[Sequence[int]], Point], batched: bool, pool: Executor | None, book: _Journal | None
    ):
        self.f, self.named, self.batched, self.pool, self.book = f, named, batched, pool, book

    def __call__(self, batch: int, rows: list[int], points: list[list[int]], history: list[tuple[Point, float]]) -> list[float]:
        """f of these rows, in order. What was called is written down and goes to `history` even if another call fails."""
        values: dict[int, float] = {}
        failures: list[tuple[Point, str, BaseException | None]] = []
        if self.book:
            known = ((row, self.book.answer(batch, row, points[row])) for row in rows)
            values = {row: value for row, value in known if value is not None}
        missing = [row for row in rows if row not in values]

        def keep(row: int, answer: Callable[[], Any]) -> None:
            point = self.named(points[row])
            try:
                answered = answer()
            except Exception as error:
                failures.append((point, f"f failed at {point}: {error!r}", error))
                return
            try:
                value = float(answered)
            except (TypeError, ValueError) as error:
                failures.append((point, f"f returned {answered!r} at {point}, and must return a number", error))
                return
            if not math.isfinite(value):
                text = (
                    f"f is {value} at {point}, and must be a finite number: return a large one for points that cannot be judged, "
                    "or rule them out by a constraint"
                )
                failures.append((point, text, None))
                return
            values[row] = value
            if self.book:
                self.book.add(batch, row, points[row], value)

        inputs = [self.named(points[row]) for row in missing]
        if self.batched and missing:
            try:
                answers = list(self.f(inputs))
            except Exception as error:
                failures.append((inputs[0], f"f failed at a batch that begins with {inputs[0]}: {error!r}", error))
            else:
                if len(answers) != len(missing):
                    text = f"f returned {len(answers)} numbers for {len(missing)} points"
                    raise FailedCall(f"{text}, of which {inputs[0]} is the first", inputs[0], history)
                for row, answer in zip(missing, answers, strict=True):
                    keep(row, partial(_same, answer))
        elif self.pool:
            futures = [self.pool.submit(self.f, point) for point in inputs]
            for row, future in zip(missing, futures, strict=True):
                keep(row, future.result)
        else:
            for row, point in zip(missing, inputs, strict=True):
                keep(row, partial(self.f, point))
                if failures:
                    break
        history.extend((self.named(points[row]), values[row]) for row in rows if row in values)
        if failures:
            point, text, cause = failures[0]
            raise FailedCall(text, point, history) from cause
        return [values[row] for row in rows]


def _bar(done: int, calls: int, best: float, certainty: float) -> None:
    filled = 24 * done // calls
    sys.stderr.write(f"\r[{'=' * filled}{' ' * (24 - filled)}] {done} of {calls} calls, best {best:.6g}, certainty {certainty:.2f} ")
    sys.stderr.flush()


def minimize(
    f: Callable[[Any], Any],
    space: Mapping[Any, Iterable[Any]],
    *,
    calls: int = 1000,
    maximize: bool = False,
    noisy: bool = False,
    batched: bool = False,
    constraint: Callable[[Any, Point], Iterable[Any]] | None = None,
    seconds: float | None = None,
    target: float | None = None,
    workers: int | Executor = 1,
    journal: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[list[tuple[Point, float]]], Any] = False,
    seed: int = 0,
    **options: Any,
) -> Found:
    """Minimises `f` over the choices of `space`, a dictionary of names and choices: `{"depth": range(1, 9), "bias": [False, True]}`.

    `f` is called with a dictionary of names and chosen values and returns a number; with `batched` it is called with a list of them
    and returns as many numbers. It is called at most `calls` times; unless it is `noisy`, never twice at the same point. Calls of a
    batch run on `workers` threads, or on an executor of `concurrent.futures`.

    `constraint(name, chosen)` returns the choices of `name` that are allowed after those of the names before it; after the same choices
    it must always return the same.

    It ends after `calls` calls or, looked at after each batch, `seconds`; when f is at most `target` (at least, when maximising); when
    no new point comes any more; or when `progress(history)`, called after each batch, returns true. `progress=True` shows a bar on
    the terminal.

    `journal` names a file that every call is written to. A minimisation with the same arguments goes on from it, bit for bit, and
    with more calls it goes further.

    Other options: `batch` (2 points a step are drawn) and `probe` (6 more are where the surrogate is lowest; 8 and none if f is noisy),
    `learning_rate` (0.05), `estimator` ("surrogate", "leave-one-out" or "reinforce") and
    `surrogate`, a dictionary: `function` ("kernel", `{"network": [64, 64]}`, "linear" or "quadratic"), `free`, `window`, `steps`,
    `minibatch`, `learning_rate`, `early_stop`, `gain`, `relaxed`.

    Raises `ValueError` for a wrong argument, and `FailedCall` where f raises or returns no finite number: it names the point and has
    the `history` of all calls before it; they are in the journal, too. `TypeError` for an argument of another type.
    """
    if not isinstance(space, Mapping):
        raise TypeError(f"space must be a dictionary of names and choices, not {space!r}")
    choices = {}
    for name, of in space.items():
        if not isinstance(of, Iterable):
            raise TypeError(f"the choices of {name!r} must be a list, not {of!r}")
        choices[name] = list(of)
        if not choices[name]:
            raise ValueError(f"there is no choice for {name!r}")
    calls, seed = _arguments.whole("calls", calls, least=1), _arguments.whole("seed", seed)
    maximize, noisy = _arguments.flag("maximize", maximize), _arguments.flag("noisy", noisy)
    if not isinstance(workers, Executor):
        workers = _arguments.whole("workers, unless it is an executor of concurrent.futures,", workers, least=1)
    seconds = None if seconds is None else _arguments.number("seconds", seconds)
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"seconds is {seconds}, and must be 0 or more")
    target = None if target is None else _arguments.number("target", target)
    names = [name for name, of in choices.items() if len(of) > 1]
    drawn = {"batch": 8, "probe": 0} if noisy else {}  # with noise it is the distributions that count, not single points
    settings = json.loads(json.dumps({"seed": seed, "maximize": maximize, "noisy": noisy, **drawn, **options}, default=_arguments.plain))

    def named(point: Sequence[int]) -> Point:
        chosen = dict(zip(names, point, strict=False))
        return {name: of[chosen[name]] if name in chosen else of[0] for name, of in choices.items()}

    def allowed(before: list[int]) -> list[int]:
        name = names[len(before)]
        chosen = {other: choices[other][at] for other, at in zip(names, before, strict=False)}
        remain = list(constraint(name, chosen))  # type: ignore[misc]
        for value in remain:
            if value not in choices[name]:
                raise ValueError(f"the constraint returned {value!r} for {name!r}, whose choices are {choices[name]}")
        return [choices[name].index(value) for value in remain]

    variables = [(str(name), len(choices[name])) for name in names]
    minimizer = Minimizer(variables, json.dumps({**settings, "calls": calls}), allowed if constraint else None)
    plain = [[str(name), [_plain(choice) for choice in of]] for name, of in choices.items()]
    header = {"format": "relax_rl.minimize 3", "space": plain, "constrained": constraint is not None, **settings}
    book = _Journal(journal, header) if journal is not None else None
    own = ThreadPoolExecutor(workers) if not isinstance(workers, Executor) and workers > 1 and not batched else None
    call = _Function(f, named, batched, workers if isinstance(workers, Executor) else own, book)
    sign = -1.0 if maximize else 1.0
    history: list[tuple[Point, float]] = []
    known: dict[tuple[int, ...], float] = {}
    best: tuple[float, Point] | None = None
    start, batch, quiet, reason = time.monotonic(), 0, 0, ""
    try:
        while not reason:
            points = minimizer.ask()
            keys = [tuple(point) for point in points]
            rows = [row for row, key in enumerate(keys) if noisy or (key not in known and keys.index(key) == row)]
            left = calls - len(history)
            last, rows = len(rows) > left, rows[:left]
            values = call(batch, rows, points, history)
            for row, value in zip(rows, values, strict=True):
                known[keys[row]] = value
                if best is None or sign * value < sign * best[0]:
                    best = value, named(points[row])
            if progress is True and best:
                _bar(len(history), calls, best[0], minimizer.certainty)
            if target is not None and best and sign * best[0] <= sign * target:
                reason = "target"
            elif last:
                reason = "calls"
            if reason:
                break
            minimizer.tell(values if noisy else [known[key] for key in keys])
            batch, quiet = batch + 1, 0 if rows else quiet + 1
            if callable(progress) and progress(history):
                reason = "stopped"
            elif len(history) >= calls:
                reason = "calls"
            elif quiet >= _QUIET:
                reason = "converged"
            elif seconds is not None and time.monotonic() - start >= seconds:
                reason = "seconds"
    finally:
        if own:
            own.shutdown(cancel_futures=True)
        if book:
            book.file.close()
        if progress is True:
            sys.stderr.write("\n")
    assert best is not None  # `calls` is 1 or more, and the first batch is new
    return Found(best[1], best[0], named(minimizer.likeliest()), history, reason, maximize)
