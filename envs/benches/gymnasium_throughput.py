"""Steps per second of Gymnasium's SyncVectorEnv under random actions: `gymnasium_throughput.py SLOTS ID…`.

Prints the median and the range of seven runs of a quarter of a second, as throughput.rs does."""

import sys
import time

import gymnasium as gym
import numpy as np

slots = int(sys.argv[1])
for id in sys.argv[2:]:
    if id.startswith("MiniGrid"):
        import minigrid
        from minigrid.wrappers import ImgObsWrapper

        make = lambda: ImgObsWrapper(gym.make(id))
    else:
        make = lambda: gym.make(id)
    envs = gym.vector.SyncVectorEnv([make] * slots)
    envs.reset(seed=0)
    envs.action_space.seed(1)
    actions = [envs.action_space.sample() for _ in range(97)]
    rates, batch = [], 0
    for _ in range(7):
        start, first = time.perf_counter(), batch
        while time.perf_counter() - start < 0.25:
            envs.step(actions[batch % 97])
            batch += 1
        rates.append((batch - first) * slots / (time.perf_counter() - start) / 1e3)
    rates.sort()
    print(f"{id:<32} {rates[3]:>10.1f}k      {rates[0]:.1f}k–{rates[6]:.1f}k", flush=True)
