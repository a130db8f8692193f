"""Steps per second under random actions, one thread: `gymnasium_throughput.py SLOTS ID…`.

Gymnasium's SyncVectorEnv and, where it is installed and has the task, EnvPool with one thread, in turn. Prints the median and the range of
seven runs of a quarter of a second each, as throughput.rs does."""

import sys
import time

import gymnasium as gym

try:
    import envpool
except ImportError:
    envpool = None


def gymnasium_envs(id, slots):
    if id.startswith("MiniGrid"):
        import minigrid
        from minigrid.wrappers import ImgObsWrapper

        make = lambda: ImgObsWrapper(gym.make(id))
    else:
        make = lambda: gym.make(id)
    envs = gym.vector.SyncVectorEnv([make] * slots)
    envs.reset(seed=0)
    return envs


def pool(id, slots):
    envs = envpool.make_gymnasium(id, num_envs=slots, num_threads=1, seed=0)
    envs.reset()
    return envs


def rate(envs, slots, actions):
    start, batch = time.perf_counter(), 0
    while time.perf_counter() - start < 0.25:
        envs.step(actions[batch % len(actions)])
        batch += 1
    return batch * slots / (time.perf_counter() - start) / 1e3


slots = int(sys.argv[1])
for id in sys.argv[2:]:
    candidates = {"gymnasium": gymnasium_envs(id, slots)}
    if envpool is not None and id in envpool.list_all_envs():
        candidates["envpool"] = pool(id, slots)
    space = candidates["gymnasium"].action_space
    space.seed(1)
    actions = [space.sample() for _ in range(97)]
    rates = {name: [] for name in candidates}
    for _ in range(7):
        for name, envs in candidates.items():
            rates[name].append(rate(envs, slots, actions))
    for name, of in rates.items():
        of.sort()
        print(f"{id:<32} {name:<10} {of[3]:>10.1f}k      {of[0]:.1f}k–{of[6]:.1f}k", flush=True)
