"""relax-rl for Python: native environments in Gymnasium, training, trained policies, minimising what can only be called, and gradient
estimators on arrays.

    import gymnasium, relax_rl
    envs = gymnasium.make_vec("relax_rl/CartPole-v1", 1024)
    run = relax_rl.train("configs/cartpole-relax.toml", out="runs/mine")
    action, _ = relax_rl.load(run.dir).predict(observation)
    relax_rl.export(run.dir, "policy.onnx")
    found = relax_rl.minimize(f, {"depth": range(1, 9), "bias": [False, True]}, calls=300)
    gradient = relax_rl.estimators.leave_one_out(logits, samples, values, family="bernoulli")
    print(relax_rl.certify(my_estimator, f, logits, family="bernoulli"))
"""

from . import estimators
from ._register import register
from ._relax_rl import Policy
from .cluster import Learner, Worker, rollout
from .estimators import certify
from .minimize import FailedCall, Found, minimize
from .training import Run, export, load, resume, state_hash, train

__all__ = [
    "FailedCall",
    "Found",
    "Learner",
    "Policy",
    "Run",
    "Worker",
    "certify",
    "estimators",
    "export",
    "load",
    "minimize",
    "register",
    "resume",
    "rollout",
    "state_hash",
    "train",
]

register()
