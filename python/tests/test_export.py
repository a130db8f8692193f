"""Exported policies, run by onnxruntime and by the documentation's own reader, against the policy that they are of."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import relax_rl

SMALL = {"agent": {"kind": "a2c", "hidden": [16, 12]}, "rollout": {"envs": 2}, "run": {"seed": 1000, "evaluation_episodes": 2}}
ROWS = 1000
# Name: environment and settings.
KINDS = {
    "categorical": ("CartPole-v1", {"run.env_steps": 4000}),
    "elu": ("Acrobot-v1", {"run.env_steps": 4000, "agent.activation": "elu", "learner.normalize_observations": False}),
    "gaussian": ("Pendulum-v1", {"run.env_steps": 4000}),
    "gaussian, state": ("Pendulum-v1", {"run.env_steps": 4096, "agent.kind": "ppo", "agent.state_dependent_std": True}),
    "squashed": ("Pendulum-v1", {"run.env_steps": 1500, "agent.kind": "sac", "agent.activation": "relu"}),
    "deterministic": ("Pendulum-v1", {"run.env_steps": 1500, "agent.kind": "ddpg"}),
    "masked": ("TicTacToe-v0", {"run.env_steps": 4000}),
    "small-cnn": ("Catch-v0", {"run.env_steps": 500, "agent.encoder": "small-cnn"}),
    "nature-cnn": ("CatchImage-v0", {"run.env_steps": 64, "rollout.steps": 8}),
}


def reader():
    """The function `act` of docs/deployment.md, as printed."""
    text = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text(encoding="utf-8")
    code = next(code for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "def act" in code)
    scope = {}
    exec(code, scope)
    return scope["act"]


@pytest.mark.parametrize("name", KINDS)
def test_the_exported_policy_is_the_policy(name, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime", reason="scripts/setup-python export installs it")
    env, settings = KINDS[name]
    run = relax_rl.train(SMALL | {"env": {"id": env}}, out=tmp_path / "run", **settings)
    rows = ROWS if name != "nature-cnn" else 100
    rng = np.random.default_rng(7)
    policy = relax_rl.load(run.dir)
    for path in ("policy.onnx", "policy.json"):
        relax_rl.export(run.dir, tmp_path / path)
    described = json.loads((tmp_path / "policy.json").read_text())
    shape = (rows, *described["observation"])
    images = env == "CatchImage-v0"
    observations = (rng.integers(0, 256, shape) if images else 2 * rng.standard_normal(shape)).astype(np.float32)
    masks = None
    if described["action_mask"]:
        masks = rng.random((rows, described["action_mask"])) < 0.5
        masks[np.arange(rows), rng.integers(0, masks.shape[1], rows)] = True

    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
    inputs = {"observation": observations} | ({} if masks is None else {"action_mask": masks})
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, inputs)))
    wanted, _ = policy.predict(observations, action_mask=masks)
    read, results = reader()(tmp_path / "policy.json", observations, masks)

    largest = {}
    logits = found.get("logits")
    if described["action"]["integer"]:
        allowed = np.where(masks, logits, -np.inf) if masks is not None else logits
        best = np.sort(allowed, axis=1)[:, -2:]
        clear = best[:, 1] - best[:, 0] > 1e-5
        # After 64 steps the pictures of noise all look alike to the policy.
        assert clear.mean() > 0.9 and (images or len(np.unique(wanted)) > 1)
        assert (found["action"] == wanted)[clear].all() and (read == wanted)[clear].all()
    else:
        largest["action"] = np.abs(found["action"] - wanted).max()
        assert np.abs(read - wanted).max() < 2e-6
        assert wanted.std() > 1e-3
    for result, values in results.items():
        scale = np.maximum(1, np.abs(values))
        largest[result] = (np.abs(found[result] - values) / scale).max()
    with capsys.disabled():
        print(f"\n{name}: {({k: float(f'{v:.1e}') for k, v in largest.items()})}", end=" ")
    assert max(largest.values()) <= 1e-6, largest
    assert session.get_modelmeta().custom_metadata_map["state_hash"] == described["about"]["state_hash"]

    # The check can fail: a bias of the last layer that is a little off.
    described["tensors"]["2.bias"]["data"][0] += 1e-3
    (tmp_path / "wrong.json").write_text(json.dumps(described))
    wrong, others = reader()(tmp_path / "wrong.json", observations, masks)
    assert any(np.abs(others[key] - results[key]).max() > 1e-6 for key in results) or np.abs(wrong - read).max() > 1e-6


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint"):
        relax_rl.export(tmp_path, tmp_path / "policy.onnx")
    run = relax_rl.train(SMALL | {"env": {"id": "CartPole-v1"}}, out=tmp_path / "run", run__env_steps=100)
    with pytest.raises(ValueError, match=r"policy\.pt.*\.onnx"):
        relax_rl.export(run.dir, tmp_path / "policy.pt")
    with pytest.raises(ValueError, match="checkpoint.*best.*latest"):
        relax_rl.export(run.dir, tmp_path / "policy.onnx", checkpoint="newest")
    assert relax_rl.export(run.dir, tmp_path / "policy", format="onnx", checkpoint="latest").is_file()
