"""A plain Gymnasium loop, to compare the bridge with: `reference.py ID SEEDS STEPS FOLDER [vector]`.

Every array is written as it is, step-major: [STEPS, SEEDS, ...]. Seed s of the actions is that of its environment.
"""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np


def make(id):
    """The environment, as `gymnasium.make` has it; of MiniGrid's dictionary the image alone."""
    if not id.startswith("MiniGrid"):
        return gym.make(id)
    import minigrid  # registers itself
    from minigrid.wrappers import ImgObsWrapper

    return ImgObsWrapper(gym.make(id))


def plain(id, seeds, steps):
    """Each environment alone, one step after the other."""
    first, actions, results, after = [], [], [], []
    for seed in range(seeds):
        env = make(id)
        env.action_space.seed(seed)
        observation, _ = env.reset(seed=seed)
        first.append(observation)
        rows = [[], [], []]
        for _ in range(steps):
            action = env.action_space.sample()
            observation, reward, terminated, truncated, _ = env.step(action)
            rows[0].append(action)
            rows[1].append((observation, float(reward), terminated, truncated))
            if terminated or truncated:
                observation, _ = env.reset()
            rows[2].append(observation)
        env.close()
        for to, row in zip((actions, results, after), rows):
            to.append(row)
    turned = lambda rows, pick: np.array([[pick(row[t]) for row in rows] for t in range(steps)])
    return (
        np.array(first),
        turned(actions, lambda action: action),
        turned(after, lambda observation: observation),
        turned(results, lambda result: result[0]),
        turned(results, lambda result: result[1]),
        turned(results, lambda result: result[2:]),
    )


def vector(id, seeds, steps):
    """The environment's own vector entry point; rows of a step after an end are the dummies of NEXT_STEP."""
    envs = gym.make_vec(id, seeds, "vector_entry_point")
    envs.action_space.seed(0)
    first, _ = envs.reset(seed=0)
    columns = [[], [], [], [], []]
    for _ in range(steps):
        action = envs.action_space.sample()
        observation, reward, terminated, truncated, _ = envs.step(action)
        flags = np.stack([terminated, truncated], axis=-1)
        for to, value in zip(columns, (action, observation, observation, reward, flags)):
            to.append(value)
    return (first, *(np.array(column) for column in columns))


id, seeds, steps, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
arrays = (vector if "vector" in sys.argv else plain)(id, seeds, steps)
first, actions, after, final, rewards, flags = arrays
kinds = {"actions": np.int64 if np.issubdtype(actions.dtype, np.integer) else np.float32}
for name, array in zip(("first", "actions", "after", "final", "rewards", "flags"), arrays):
    kind = kinds.get(name, {"rewards": np.float64, "flags": np.uint8}.get(name, np.float32))
    np.ascontiguousarray(array, dtype=kind).tofile(folder / name)
