"""relax-rl for Python: native environments in Gymnasium, training, and trained policies.

    import gymnasium, relax_rl
    envs = gymnasium.make_vec("relax_rl/CartPole-v1", 1024)
    run = relax_rl.train("configs/cartpole-relax.toml", out="runs/mine")
    action, _ = relax_rl.load(run.dir).predict(observation)
"""

from ._register import register
from ._relax_rl import Policy
from .training import Run, load, resume, train

__all__ = ["Policy", "Run", "load", "register", "resume", "train"]

register()
