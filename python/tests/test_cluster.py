"""One run on many machines, played with threads and processes of this one."""

import _thread
import hashlib
import multiprocessing
import random
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

import relax_rl
from relax_rl import cluster

from test_training import RELAX

RUN = {
    "env": {"id": "CartPole-v1"},
    "agent": {"kind": "relax-a2c", "hidden": [16]},
    "rollout": {"envs": 4, "steps": 16},
    "run": {"env_steps": 1003, "evaluation_episodes": 2},
    "checkpoint": {"every_env_steps": 300},
}
GYM = RUN | {"env": {"id": "gym:CartPole-v1", "vectorization": "sync"}}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return relax_rl.train(RUN, out=tmp_path_factory.mktemp("alone") / "run")


def by_hand(config, count, roll):
    """Trains with the halves of an update; `roll` makes a round."""
    learner = relax_rl.Learner(config)
    states = dict.fromkeys(cluster.parts(learner.slots, count), b"")
    while not learner.is_over:
        answers = roll(learner.policy(), states)
        learner.improve([batch for batch, _ in answers.values()])
        states = {slots: after for slots, (_, after) in answers.items()}
        assert learner.wants_batches == (learner.env_steps < 1003)
        told = learner.fit()
        assert told["env_steps"] == learner.env_steps and told["update"] == learner.updates
    return learner


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_learner_and_a_pure_function(alone, count):
    calls = random.Random(count)

    def roll(policy, states):
        order = list(states)
        calls.shuffle(order)
        # Some of it is done twice.
        order += order[: calls.randrange(2)]
        return {slots: relax_rl.rollout(RUN, policy, states[slots], slots) for slots in order}

    learner = by_hand(RUN, count, roll)
    assert learner.state_hash == alone.state_hash


def test_workers_keep_worlds_that_cannot_save_their_state(alone):
    with pytest.raises(ValueError, match="cannot save its state(.|\n)*Worker"):
        relax_rl.rollout(GYM, relax_rl.Learner(GYM).policy(), b"", range(4))
    workers = {slots: relax_rl.Worker(GYM, slots) for slots in cluster.parts(4, 2)}

    def roll(policy, states):
        return {slots: worker.rollout(policy, states[slots]) for slots, worker in workers.items()}

    # Gymnasium's CartPole is ours, step for step.
    assert by_hand(GYM, 2, roll).state_hash == alone.state_hash


def test_a_pool_of_processes_makes_the_same_run_folder(alone, tmp_path):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        run = cluster.train(RUN, cluster.Pool(pool, 2), out=tmp_path / "run")
    assert run.state_hash == relax_rl.state_hash(run.dir) == alone.state_hash

    def comparable(run):
        return {name: value for name, value in run.summary.items() if "second" not in name}

    assert comparable(run) == comparable(alone)
    assert relax_rl.load(run.dir).predict([0.0, 0.0, 0.1, 0.0])[0] in (0, 1)


class Stopping(cluster.Pool):
    """Presses Ctrl-C in a round."""

    def __init__(self, executor, rounds):
        super().__init__(executor, 2)
        self.rounds = rounds

    def gather(self, patience):
        self.rounds -= 1
        if self.rounds == 0:
            _thread.interrupt_main()
        assert self.rounds > -10_000, "nobody has heard Ctrl-C"
        if self.rounds > 0:
            return super().gather(patience)
        time.sleep(0.001)  # Who listens for Ctrl-C needs a core, too.
        return None


def test_what_a_cluster_began_others_end(alone, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        for number in range(3):
            dir = tmp_path / f"{number}"
            with pytest.raises(KeyboardInterrupt):
                cluster.train(RUN, Stopping(pool, 4), out=dir)
            assert relax_rl.state_hash(dir) != alone.state_hash
            if number == 0:
                run = relax_rl.resume(dir)
            elif number == 1:
                run = cluster.resume(dir, cluster.Pool(pool, 4))
            elif RELAX.exists():
                subprocess.run([RELAX, "resume", dir], check=True, capture_output=True)
            else:
                continue
            assert relax_rl.state_hash(dir) == alone.state_hash
            if number < 2:
                assert run.state_hash == alone.state_hash


def test_a_fleet_that_fails_ends_the_run_and_loses_nothing(alone, tmp_path):
    class Failing(Stopping):
        def gather(self, patience):
            self.rounds -= 1
            if self.rounds == 0:
                raise OSError("the network is down")
            return super(Stopping, self).gather(patience)

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(RuntimeError, match="OSError: the network is down(.|\n)*relax resume"):
            cluster.train(RUN, Failing(pool, 5), out=tmp_path / "run")
        assert cluster.resume(tmp_path / "run", cluster.Pool(pool, 2)).state_hash == alone.state_hash
        with pytest.raises(ValueError, match="cannot save its state"):
            cluster.train(GYM, cluster.Pool(pool, 2), out=tmp_path / "gym")
        assert not (tmp_path / "gym").exists(), "refused before anything is written"


def test_a_learner_goes_on_from_its_state():
    learner = relax_rl.Learner(RUN, run__seed=3)
    answer = relax_rl.rollout(learner.config, learner.policy(), b"", range(4))
    learner.improve([answer[0]])
    with pytest.raises(ValueError, match="`fit` does it"):
        learner.state()
    learner.fit()
    saved, hash = learner.state(), learner.state_hash
    other = relax_rl.Learner(learner.config)
    other.restore(saved)
    assert other.state_hash == hash and other.policy() == learner.policy()
    with pytest.raises(ValueError, match="of another run"):
        relax_rl.Learner(RUN).restore(saved)


def with_word(message, word, text):
    """The message with one word of its header changed to another of the same length, and a checksum that is right."""
    at = message.index(f'"{word}":"'.encode()) + len(word) + 4
    changed = message[:at] + text.encode() + message[at + len(text) :]
    at = changed.index(b'"sha256":"') + 10
    zeros = changed[:at] + b"0" * 64 + changed[at + 64 :]
    return changed[:at] + hashlib.sha256(zeros).hexdigest().encode() + changed[at + 64 :]


def test_mixtures_are_refused_with_a_sentence():
    learner = relax_rl.Learner(RUN)
    policy = learner.policy()
    batch, states = relax_rl.rollout(RUN, policy, b"", range(4))
    for word, text, sentence in [
        ("instruction_set", "zx86", "from a machine that computes on zx86"),
        ("crate_version", "9", "from relax-rl 9.*the same version"),
        ("format_version", "7", "format version 7"),
        ("elementary_functions", "zz", "sines and exponentials are rounded otherwise"),
        ("run", "zz", "of another run"),
    ]:
        for refused in [
            lambda: relax_rl.rollout(RUN, with_word(policy, word, text), states, range(4)),
            lambda: relax_rl.rollout(RUN, policy, with_word(states, word, text), range(4)),
            lambda: learner.improve([with_word(batch, word, text)]),
        ]:
            with pytest.raises(ValueError, match=f"(?s){sentence}"):
                refused()
    for wrong in (b"", b"nonsense", policy[:-1], batch):
        with pytest.raises(ValueError, match="the policy is"):
            relax_rl.rollout(RUN, wrong, states, range(4))
    learner.improve([batch])


def test_wrong_arguments_are_named():
    policy = relax_rl.Learner(RUN).policy()
    for refused, kind, told in [
        (lambda: relax_rl.rollout(RUN, policy, b"", [0, 1]), TypeError, "slots must be a range"),
        (lambda: relax_rl.rollout(RUN, policy, b"", range(0, 4, 2)), TypeError, "slots must be a range"),
        (lambda: relax_rl.rollout(RUN, policy, b"", range(2, 2)), ValueError, "there are no slots 2..2"),
        (lambda: relax_rl.rollout(RUN, policy, b"", range(2, 7)), ValueError, "no slots 2..7(.|\n)*the run has 4"),
        (lambda: relax_rl.rollout(5, policy, b"", range(4)), TypeError, "config must be the path"),
        (lambda: relax_rl.Learner(RUN, learner__gama=1), ValueError, "learner.gamma"),
        (lambda: cluster.parts(4, 0), ValueError, "count is 0"),
    ]:
        with pytest.raises(kind, match=told):
            refused()
