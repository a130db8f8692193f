"""Minimising what can only be called."""

import threading

import numpy as np
import pytest

import relax_rl

VALUES = [6, 5, 8, 9, 6, 7, 3, 4, 2, 7, 5, 3]
WEIGHTS = [2, 3, 6, 7, 5, 9, 3, 4, 1, 8, 4, 2]
THINGS = {f"thing {i}": [False, True] for i in range(12)}


def left_behind(packed):
    on = [i for i in range(12) if packed[f"thing {i}"]]
    over = max(0, sum(WEIGHTS[i] for i in on) - 25)
    return 65 - sum(VALUES[i] for i in on) + 3 * over + (5 if over else 0)


def test_the_best_is_found():
    found = relax_rl.minimize(left_behind, THINGS, calls=400)
    assert found.value <= 28 and left_behind(found.best) == found.value  # 27 is the best of 4096
    assert found.best_so_far[-1] == found.value and "calls" in repr(found)
    most = relax_rl.minimize(lambda x: -left_behind(x), THINGS, calls=400, maximize=True)
    assert most.best == found.best and most.value == -found.value


def test_a_network_is_another_surrogate():
    options = {"surrogate": {"function": {"network": [64, 64]}}, "batch": 4, "probe": 4}
    found = [relax_rl.minimize(left_behind, THINGS, seed=seed, calls=400, target=28, **options) for seed in range(3)]
    assert all(run.reason == "target" for run in found)
    with pytest.raises(ValueError, match="a kernel has none"):
        relax_rl.minimize(left_behind, THINGS, surrogate={"relaxed": True})


def test_probes_save_calls():
    def calls(**options):
        runs = [relax_rl.minimize(left_behind, THINGS, calls=1500, target=28, seed=seed, **options) for seed in range(1000, 1005)]
        return sum(len(run.history) for run in runs)

    assert 2 * calls() < calls(batch=8, probe=0)
    with pytest.raises(ValueError, match="probe is 1001, and must be 1000 or fewer"):
        relax_rl.minimize(left_behind, THINGS, probe=1001)


def test_choices_are_the_ones_given():
    space = {"depth": range(1, 9), "kind": ["a", None, (1, 2)], "fixed": [3], "on": [False, True]}

    def f(x):
        assert x["fixed"] == 3 and x["depth"] in range(1, 9)
        return abs(x["depth"] - 6) + (x["kind"] is not None) + (not x["on"])

    found = relax_rl.minimize(f, space, calls=48, target=0)
    assert found.value == 0 and found.reason == "target"
    assert found.best == {"depth": 6, "kind": None, "fixed": 3, "on": True}


def test_a_constraint_is_kept():
    def three_at_most(name, chosen):
        return [False] if sum(chosen.values()) == 3 else [False, True]

    found = relax_rl.minimize(lambda x: -sum(x.values()), THINGS, calls=100, constraint=three_at_most)
    assert found.value == -3 and all(sum(x.values()) <= 3 for x, _ in found.history)
    with pytest.raises(ZeroDivisionError):
        relax_rl.minimize(left_behind, THINGS, constraint=lambda name, chosen: 1 // 0)


def test_threads_and_batches_make_the_same_calls():
    one = relax_rl.minimize(left_behind, THINGS, calls=100)
    seen = set()

    def watched(x):
        seen.add(threading.get_ident())
        return left_behind(x)

    assert relax_rl.minimize(watched, THINGS, calls=100, workers=3).history == one.history
    assert threading.get_ident() not in seen
    batched = relax_rl.minimize(lambda xs: [left_behind(x) for x in xs], THINGS, calls=100, batched=True)
    assert batched.history == one.history


def test_failures_name_the_point_and_the_journal_goes_on(tmp_path):
    path, calls = tmp_path / "calls.jsonl", []

    def fragile(x):
        calls.append(x)
        if len(calls) == 50:
            raise OSError("on fire")
        return left_behind(x)

    with pytest.raises(relax_rl.FailedCall, match=r"f failed at \{'thing 0': .*on fire") as failed:
        relax_rl.minimize(fragile, THINGS, calls=100, journal=path)
    assert failed.value.point == calls[-1] and isinstance(failed.value.__cause__, OSError)
    assert [point for point, _ in failed.value.history] == calls[:-1]
    with path.open("a") as file:
        file.write('{"batch": 7, "ro')
    resumed = relax_rl.minimize(fragile, THINGS, calls=100, journal=path)
    assert len(calls) == 101
    assert resumed.history == relax_rl.minimize(left_behind, THINGS, calls=100).history
    further = relax_rl.minimize(left_behind, THINGS, calls=150, workers=2, journal=path)
    assert further.history == relax_rl.minimize(left_behind, THINGS, calls=150).history
    with pytest.raises(ValueError, match="another minimisation"):
        relax_rl.minimize(left_behind, THINGS, calls=100, journal=path, seed=1)
    with pytest.raises(ValueError, match="another minimisation"):
        relax_rl.minimize(left_behind, {name: [True, False] for name in THINGS}, calls=100, journal=path)
    other, text = tmp_path / "notes.txt", path.read_text()
    for nonsense, said in [
        ("buy bread\n", "notes.txt is no journal of a minimisation: line 1"),
        ("buy bread", "notes.txt is no journal of a minimisation; name a file that is not there yet"),
        (text.replace("\n", "\n5\n", 1), "line 2 is no call: 5"),
        (text.replace('"row"', '"raw"', 1), "line 2 is no call: {"),
    ]:
        other.write_text(nonsense)
        with pytest.raises(ValueError, match=said):
            relax_rl.minimize(left_behind, THINGS, calls=100, journal=other)
        assert other.read_text() == nonsense
    # A first line that a crash cut short.
    other.write_text(text[:40])
    assert relax_rl.minimize(left_behind, THINGS, calls=100, journal=other).history == resumed.history


@pytest.mark.parametrize("how", [{}, {"workers": 3}, {"batched": True}])
def test_what_is_no_number_is_named(how):
    def wrap(f):
        return (lambda xs: [f(x) for x in xs]) if how.get("batched") else f

    with pytest.raises(relax_rl.FailedCall, match=r"f is nan at \{'thing 0'"):
        relax_rl.minimize(wrap(lambda x: float("nan")), THINGS, **how)
    with pytest.raises(relax_rl.FailedCall, match=r"f returned None at \{'thing 0'"):
        relax_rl.minimize(wrap(lambda x: None), THINGS, **how)

    def sometimes(x):
        return float("inf") if x["thing 3"] and x["thing 4"] and x["thing 5"] else left_behind(x)

    with pytest.raises(relax_rl.FailedCall) as failed:
        relax_rl.minimize(wrap(sometimes), THINGS, **how)
    assert all(failed.value.point[f"thing {i}"] for i in (3, 4, 5))
    assert all(sometimes(point) == value for point, value in failed.value.history)


def test_an_interrupt_keeps_what_was_called(tmp_path):
    path, calls = tmp_path / "calls.jsonl", []

    def interrupted(x):
        calls.append(x)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return left_behind(x)

    with pytest.raises(KeyboardInterrupt):
        relax_rl.minimize(interrupted, THINGS, calls=60, journal=path)
    assert relax_rl.minimize(interrupted, THINGS, calls=60, journal=path).history == relax_rl.minimize(left_behind, THINGS, calls=60).history
    assert len(calls) == 61


def test_numbers_may_be_numpys():
    options = {"calls": 40, "seed": 3, "noisy": False, "learning_rate": 0.1, "target": -1.0, "surrogate": {"free": 32}}
    given = {
        "calls": np.int64(40),
        "seed": np.uint8(3),
        "noisy": np.False_,
        "learning_rate": np.float64(0.1),
        "target": np.float32(-1.0),
        "surrogate": {"free": np.int32(32)},
    }
    assert relax_rl.minimize(left_behind, THINGS, **given) == relax_rl.minimize(left_behind, THINGS, **options)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="workers, unless .* is 0"):
        relax_rl.minimize(left_behind, THINGS, workers=0)
    with pytest.raises(ValueError, match="the constraint returned 2 for 'thing 0', whose choices are"):
        relax_rl.minimize(left_behind, THINGS, constraint=lambda name, chosen: [2])
    with pytest.raises(ValueError, match="no choice for 'a'"):
        relax_rl.minimize(left_behind, {"a": []})
    with pytest.raises(ValueError, match="batch is 1"):
        relax_rl.minimize(left_behind, THINGS, batch=1)
    for wrong, said in [
        ({"calls": 10.5}, "calls must be a whole number, not 10.5"),
        ({"seed": "1"}, "seed must be a whole number, not '1'"),
        ({"workers": 2.5}, "workers, unless it is an executor of concurrent.futures, must be a whole number"),
        ({"maximize": 1}, "maximize must be True or False, not 1"),
        ({"seconds": "3"}, "seconds must be a number, not '3'"),
        ({"target": print}, "target must be a number, not <built-in"),
        ({"batch": print}, "an option must be a number"),
    ]:
        with pytest.raises(TypeError, match=said):
            relax_rl.minimize(left_behind, THINGS, **wrong)
    with pytest.raises(TypeError, match="space must be a dictionary"):
        relax_rl.minimize(left_behind, [1, 2])
    with pytest.raises(TypeError, match="the choices of 'a' must be a list, not 3"):
        relax_rl.minimize(left_behind, {"a": 3})
    with pytest.raises(ValueError, match="seed is -1"):
        relax_rl.minimize(left_behind, THINGS, seed=-1)
    with pytest.raises(relax_rl.FailedCall, match="f returned 1 numbers for 2 points, of which {'thing 0'"):
        relax_rl.minimize(lambda xs: [1.0], THINGS, batched=True)
    with pytest.raises(ValueError, match="unknown field `lerning_rate`"):
        relax_rl.minimize(left_behind, THINGS, lerning_rate=1)
    with pytest.raises(ValueError, match="no estimator `relaxx`"):
        relax_rl.minimize(left_behind, THINGS, estimator="relaxx")


def test_it_plots():
    drawn = {}

    class Axes:
        def plot(self, values, *style, label, **more):
            drawn[label] = values

        def set_xlabel(self, text): ...
        def set_ylabel(self, text): ...
        def legend(self): ...

    found = relax_rl.minimize(left_behind, THINGS, calls=30)
    assert isinstance(found.plot(Axes()), Axes)
    assert drawn == {"calls": [value for _, value in found.history], "best so far": found.best_so_far}


def test_noise_time_and_progress(capsys):
    found = relax_rl.minimize(left_behind, THINGS, noisy=True, seconds=0)
    assert found.reason == "seconds" and len(found.history) == 8
    relax_rl.minimize(left_behind, THINGS, calls=20, progress=True)
    assert "20 of 20 calls, best" in capsys.readouterr().err
    found = relax_rl.minimize(left_behind, THINGS, progress=lambda history: len(history) > 20)
    assert found.reason == "stopped" and 20 < len(found.history) < 40
    small = relax_rl.minimize(lambda x: x["a"], {"a": [0, 1]}, calls=100)
    assert small.reason == "converged" and len(small.history) == 2
