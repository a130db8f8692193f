"""On a Ray cluster of this one machine: the numbers of one machine, whoever dies on the way."""

import _thread
import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import relax_rl

from test_training import RELAX

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
ray = pytest.importorskip("ray", reason="scripts/setup-python ray installs it")
import relax_rl.ray  # noqa: E402

RUN = {
    "env": {"id": "CartPole-v1"},
    "agent": {"kind": "relax-a2c", "hidden": [16]},
    "rollout": {"envs": 4, "steps": 16},
    "run": {"env_steps": 803, "evaluation_episodes": 2},
    "checkpoint": {"every_env_steps": 300},
}
GYM = RUN | {"env": {"id": "gym:CartPole-v1", "vectorization": "sync"}}


@pytest.fixture(scope="module", autouse=True)
def this_machine():
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return relax_rl.train(RUN, out=tmp_path_factory.mktemp("alone") / "run")


@ray.remote(max_retries=0)
def lost(config, policy, states, start, end):
    """Does everything that it was asked for, and is killed before anybody hears of it."""
    relax_rl.cluster.rollout(config, policy, states, range(start, end))
    os.kill(os.getpid(), signal.SIGKILL)


class Unlucky(relax_rl.ray.Fleet):
    """A fleet whose n-th task is killed, and those after it if there are to be more deaths than one."""

    def __init__(self, workers, unlucky, deaths=1, **more):
        super().__init__(workers, **more)
        self.sent, self.unlucky, self.deaths = 0, unlucky, deaths

    def _send(self, part):
        self.sent += 1
        if self.sent >= self.unlucky and self.deaths > 0:
            self.deaths -= 1
            start, end, states = self._parts[part]
            return lost.remote(self._config, self._policy, states, start, end)
        return super()._send(part)


class Interrupted(relax_rl.ray.Fleet):
    """Presses Ctrl-C while a round is under way."""

    def launch(self, policy, parts):
        super().launch(policy, parts)
        self.rounds = getattr(self, "rounds", 0) + 1
        if self.rounds == 5:
            _thread.interrupt_main()

    def gather(self, patience):
        if self.rounds < 5:
            return super().gather(patience)
        self.asked = getattr(self, "asked", 0) + 1
        assert self.asked < 10_000, "nobody has heard Ctrl-C"
        time.sleep(0.01)
        return None


def test_one_hash_wherever_it_was_trained(alone, tmp_path):
    hashes = {"relax_rl.train": alone.state_hash}
    if RELAX.exists():
        command = [RELAX, "train", alone.dir / "config.toml", "--out", tmp_path / "program", "--workers", "2"]
        subprocess.run(command, check=True, capture_output=True)
        hashes["relax train"] = relax_rl.state_hash(tmp_path / "program")
    for workers in (1, 2, 4):
        run = relax_rl.ray.train(RUN, num_workers=workers, out=tmp_path / f"{workers}")
        hashes[f"Ray, {workers} workers"] = run.state_hash

    unlucky = Unlucky(2, 7)
    run = relax_rl.cluster.train(RUN, unlucky, out=tmp_path / "killed")
    assert unlucky.deaths == 0, "one was killed"
    hashes["Ray, a worker killed"] = run.state_hash

    with pytest.raises(KeyboardInterrupt):
        relax_rl.cluster.train(RUN, Interrupted(2), out=tmp_path / "interrupted")
    assert relax_rl.state_hash(tmp_path / "interrupted") != alone.state_hash
    run = relax_rl.ray.resume(tmp_path / "interrupted", num_workers=4)
    hashes["Ray, interrupted and resumed"] = run.state_hash

    assert set(hashes.values()) == {alone.state_hash}, hashes
    assert run.summary["mean_return_100"] == alone.summary["mean_return_100"]
    assert run.summary["evaluation"] == alone.summary["evaluation"]


def test_what_dies_again_and_again_ends_the_run(alone, tmp_path):
    with pytest.raises(RuntimeError, match=r"the worker of slots \d–\d has died 2 times in one round(.|\n)*relax resume"):
        relax_rl.cluster.train(RUN, Unlucky(2, 6, deaths=9, retries=1), out=tmp_path / "run")
    assert relax_rl.resume(tmp_path / "run").state_hash == alone.state_hash


def test_a_mistake_is_not_tried_again(tmp_path):
    class Mistaken(relax_rl.ray.Fleet):
        def launch(self, policy, parts):
            super().launch(policy[:-1] + b"x", parts)

    with pytest.raises(ValueError, match="the policy is no usable message: its checksum"):
        relax_rl.cluster.train(RUN, Mistaken(2), out=tmp_path / "run")


def test_worlds_that_cannot_save_their_state_live_in_actors(alone, tmp_path):
    # Gymnasium's CartPole is ours, step for step.
    assert relax_rl.ray.train(GYM, num_workers=2, out=tmp_path / "gym").state_hash == alone.state_hash

    class Unlucky(relax_rl.ray.Fleet):
        def launch(self, policy, parts):
            self.rounds = getattr(self, "rounds", 0) + 1
            if self.rounds == 4:
                ray.kill(self._keepers[1])
            super().launch(policy, parts)

    fleet = Unlucky(2)
    run = relax_rl.cluster.train(GYM, fleet, out=tmp_path / "killed")
    # Other episodes than they would have been, and as many steps.
    assert run.summary["env_steps"] == 803 and run.state_hash != alone.state_hash and fleet.rounds > 4


def test_comparisons_and_sweeps_are_those_of_one_machine(tmp_path):
    config = tmp_path / "pole.toml"
    config.write_text("env.id = 'CartPole-v1'\nagent.kind = 'a2c'\nagent.hidden = [8]\nrun = { env_steps = 400, evaluation_episodes = 2 }\n")
    found = relax_rl.ray.compare(config, agents=["a2c", "ppo"], seeds=2, out=tmp_path / "compare", rollout__steps=8)
    assert list(found.runs) == ["pole", "pole-ppo"] and not found.failed
    assert [run.summary["seed"] for run in found.runs["pole"]] == [0, 1]
    assert (found.dir / "report.html").exists()
    alone = relax_rl.train(config, out=tmp_path / "alone", rollout__steps=8, run__seed=1)
    assert found.runs["pole"][1].state_hash == alone.state_hash
    assert relax_rl.load(found.runs["pole"][0].dir).predict([0.0] * 4)[0] in (0, 1)
    # What is there is not made again, and what is missing is.
    before = found.runs["pole"][0].summary
    more = relax_rl.ray.compare(config, agents=["a2c", "ppo"], seeds=range(0, 3), out=tmp_path / "compare", rollout__steps=8)
    assert len(more.runs["pole"]) == 3 and more.runs["pole"][0].summary == before
    named = relax_rl.ray.compare({"wrong": RUN | {"run": {"env_steps": 100}}}, seeds=1, out=tmp_path / "other")
    assert list(named.runs) == ["wrong"]
    with pytest.raises(ValueError, match="other settings"):
        relax_rl.ray.compare(config, agents=["a2c", "ppo"], seeds=2, out=tmp_path / "compare", rollout__steps=9)

    text = config.read_text() + "\n[sweep]\ntrials = 3\nbudgets = [200, 400]\nseeds = [1, 2]\nkeep = 3\n"
    text += '[sweep.space]\n"learner.learning_rate" = { low = 1e-4, high = 1e-1, log = true }\n'
    swept = relax_rl.ray.sweep(text, out=tmp_path / "sweep")
    assert len(swept.trials) == 3 and swept.best in swept.trials and len(swept.best.scores) == 2
    assert 1e-4 <= swept.best.settings["learner.learning_rate"] <= 1e-1
    assert (swept.dir / "best.toml").exists()
    if RELAX.exists():
        (tmp_path / "sweep.toml").write_text(text)
        command = [RELAX, "sweep", tmp_path / "sweep.toml", "--out", tmp_path / "program", "--quiet"]
        subprocess.run(command, check=True, capture_output=True)
        assert (tmp_path / "program" / "trials.csv").read_text() == (swept.dir / "trials.csv").read_text()


def test_a_search_with_tune(tmp_path):
    pytest.importorskip("ray.tune", reason="scripts/setup-python ray installs it")
    path = Path(__file__).parents[1] / "examples" / "tune_search.py"
    spec = importlib.util.spec_from_file_location("tune_search", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    config = example.CONFIG | {"run": {"evaluation_episodes": 2}}
    results = example.search(tmp_path, trials=2, budgets=(256, 768), config=config)
    assert len(results) == 2 and not results.errors
    best = results.get_best_result()
    assert best.metrics["env_steps"] in (256, 768) and (Path(best.metrics["dir"]) / "summary.json").exists()
    # The settings that it names are those that were trained.
    text = (Path(best.metrics["dir"]) / "config.toml").read_text()
    assert f"seed = {best.config['run.seed']}" in text and f"steps = {best.config['rollout.steps']}" in text
