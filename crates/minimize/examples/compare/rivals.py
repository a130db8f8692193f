"""Methods of other packages on the same functions, in the same lines as `compare calls`.

    pip install optuna cmaes nevergrad
    cargo build --release -p relax-minimize --example compare
    python crates/minimize/examples/compare/rivals.py target/release/examples/compare METHOD[:SEEDS][@CALLS] PROBLEM …

METHOD: tpe (Optuna's; the tuned number is that of random trials at first), cma (CMA-ES with margin, for bits; its first step size) or
nevergrad (which of four of its optimisers for discrete choices). The rule is that of the others: the best of four settings by the mean
of the best value found on seeds 1000 and 1001; of numbers, the grid goes on where its end is the best, three
more at most. With :SEEDS nothing is tuned, and so many seeds are run at the default; with @CALLS a run has so many calls and no more,
and tuning half of them. A point is called once; asked again, it is answered from memory.
"""

import math
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")


class Problem:
    def __init__(self, program, name):
        pipe = subprocess.PIPE
        self.name, self.server = name, subprocess.Popen([program, "serve", name], stdin=pipe, stdout=pipe, text=True)
        choices, calls, *targets = self.server.stdout.readline().strip().split(",")
        self.choices, self.calls, self.targets = list(map(int, choices.split())), int(calls), list(map(float, targets))
        self.start(0, self.calls)

    def start(self, seed, calls):
        self.calls = calls
        self.known, self.best, self.asked, self.seed, self.inside = {}, [], 0, seed, 0.0

    def over(self):
        return len(self.best) >= self.calls or self.asked >= 1000  # known points in a row

    def f(self, x):
        """f, and its time is not the method's."""
        start = time.process_time()
        key, self.asked = tuple(x), self.asked + 1
        if key not in self.known:
            self.asked = 0
            self.server.stdin.write(" ".join(map(str, key)) + "\n")
            self.server.stdin.flush()
            self.known[key] = float(self.server.stdout.readline())
            if len(self.best) < self.calls:
                self.best.append(min(self.known[key], self.best[-1] if self.best else math.inf))
        self.inside += time.process_time() - start
        return self.known[key]


def tpe(problem, random_trials):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=problem.seed, n_startup_trials=round(random_trials)))
    names = [f"x{i}" for i in range(len(problem.choices))]
    while not problem.over():
        trial = study.ask()
        x = [trial.suggest_categorical(name, list(range(k))) for name, k in zip(names, problem.choices)]
        study.tell(trial, problem.f(x))


def cma(problem, sigma):
    import numpy
    from cmaes import CMAwM

    k = len(problem.choices)
    optimizer = CMAwM(numpy.full(k, 0.5), sigma, numpy.tile([0.0, 1.0], (k, 1)), numpy.ones(k), seed=problem.seed)
    while not problem.over():
        told = []
        for _ in range(optimizer.population_size):
            x, continuous = optimizer.ask()
            told.append((continuous, problem.f(round(b) for b in x)))
        optimizer.tell(told)
        if optimizer.should_stop():
            break


def nevergrad(problem, which):
    import nevergrad
    import numpy

    k = problem.choices[0]
    if set(problem.choices) == {k}:
        space = nevergrad.p.Choice(list(range(k)), repetitions=len(problem.choices))
    else:
        space = nevergrad.p.Tuple(*(nevergrad.p.Choice(list(range(k))) for k in problem.choices))
    space.random_state = numpy.random.RandomState(problem.seed)
    optimizer = nevergrad.optimizers.registry[which](space, budget=problem.calls)
    while not problem.over():
        point = optimizer.ask()
        optimizer.tell(point, problem.f(point.value))


METHODS = {
    # Default, grid.
    "tpe": (tpe, 10.0, [5.0, 10.0, 20.0, 40.0]),
    "cma": (cma, 0.5, [0.1, 0.2, 0.5, 1.0]),
    "nevergrad": (nevergrad, "DiscreteOnePlusOne", ["DiscreteOnePlusOne", "PortfolioDiscreteOnePlusOne", "DoubleFastGADiscreteOnePlusOne", "cGA"]),
}


def main():
    program, method, *names = sys.argv[1:]
    method, _, most = method.partition("@")
    method, _, seeds = method.partition(":")
    run, default, grid = METHODS[method]
    for name in names:
        problem = Problem(program, name)
        calls = int(most or problem.calls)
        if run is cma and set(problem.choices) != {2}:
            print(f"{name} is not of bits, which CMA-ES with margin is for", file=sys.stderr)
            continue

        def final(setting, seed, calls):
            problem.start(seed, calls)
            run(problem, setting)
            return problem.best[-1] if problem.best else math.nan

        def mean(setting):
            return sum(final(setting, seed, calls // 2 if most else calls) for seed in (1000, 1001)) / 2

        tried = {default: 0.0} if seeds else {setting: mean(setting) for setting in grid}
        for _ in range(3 if isinstance(default, float) and not seeds else 0):
            settings = sorted(tried)
            at = settings.index(min(settings, key=tried.get))
            if 0 < at < len(settings) - 1:
                break
            near, end = (settings[1], settings[0]) if at == 0 else settings[-2:]
            tried[end * end / near] = mean(end * end / near)
        print(name, method, tried, sep=",", file=sys.stderr, flush=True)
        setting = min(tried, key=tried.get)
        for seed in range(int(seeds or 10)):
            start = time.process_time()
            final(setting, seed, calls)
            seconds = time.process_time() - start - problem.inside
            reached = [next((str(i + 1) for i, best in enumerate(problem.best) if best <= t), "-") for t in problem.targets]
            points = [50 << i for i in range(20) if 50 << i < problem.calls] + [problem.calls]
            firsts = " ".join(f"{n}:{problem.best[min(n, len(problem.best)) - 1]}" for n in points)
            print(name, method, setting, seed, f"{seconds:.3f}", "/".join(reached), firsts, sep=",", flush=True)
        problem.server.stdin.close()


if __name__ == "__main__":
    main()
