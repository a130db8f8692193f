"""Masks of actions: Gymnasium's environments never see a forbidden action, whoever steps them, and the native ones tell what is
allowed as Gymnasium's do."""

import copy
import os
import pickle
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import relax_rl

MODULES = Path(__file__).parents[2] / "tests" / "python"
sys.path.insert(0, str(MODULES))
os.environ["PYTHONPATH"] = os.pathsep.join([str(MODULES), os.environ.get("PYTHONPATH", "")])  # for subprocesses

GAME = "relax_rl/TicTacToe-v0"
VECTORS = ["SameStep", "NextStep", "Disabled"]


def settings(id, kind="a2c", steps=1200, **env):
    return {
        "env": {"id": f"gym:mask_envs:{id}-v0", **env},
        "agent": {"kind": kind, "hidden": [8]},
        # The budget leaves some slots out of the last level.
        "rollout": {"envs": 3, "steps": 11},
        "run": {"env_steps": steps + 1, "evaluation_episodes": 20, "evaluation_every_env_steps": 500},
    }


@pytest.mark.parametrize("kind", ["a2c", "ppo", "relax-a2c", "reinforce"])
@pytest.mark.parametrize("action", ["discrete", "shifted", "multi-discrete", "multi-binary", "dict"])
def test_nothing_forbidden_is_taken(tmp_path, kind, action):
    # The environment raises if it is; training and evaluation go across many ends.
    config = settings("Masked", kind, vectorization="sync", kwargs={"action": action})
    run = relax_rl.train(config, out=tmp_path / "run")
    assert run.summary["episodes"] > 100


@pytest.mark.parametrize("mode", VECTORS)
@pytest.mark.parametrize("action", ["discrete", "multi-discrete", "multi-binary"])
def test_nothing_forbidden_is_taken_by_vector_environments(tmp_path, mode, action):
    config = settings(f"Masked{mode}", vectorization="vector", kwargs={"action": action})
    assert relax_rl.train(config, out=tmp_path / "run").summary["episodes"] > 100


def test_subprocesses_tell_the_same(tmp_path):
    summaries = []
    for kind in ("sync", "async"):
        config = settings("Masked", vectorization=kind, kwargs={"action": "multi-discrete"})
        summaries.append(relax_rl.train(config, out=tmp_path / kind).summary)
    assert summaries[0]["mean_return_100"] == summaries[1]["mean_return_100"]


def test_gymnasiums_own_taxi(tmp_path):
    config = settings("Masked") | {"env": {"id": "gym:Taxi-v4", "vectorization": "sync"}}
    config["run"] = {"env_steps": 600, "evaluation_episodes": 0}
    run = relax_rl.train(config, out=tmp_path / "run")
    policy, env = relax_rl.load(run.dir), gym.make("Taxi-v4")
    observation, info = env.reset(seed=3)
    for _ in range(50):
        action, _ = policy.predict(observation, deterministic=False, action_mask=info["action_mask"])
        assert info["action_mask"][action] == 1
        observation, _, over, cut, info = env.step(action)
        if over or cut:
            observation, info = env.reset()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nothing", "the action mask allows no action"),
        ("missing", 'info["action_mask"] is missing, and was there in the first reset'),
        ("short", 'info["action_mask"] has shape (4,); the action space Discrete(5) says (5,)'),
        ("type", 'info["action_mask"] has type float32; it must be of int8 or bool'),
        ("two", 'info["action_mask"] has entries other than 0 and 1'),
        ("late", 'info["action_mask"] is there, and was not in the first reset'),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async", "vector"])
def test_masks_that_make_no_sense(tmp_path, kind, fault, said):
    if kind == "vector" and fault in ("short", "late"):
        pytest.skip("such arrays cannot be made")
    id = "MaskedNextStep" if kind == "vector" else "Masked"
    # Episodes that are cut would begin again with a mask of another kind.
    config = settings(id, vectorization=kind, kwargs={"fault": fault, "truncates": False})
    with pytest.raises((RuntimeError, ValueError)) as error:
        relax_rl.train(config, out=tmp_path / "run")
    assert said in str(error.value)
    if kind != "vector" or fault == "nothing":
        assert "slot 0, seed" in str(error.value)
    if fault == "nothing":
        assert "after 3 steps of the episode" in str(error.value)


def test_numbers_have_nothing_to_mask(tmp_path):
    with pytest.raises((RuntimeError, ValueError), match="masks are for Discrete, MultiDiscrete and MultiBinary actions"):
        relax_rl.train(settings("Masked", vectorization="sync", kwargs={"action": "box"}), out=tmp_path / "run")


def test_a_native_game_tells_its_mask():
    env = gym.make(GAME)
    env.action_space.seed(1)
    for game in range(30):
        board, info = env.reset(seed=game)
        while True:
            mask = info["action_mask"]
            assert mask.dtype == np.int8 and (mask == (board.reshape(2, 9).sum(0) == 0)).all()
            board, _, over, _, info = env.step(env.action_space.sample(mask=mask))
            if over:
                break
        assert (info["action_mask"] == (board.reshape(2, 9).sum(0) == 0)).all()
    twin = pickle.loads(pickle.dumps(copy.deepcopy(env.unwrapped)))
    assert twin.reset(seed=4)[1]["action_mask"].tolist() == env.reset(seed=4)[1]["action_mask"].tolist()
    assert "action_mask" not in gym.make(GAME, action_mask=False).reset(seed=0)[1]
    assert gym.make("relax_rl/CartPole-v1").reset(seed=0)[1] == {}


@pytest.mark.parametrize("mode", VECTORS)
def test_native_games_side_by_side_tell_their_masks(mode):
    envs = gym.make_vec(GAME, 5, autoreset_mode=mode)
    lines = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])
    rng = np.random.default_rng(0)
    boards, infos = envs.reset(seed=3)
    over, ends = np.zeros(5, dtype=bool), 0
    for _ in range(60):
        free = boards.reshape(5, 2, 9).sum(1) == 0
        assert (infos["action_mask"] == free).all() and infos["_action_mask"].all()
        actions = np.array([rng.choice(np.flatnonzero(row)) if row.any() else 0 for row in infos["action_mask"]])
        boards, rewards, over, _, infos = envs.step(actions)
        ends += over.sum()
        last = boards.reshape(5, 2, 9)
        if mode == "SameStep" and over.any():
            last = infos["final_obs"].reshape(5, 2, 9)
            assert (infos["final_info"]["action_mask"][over] == (last.sum(1) == 0)[over]).all()
        # Who is sent to a taken cell loses without three of the other's in a row.
        assert (last[over & (rewards == -1), 1][:, lines].all(axis=2).any(axis=1)).all()
        if mode == "Disabled" and over.any():
            boards, infos = envs.reset(options={"reset_mask": over})
    assert ends > 30


def test_predictions_take_masks(tmp_path):
    config = {
        "env": {"id": "TicTacToe-v0"},
        "agent": {"kind": "ppo", "hidden": [16]},
        "run": {"env_steps": 4000, "evaluation_episodes": 0},
    }
    policy = relax_rl.load(relax_rl.train(config, out=tmp_path / "run").dir)
    envs = gym.make_vec(GAME, 4)
    boards, infos = envs.reset(seed=1)
    for step in range(40):
        actions, _ = policy.predict(boards, deterministic=step % 2 == 0, action_mask=infos["action_mask"])
        assert infos["action_mask"][np.arange(4), actions].all()
        alone, _ = policy.predict(boards[0], action_mask=infos["action_mask"][0])
        assert step % 2 or alone == actions[0]
        boards, _, _, _, infos = envs.step(actions)
    for mask, said in [
        (np.zeros(9, np.int8), "allows no action"),
        (np.ones(8, np.int8), r"has shape \(8,\)"),
        (np.ones(9), "has type float64"),
        (np.ones((3, 9), np.int8), "shape"),
    ]:
        with pytest.raises(ValueError, match=said):
            policy.predict(boards[0], action_mask=mask)
    with pytest.raises(ValueError, match="3 rows; there are 4 observations"):
        policy.predict(boards, action_mask=np.ones((3, 9), np.int8))
    with pytest.raises(ValueError, match="action_mask is True; there are 4 observations"):
        policy.predict(boards, action_mask=True)
    masks = infos["action_mask"].copy()
    masks[2] = 0
    with pytest.raises(ValueError, match="of observation 2 allows no action"):
        policy.predict(boards, action_mask=masks)
