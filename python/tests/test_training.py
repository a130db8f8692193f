"""Training from Python, policies, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import relax_rl

SMALL = {
    "env": {"id": "CartPole-v1"},
    "agent": {"kind": "relax-a2c", "hidden": [16]},
    "rollout": {"envs": 2, "steps": 16},
    "run": {"env_steps": 2000, "evaluation_episodes": 2},
}
ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
RELAX = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "relax"


def test_a_run_from_dictionaries(tmp_path):
    run = relax_rl.train(SMALL, out=tmp_path / "run", run__seed=5, **{"learner.gamma": 0.98})
    assert run.summary["env_steps"] == 2000 and run.summary["seed"] == 5
    assert "gamma = 0.98" in (run.dir / "config.toml").read_text()
    longer = relax_rl.resume(run.dir, run__env_steps=3000)
    assert longer.summary["env_steps"] == 3000
    assert longer.state_hash == relax_rl.state_hash(run.dir) != run.state_hash
    same = relax_rl.train(SMALL, out=tmp_path / "same", run__seed=5, learner__gamma=0.98)
    assert same.summary["mean_return_100"] == run.summary["mean_return_100"]
    assert same.state_hash == run.state_hash


@pytest.mark.skipif(not RELAX.exists(), reason="the program is not built")
def test_the_program_and_python_learn_the_same(tmp_path):
    ours = [relax_rl.train(SMALL, out=tmp_path / f"{workers}", rollout__workers=workers) for workers in range(3)]
    command = [RELAX, "train", ours[0].dir / "config.toml", "--out", tmp_path / "program", "--workers", "2"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert {run.state_hash for run in ours} == {relax_rl.state_hash(tmp_path / "program")}
    assert f"state       {ours[0].state_hash}\n" in out
    other = relax_rl.train(SMALL, out=tmp_path / "other", run__seed=9)
    assert other.state_hash != ours[0].state_hash


def test_a_trained_policy_solves_cartpole(tmp_path):
    run = relax_rl.train(CONFIGS / "cartpole-relax.toml", out=tmp_path / "run")
    policy = relax_rl.load(run.dir)
    assert "relax-a2c" in policy.config
    env = gymnasium.make("CartPole-v1")
    returns = []
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action, _ = policy.predict(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + reward, terminated or truncated
        returns.append(total)
    assert np.mean(returns) > 475, returns
    batch = np.stack([env.reset(seed=seed)[0] for seed in range(7)])
    actions, _ = policy.predict(batch)
    assert actions.shape == (7,) and actions.dtype == np.int64
    assert [policy.predict(row)[0] for row in batch] == actions.tolist()
    policy.seed(1)
    drawn = [policy.predict(batch, deterministic=False)[0].tolist() for _ in range(20)]
    policy.seed(1)
    assert drawn == [policy.predict(batch, deterministic=False)[0].tolist() for _ in range(20)]
    assert len({tuple(one) for one in drawn}) > 1


def test_continuous_actions_have_the_spaces_shape_and_bounds(tmp_path):
    config = SMALL | {"env": {"id": "Pendulum-v1"}}
    policy = relax_rl.load(relax_rl.train(config, out=tmp_path / "run").dir)
    action, _ = policy.predict([1.0, 0.0, 0.0])
    assert action.shape == (1,) and action.dtype == np.float32
    drawn, _ = policy.predict(np.tile([1.0, 0.0, 0.0], (500, 1)), deterministic=False)
    assert drawn.shape == (500, 1) and np.abs(drawn).max() <= 2.0 and drawn.std() > 0.1


def test_a_gymnasium_environment_trains_from_python(tmp_path):
    config = SMALL | {"env": {"id": "gym:CartPole-v1", "vectorization": "sync"}}
    bridged = relax_rl.train(config, out=tmp_path / "run")
    native = relax_rl.train(SMALL, out=tmp_path / "native")
    assert bridged.state_hash == native.state_hash
    assert bridged.summary["mean_return_100"] == native.summary["mean_return_100"]


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="learner.gama.*\n.*learner.gamma"):
        relax_rl.train(SMALL, out=tmp_path / "run", learner__gama=0.9)
    with pytest.raises(ValueError, match="unknown environment"):
        relax_rl.train(SMALL | {"env": {"id": "CartPol-v1"}}, out=tmp_path / "run")
    with pytest.raises(ValueError, match="not a|does not|no checkpoint|there is no"):
        relax_rl.load(tmp_path / "nothing")
    run = relax_rl.train(SMALL, out=tmp_path / "small")
    with pytest.raises(ValueError, match="shape"):
        relax_rl.load(run.dir).predict([1.0, 2.0])
    with pytest.raises(ValueError, match="holds a run already"):
        relax_rl.train(SMALL, out=run.dir)


def test_other_threads_run_while_training(tmp_path):
    counted, over = 0, threading.Event()

    def count():
        nonlocal counted
        while not over.is_set():
            counted += 1
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    before = counted
    relax_rl.train(SMALL, out=tmp_path / "run", run__env_steps=100_000)
    during = counted - before
    over.set()
    thread.join()
    assert during > 100


def test_ctrl_c_saves_the_state(tmp_path):
    run = tmp_path / "run"
    # A shell's background jobs are started with SIGINT ignored, and Python then leaves it so.
    code = (
        "import relax_rl, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"try:\n    relax_rl.train({SMALL!r}, out={str(run)!r}, run__env_steps=10**12)\n"
        "except KeyboardInterrupt:\n    sys.exit(77)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    while not (run / "metrics.csv").exists():
        assert child.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(60) == 77
    resumed = relax_rl.resume(run, run__env_steps=1)
    assert resumed.summary["env_steps"] > 0
