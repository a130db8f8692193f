"""Native environments as Gymnasium's: the checker passes, and every step is that of Gymnasium's own environment."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import relax_rl
import relax_rl.envs

IDS = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]


@pytest.mark.parametrize("id", IDS)
@pytest.mark.filterwarnings("ignore:.*render")
def test_the_checker_passes(id):
    check_env(gymnasium.make(f"relax_rl/{id}", render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("id", IDS)
def test_steps_are_gymnasiums(id):
    ours, theirs = gymnasium.make(f"relax_rl/{id}"), gymnasium.make(id)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.spec.reward_threshold == theirs.spec.reward_threshold
    for seed in range(5):
        theirs.action_space.seed(seed)
        a, b = ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0]
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for _ in range(600):
            action = theirs.action_space.sample()
            a, b = ours.step(action), theirs.step(action)
            assert a[0].tobytes() == b[0].tobytes() and a[1:4] == b[1:4]
            if a[2] or a[3]:
                assert ours.reset()[0].tobytes() == theirs.reset()[0].tobytes()


@pytest.mark.parametrize("id", IDS)
def test_vector_steps_are_those_of_gymnasiums_sync_loop(id):
    ours = gymnasium.make_vec(f"relax_rl/{id}", 6)
    assert ours.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    theirs = gymnasium.make_vec(
        id, 6, "sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}
    )
    theirs.action_space.seed(0)
    assert ours.reset(seed=7)[0].tobytes() == theirs.reset(seed=7)[0].tobytes()
    ends = 0
    for _ in range(600):
        actions = theirs.action_space.sample()
        a, b = ours.step(actions), theirs.step(actions)
        for mine, his in zip(a[:4], b[:4], strict=True):
            assert mine.dtype == his.dtype and mine.tobytes() == his.tobytes()
        assert ("final_obs" in a[4]) == ("final_obs" in b[4])
        for slot in np.flatnonzero(a[2] | a[3]):
            ends += 1
            assert a[4]["_final_obs"][slot]
            assert a[4]["final_obs"][slot].tobytes() == b[4]["final_obs"][slot].tobytes()
    assert ends >= 6 or id == "MountainCarContinuous-v0"


def test_arrays_are_handed_over_and_never_written_to_again():
    envs = gymnasium.make_vec("relax_rl/CartPole-v1", 4)
    first, _ = envs.reset(seed=0)
    kept = first.copy()
    second = envs.step(np.zeros(4, dtype=np.int64))[0]
    envs.step(np.ones(4, dtype=np.int64))
    assert np.array_equal(first, kept) and not np.shares_memory(first, second)
    assert first.flags.c_contiguous and first.flags.writeable


def test_a_limit_and_arguments_are_passed_on():
    envs = gymnasium.make_vec("relax_rl/Pendulum-v1", 2, max_episode_steps=3, g=9.81)
    envs.reset(seed=0)
    flags = [envs.step(np.zeros((2, 1), dtype=np.float32))[3].tolist() for _ in range(4)]
    assert flags == [[False, False], [False, False], [True, True], [False, False]]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="CartPole-v1"):
        gymnasium.make_vec("relax_rl/CartPole-v1", 2, colour=1)
    envs = gymnasium.make_vec("relax_rl/CartPole-v1", 2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"shape \(3,\).*a batch of them \(2,\)"):
        envs.step(np.zeros(3, dtype=np.int64))
    with pytest.raises(ValueError, match="-1 is not in the action space"):
        envs.step(np.array([0, -1]))
    env = gymnasium.make("relax_rl/CartPole-v1", disable_env_checker=True).unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="2 is not in the action space"):
        env.step(2)


def test_observations_lie_in_their_space():
    """Those of several dimensions too, alone and many at a time, at an episode's end as well."""
    for spec in list(gymnasium.envs.registry.values()):
        if not spec.id.startswith("relax_rl/"):
            continue
        env = gymnasium.make(spec.id, disable_env_checker=True)
        env.action_space.seed(0)
        assert env.observation_space.contains(env.reset(seed=0)[0]), spec.id
        assert env.observation_space.contains(env.step(env.action_space.sample())[0]), spec.id
        envs = gymnasium.make_vec(spec.id, 2, max_episode_steps=2)
        envs.action_space.seed(0)
        assert envs.observation_space.contains(envs.reset(seed=0)[0]), spec.id
        for _ in range(3):
            observations, *_, infos = envs.step(envs.action_space.sample())
            assert envs.observation_space.contains(observations), spec.id
            assert envs.observation_space.contains(infos.get("final_obs", observations)), spec.id


def test_wrong_arguments_are_named_in_pythons_words(tmp_path):
    """Each by its name and what would be right, never as a type of the native half."""
    vector = relax_rl.envs.NativeVector("CartPole-v1", 2)
    vector.reset(seed=0)
    single = relax_rl.envs.Native("CartPole-v1")
    config = {"env": {"id": "CartPole-v1"}, "agent": {"kind": "a2c", "hidden": [4]}, "run": {"env_steps": 64, "evaluation_episodes": 0}}
    policy = relax_rl.load(relax_rl.train(config, out=tmp_path / "run").dir)
    make = lambda **given: gymnasium.make_vec("relax_rl/CartPole-v1", **given)  # noqa: E731
    for call, kind, says in [
        (lambda: make(num_envs="3"), TypeError, "num_envs must be a whole number, not '3'"),
        (lambda: make(num_envs=2.5), TypeError, "num_envs must be a whole number, not 2.5"),
        (lambda: make(num_envs=-1), ValueError, "num_envs is -1; it must be from 1"),
        (lambda: make(num_envs=0), ValueError, "num_envs is 0; it must be from 1"),
        (lambda: make(num_envs=2, max_episode_steps=-1), ValueError, "max_episode_steps is -1"),
        (lambda: make(num_envs=2, max_episode_steps="x"), TypeError, "max_episode_steps must be a whole number"),
        (lambda: relax_rl.envs.Native(3), TypeError, "native_id must be text, not 3"),
        (lambda: relax_rl.envs.Native("CartPol-v1"), ValueError, r"did you mean `CartPole-v1`\?"),
        (lambda: vector.reset(seed=[1, "x"]), TypeError, r"seed\[1\] must be a whole number, not 'x'"),
        (lambda: vector.reset(seed=[1, -1]), ValueError, r"seed\[1\] is -1; it must be from 0"),
        (lambda: vector.reset(seed=2**64), ValueError, "the seed of environment 0 is"),
        (lambda: vector.reset(seed=1.5), TypeError, "seed must be a whole number, or a list"),
        (lambda: vector.reset(seed="ab"), TypeError, "seed must be a whole number, or a list"),
        (lambda: single.reset(options={1: 1}), TypeError, "name of a reset option must be text, not 1"),
        (lambda: single.reset(options={"low": [1.0]}), ValueError, r"reset option 'low' is \[1.0\]; it must be a number"),
        (lambda: relax_rl.train(5), TypeError, "config must be the path of a TOML file or a dictionary, not 5"),
        (lambda: relax_rl.train(config, out=tmp_path / "x", quiet="yes"), TypeError, "quiet must be True or False"),
        (lambda: relax_rl.train(config, out=tmp_path / "x", learner__gamma=object()), ValueError, "learner.gamma is an object"),
        (lambda: relax_rl.train({"env": 3}, out=tmp_path / "x"), ValueError, "`env`.*expected a table"),
        (lambda: policy.seed(-1), ValueError, "seed must be a whole number from 0 to .*, not -1"),
        (lambda: policy.seed(2**70), ValueError, "seed must be a whole number from 0"),
        (lambda: policy.seed("x"), TypeError, "seed must be a whole number from 0 to .*, not 'x'"),
        (lambda: policy.predict(np.zeros(4), deterministic="no"), TypeError, "deterministic must be True or False, not 'no'"),
    ]:
        with pytest.raises(kind, match=says):
            call()
    assert single.reset(seed=0, options={"low": np.array(-0.01), "high": np.float32(0.01)})[0].shape == (4,)
    policy.seed(np.int64(3))
    assert policy.predict(np.zeros(4), None, None, np.bool_(False))[1] is None
    assert vector.reset(seed=np.int32(1))[0].shape == vector.reset(seed=[np.uint8(1), None])[0].shape == (2, 4)


WRONG = {
    "CartPole-v1": [[0, 1], [0, 1, 2], [0.5, 0.0, 1.0], None, "abc", [[0], [1], [0]], np.zeros((3, 1)), [0, -1, 0], {}],
    "Pendulum-v1": [[0.0], np.zeros((2, 1)), np.zeros((3, 2)), np.full((3, 1), np.nan), None, "abc", [["a"]] * 3, np.zeros(3)],
}


@pytest.mark.parametrize("id", WRONG)
def test_a_wrong_action_leaves_a_vector_environment_as_it_was(id):
    envs, same = (gymnasium.make_vec(f"relax_rl/{id}", 3) for _ in range(2))
    envs.reset(seed=0), same.reset(seed=0)
    envs.action_space.seed(0)
    for wrong in WRONG[id]:
        with pytest.raises(ValueError):
            envs.step(wrong)
        actions = envs.action_space.sample()
        for mine, other in zip(envs.step(actions)[:4], same.step(actions)[:4], strict=True):
            assert mine.tobytes() == other.tobytes()


@pytest.mark.parametrize("id", WRONG)
def test_actions_of_any_suitable_type_are_taken_alone_and_in_vectors(id):
    def types(sample):
        yield sample.tolist()
        if id == "CartPole-v1":
            yield from (np.asarray(sample, dtype=kind) for kind in (np.int8, np.uint8, np.int32, np.uint64))
        else:
            yield np.asarray(sample, dtype=np.float64)
            yield np.asfortranarray(sample)
            yield np.repeat(sample, 2, axis=-1)[..., ::2]

    envs, reference = (gymnasium.make_vec(f"relax_rl/{id}", 3) for _ in range(2))
    one, single = (gymnasium.make(f"relax_rl/{id}").unwrapped for _ in range(2))
    for env in (envs, reference, one, single):
        env.reset(seed=0)
    envs.action_space.seed(0)
    sample = envs.action_space.sample()
    for actions in types(sample):
        ours, theirs = envs.step(actions), reference.step(sample)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(ours[:4], theirs[:4], strict=True))
    for action in types(sample[1]):
        ours, theirs = one.step(action), single.step(sample[1])
        assert ours[0].tobytes() == theirs[0].tobytes() and ours[1:4] == theirs[1:4]


def test_an_id_may_name_the_module():
    code = "import gymnasium; print(gymnasium.make('relax_rl:relax_rl/CartPole-v1').spec.id)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "relax_rl/CartPole-v1", done.stderr
    relax_rl.register()  # a second time changes nothing
