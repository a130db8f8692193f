"""Steps per second of vector environments from Python, in turn: ours, Gymnasium's, and EnvPool's where it is installed.

    taskset -c 0 .venv/bin/python python/bench.py
"""

import time

import gymnasium
import numpy as np

import relax_rl  # noqa: F401  registers the environments

try:
    import envpool
except ImportError:
    envpool = None

ROUNDS, SECONDS = 7, 0.4


def rate(envs, slots, actions, reset):
    reset()
    for row in actions[:10]:
        envs.step(row)
    steps, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < SECONDS:
        for row in actions:
            envs.step(row)
        steps += len(actions)
    return steps * slots / passed / 1000


def made(id, slots):
    """Name, environments and how to reset them."""
    ours = gymnasium.make_vec(f"relax_rl/{id}", slots)
    yield "relax_rl", ours, lambda: ours.reset(seed=0)
    theirs = gymnasium.make_vec(id, slots)
    yield f"gymnasium ({type(theirs).__name__})", theirs, lambda: theirs.reset(seed=0)
    if envpool is not None:
        pool = envpool.make_gymnasium(id, num_envs=slots, seed=0)
        yield f"envpool {envpool.__version__}", pool, lambda: pool.reset()


for id in ("CartPole-v1", "Pendulum-v1"):
    for slots in (16, 1024):
        generator = np.random.default_rng(0)
        if id == "CartPole-v1":
            actions = generator.integers(0, 2, (20, slots))
        else:
            actions = generator.uniform(-2, 2, (20, slots, 1)).astype(np.float32)
        candidates = list(made(id, slots))
        rates = {name: [] for name, _, _ in candidates}
        for _ in range(ROUNDS):
            for name, envs, reset in candidates:
                rates[name].append(rate(envs, slots, actions, reset))
        ours = np.array(rates["relax_rl"])
        for name, values in rates.items():
            ratio = np.sort(ours / np.array(values))
            low, middle, high = np.min(values), np.median(values), np.max(values)
            print(
                f"{id} × {slots}  {name:34} {middle:8.0f} ({low:.0f}–{high:.0f}) thousand steps/s"
                f"   ours is {ratio[len(ratio) // 2]:.1f} × ({ratio[0]:.1f}–{ratio[-1]:.1f})"
            )
