"""Stable-Baselines3 trains on a native environment as on any other. Runs where it is installed."""

import gymnasium
import pytest

import relax_rl  # noqa: F401  registers the environments

sb3 = pytest.importorskip("stable_baselines3")


@pytest.mark.sb3
def test_ppo_learns_cartpole():
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    import torch

    torch.set_num_threads(1)
    envs = make_vec_env("relax_rl/CartPole-v1", n_envs=8, seed=0)
    model = sb3.PPO("MlpPolicy", envs, n_steps=64, batch_size=128, learning_rate=1e-3, seed=0, device="cpu")
    model.learn(40_000)
    mean, _ = evaluate_policy(model, gymnasium.make("relax_rl/CartPole-v1"), n_eval_episodes=10, warn=False)
    assert mean > 300, mean
