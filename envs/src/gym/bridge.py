"""The Python half of relax-rl's bridge to Gymnasium.

One driver object steps all slots of a vector environment with one call. Rust owns none of the objects in here; it fills
`actions` before a call and reads the other arrays after it. Every fault of an environment leaves as a `Fault`, which
names the slot, its action and the traceback.
"""

import gc
import importlib.util
import multiprocessing
import os
import signal
import sys
import time
import traceback

import numpy as np

if "" not in sys.path and os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())  # `gym:my_module:MyEnv-v0` finds a module in the working folder

import cloudpickle
import gymnasium as gym
import relax_rl_literals
import relax_rl_masks
import relax_rl_spaces
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from relax_rl_masks import KEY, Masks
from relax_rl_spaces import Codec, Unsupported, Wrong

# What is defined here reaches subprocesses by value: they cannot import a module that exists only in memory.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
cloudpickle.register_pickle_by_value(relax_rl_masks)
cloudpickle.register_pickle_by_value(relax_rl_spaces)
cloudpickle.register_pickle_by_value(relax_rl_literals)

# What one step costs the parent to send and to receive, in seconds: measured at 40 to 60 microseconds.
ASYNC_COST = 60e-6


NORMALISING = (
    gym.wrappers.NormalizeObservation, gym.wrappers.NormalizeReward,
    gym.wrappers.vector.NormalizeObservation, gym.wrappers.vector.NormalizeReward,
)


class Fault(Exception):
    """What an environment did wrong, with the slot if it is known."""

    def __init__(self, text, slot=None, action=None):
        super().__init__(text)
        self.text, self.slot, self.action = text, slot, action


class Refusal(Exception):
    """What the user asked for cannot be had; the text is one sentence and says what would be right."""


def trimmed(error):
    """The traceback without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


# ── What environments are made of ──────────────────────────────────────────────────────────────────────────────────────


def running_statistics(env):
    """The class of the part of an environment, however it came there, that keeps running statistics of what passes
    through it; None if there is none. Statistics that are held fixed are no matter."""
    todo, seen = [env], set()
    while todo:
        env = todo.pop()
        if id(env) in seen:
            continue
        seen.add(id(env))
        values = list(getattr(env, "__dict__", {}).values())
        keeps = isinstance(env, NORMALISING) or any(type(value).__name__ == "RunningMeanStd" for value in values)
        if keeps and getattr(env, "update_running_mean", True):
            return f"{type(env).__module__}.{type(env).__qualname__}"
        for value in values:
            parts = value if isinstance(value, (list, tuple)) else (value,)
            todo += [part for part in parts if isinstance(part, (gym.Env, gym.vector.VectorEnv))]
    return None


# ── Rewards ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def reward_of(value):
    """The reward as a float."""
    if isinstance(value, (str, bytes, bool)) or value is None or np.ndim(value) != 0:
        raise Fault(f"the reward is {value!r}; it must be one number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Fault(f"the reward is {value!r}; it must be one number") from None


# ── Drivers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Driver:
    """What the drivers share: the spaces and the arrays that Rust reads and writes."""

    kind = "?"
    next_step = False

    def __init__(self, vec, slots):
        self.vec, self.slots, self.statistics = vec, slots, running_statistics(vec)
        self.space, self.action_space = vec.single_observation_space, vec.single_action_space
        self.codec, self.action_codec = Codec(self.space, "observation"), Codec(self.action_space, "action")
        self.observation_description = self.codec.described()
        self.action_description = self.action_codec.described()
        dim = self.codec.dim
        self.observations = np.zeros((slots, dim), dtype=np.float32)
        self.final_observations = np.zeros((slots, dim), dtype=np.float32)
        self.rewards = np.zeros(slots, dtype=np.float64)
        self.terminated = np.zeros(slots, dtype=np.bool_)
        self.truncated = np.zeros(slots, dtype=np.bool_)
        told, count = self.action_codec.told, sum(leaf.count for _, leaf in self.action_codec.leaves)
        self.actions = np.zeros(
            slots if told == "discrete" else (slots, count), dtype=np.float32 if told == "box" else np.int64
        )
        self.direct = self.action_codec.direct
        self.masks = Masks(self.action_codec, slots)

    def native_actions(self):
        """The batch of actions in the environment's own form. A copy: environments may keep the last action, and the
        array is written to again."""
        return self.actions.copy() if self.direct else self.action_codec.element(self.actions, (self.slots,))

    def action_rows(self):
        """The actions in the environment's own form, one a slot."""
        actions = self.native_actions()
        return actions if self.direct else [self.action_codec.row(actions, slot) for slot in range(self.slots)]

    def fault(self, error, slot):
        """What `error`, raised by the environment of `slot`, is to the caller."""
        text = error.text if isinstance(error, Fault) else str(error) if isinstance(error, Wrong) else trimmed(error)
        return Fault(text, slot, repr(self.actions[slot].tolist()))

    def process_ids(self):
        return []

    def close(self):
        self.vec.close()

    def render(self, slot):
        if self.vec.render_mode != "rgb_array":
            return None
        return np.ascontiguousarray(self.frame(slot), dtype=np.uint8)

    def frame(self, slot):
        return self.vec.render()[slot]


class Sync(Driver):
    """The environments of a `SyncVectorEnv`, one after another in this process."""

    kind = "sync"

    def __init__(self, vec, slots):
        super().__init__(vec, slots)
        self.steps = [env.step for env in vec.envs]
        self.resets = [env.reset for env in vec.envs]
        self.rows = list(self.observations)
        self.final_rows = list(self.final_observations)
        self.all = range(slots)

    def reset(self, seeds):
        self.seeds = seeds
        for slot, seed in enumerate(seeds):
            try:
                observation, info = self.resets[slot](seed=seed)
                self.codec.write(observation, self.rows[slot])
                self.masks.start(slot, info)
            except Exception as error:
                raise self.fault(error, slot) from None

    def step(self, active):
        actions, steps, write, rows = self.action_rows(), self.steps, self.codec.write, self.rows
        rewards, terminations, truncations = self.rewards, self.terminated, self.truncated
        masks, masked, slot = self.masks, self.masks.declared, 0
        try:
            for slot in self.all if active is None else active:
                observation, reward, terminated, truncated, info = steps[slot](actions[slot])
                rewards[slot] = reward if type(reward) is float else reward_of(reward)
                terminations[slot] = terminated
                truncations[slot] = truncated
                if terminated or truncated:
                    write(observation, self.final_rows[slot])
                    if masked or info and KEY in info:
                        masks.end(slot, info, terminated)
                    observation, info = self.resets[slot]()
                if masked or info and KEY in info:
                    masks.take(slot, info)
                write(observation, rows[slot])
        except Exception as error:
            raise self.fault(error, slot) from None

    def frame(self, slot):
        return self.vec.envs[slot].render()

    def close(self):
        super().close()
        self.vec, self.steps, self.resets = None, [], []


class Checked(gym.Wrapper):
    """Runs in a subprocess: refuses observations and rewards that shared memory would silently convert."""

    def __init__(self, env, parent, statistics):
        super().__init__(env)
        statistics.append(running_statistics(env))
        self.codec = Codec(env.observation_space, "observation")
        if os.getpid() != parent:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
            if sys.platform == "linux":
                import ctypes
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the parent

    def checked(self, observation):
        try:
            self.codec.checked(observation)
        except Wrong as error:
            raise ValueError(str(error)) from None

    def reset(self, **kwargs):
        observation, info = self.env.reset(**kwargs)
        self.checked(observation)
        return observation, info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.checked(observation)
        try:
            reward = reward_of(reward)
        except Fault as error:
            raise ValueError(error.text) from None
        # Of what else it tells, only the mask is read.
        return observation, reward, terminated, truncated, {KEY: info[KEY]} if info and KEY in info else {}


class Async(Driver):
    """The subprocesses of an `AsyncVectorEnv`."""

    kind = "async"

    def __init__(self, vec, slots):
        super().__init__(vec, slots)
        self.pipes = vec.parent_pipes
        self.all = range(slots)

    def receive(self, slot):
        # Without a look at the clock, which would cost more than all else here: Rust's watch ends a wait without end.
        try:
            result, success = self.pipes[slot].recv()
        except (EOFError, OSError):
            process = self.vec.processes[slot]
            process.join(1.0)
            code = process.exitcode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
            raise Fault(f"its process {process.pid} {how}") from None
        if success:
            return result
        _, kind, value, trace = self.vec.error_queue.get(timeout=5.0)
        raise Fault(str(value) if kind is ValueError and "observation" in str(value) else trace.rstrip())

    def exchange(self, active, messages):
        """Sends to all, then receives from all."""
        slot = None
        try:
            for slot in active:
                self.pipes[slot].send(messages(slot))
        except OSError:
            pass  # a process that died: `receive` says how
        results = []
        for slot in active:
            try:
                results.append(self.receive(slot))
            except Exception as error:
                self.stop()
                raise self.fault(error, slot) from None
        return results

    def reset(self, seeds):
        self.seeds = seeds
        results = self.exchange(self.all, lambda slot: ("reset", {"seed": seeds[slot], "options": None}))
        self.codec.write(self.vec.observations, self.observations)
        for slot, (_, info) in enumerate(results):
            self.masked(slot, self.masks.start, info)

    def step(self, active):
        active = self.all if active is None else active
        actions = self.action_rows()
        results = self.exchange(active, lambda slot: ("step", actions[slot]))
        for slot, (_, reward, terminated, truncated, info) in zip(active, results, strict=True):
            self.rewards[slot] = reward
            self.terminated[slot] = terminated
            self.truncated[slot] = truncated
            if terminated or truncated:
                self.codec.write(info["final_obs"], self.final_observations[slot])
                if self.masks.concerns(info["final_info"]):
                    self.masked(slot, self.masks.end, info["final_info"], terminated)
            if self.masks.concerns(info):
                self.masked(slot, self.masks.take, info)
        self.codec.write(self.vec.observations, self.observations)

    def masked(self, slot, take, *told):
        """Takes in a mask; what is wrong with it is the slot's fault."""
        try:
            take(slot, *told)
        except Wrong as error:
            self.stop()
            raise self.fault(error, slot) from None

    def process_ids(self):
        return [process.pid for process in self.vec.processes]

    def kill(self):
        """Ends the subprocesses now, whatever they are doing."""
        for process in self.vec.processes:
            process.kill()

    def stop(self):
        """Ends the subprocesses now and gives back what belongs to them."""
        self.kill()
        for process in self.vec.processes:
            process.join(2.0)
        for pipe in self.pipes:
            if pipe is not None:
                pipe.close()
        self.vec.closed = True

    def close(self):
        # Not Gymnasium's own: that waits without end for a subprocess that does not answer.
        if self.vec is None:
            return
        for pipe in self.pipes:
            try:
                if pipe is not None:
                    pipe.send(("close", None))
            except OSError:
                pass
        end = time.monotonic() + 2.0
        for process in self.vec.processes:
            process.join(max(0.0, end - time.monotonic()))
        self.stop()
        # The last references, so that the semaphores of its queue and its shared memory are given back here and now.
        self.vec, self.pipes = None, []
        gc.collect()


LARGEST_INT = 2**31 - 1


class Vector(Driver):
    """An environment's own vector entry point, in whichever autoreset mode it has."""

    kind = "vector"

    def __init__(self, vec, slots):
        super().__init__(vec, slots)
        mode = vec.metadata.get("autoreset_mode")
        try:
            self.mode = mode if isinstance(mode, AutoresetMode) else AutoresetMode(mode)
        except ValueError:
            raise Refusal(
                f"the vector environment {vec} does not say how it resets: metadata['autoreset_mode'] is {mode!r}, "
                "not one of gymnasium.vector.AutoresetMode"
            ) from None
        self.next_step = self.mode == AutoresetMode.NEXT_STEP
        # Rust calls `vec.step` itself and reads the arrays that it returns.
        self.bare = self.direct and isinstance(self.space, spaces.Box) and self.mode != AutoresetMode.DISABLED

    def reset(self, seeds):
        # One generator for all slots is the rule among vector environments, and a whole number the seed they all take.
        try:
            observations, infos = self.seeded(seeds[0])
            self.codec.write(observations, self.observations)
            self.masks.start_all(infos, np.ones(self.slots, dtype=np.bool_))
        except Exception as error:
            raise self.batch_fault(error) from None

    def seeded(self, seed):
        """A first reset. A seed that does not go into 31 bits, as ALE's must, is taken without its highest one if it is refused."""
        try:
            return self.vec.reset(seed=seed)
        except (OverflowError, TypeError):
            # The slots' seeds are counted up from it.
            if seed + self.slots <= LARGEST_INT:
                raise
            return self.vec.reset(seed=seed % (LARGEST_INT - self.slots))

    def step(self, active):
        try:
            self.receive(*self.vec.step(self.native_actions()))
        except Exception as error:
            raise self.batch_fault(error) from None

    def batch_fault(self, error):
        """What `error`, for which no single slot can be blamed, is to the caller."""
        return error if isinstance(error, Fault) else Fault(str(error) if isinstance(error, Wrong) else trimmed(error))

    def take(self, *result):
        """`receive`, for Rust."""
        try:
            self.receive(*result)
        except Exception as error:
            raise self.batch_fault(error) from None

    def receive(self, observations, rewards, terminated, truncated, infos):
        """Takes in what a vector step returned; resets what has ended where the environment leaves that to us."""
        for name, value, out in (
            ("rewards", rewards, self.rewards),
            ("terminations", terminated, self.terminated),
            ("truncations", truncated, self.truncated),
        ):
            array = np.asarray(value)
            if array.shape != (self.slots,):
                raise Fault(f"the {name} have shape {array.shape}, not {(self.slots,)}")
            if not np.can_cast(array.dtype, out.dtype, "same_kind"):
                raise Fault(f"the {name} have type {array.dtype}, not {out.dtype}")
            out[:] = array
        ended = self.terminated | self.truncated
        if not ended.any() or self.mode == AutoresetMode.NEXT_STEP:
            self.codec.write(observations, self.observations)
            self.masks.take_all(infos, ~ended)
            if ended.any():
                self.final_observations[ended] = self.observations[ended]
                self.masks.end_all(infos, ended, self.terminated)
        elif self.mode == AutoresetMode.SAME_STEP:
            self.codec.write(observations, self.observations)
            self.take_final(ended, infos)
            self.masks.take_all(infos, np.ones_like(ended))
            self.masks.end_all(infos.get("final_info"), ended, self.terminated)
        else:
            self.codec.write(observations, self.final_observations)
            self.masks.take_all(infos, ~ended)
            self.masks.end_all(infos, ended, self.terminated)
            fresh, infos = self.vec.reset(options={"reset_mask": ended})
            self.codec.write(fresh, self.observations)
            self.masks.take_all(infos, ended)

    def take_final(self, ended, infos):
        """The last observations of the episodes that ended, from `infos["final_obs"]`."""
        if "final_obs" not in infos:
            raise Fault('the environment resets in the same step, but `infos["final_obs"]` is missing')
        final = infos["final_obs"]
        for slot in np.flatnonzero(ended):
            self.codec.write(self.codec.row(final, slot), self.final_observations[slot])


# ── Making ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def wrapper_function(name, kwargs):
    """The wrapper `name`: one of gymnasium.wrappers, or `module.Class`."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(__import__(module or "gymnasium.wrappers", fromlist=[attribute]), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise Refusal(
            f"there is no wrapper {name}: {error}; name one of gymnasium.wrappers, such as ClipReward, or module.Class"
        ) from None

    def wrap(env):
        return found(env, **kwargs)
    return wrap


def measured_step(id, kwargs, wrappers):
    """Median seconds of a step, over 20 ms or 200 steps."""
    env = gym.make(id, **kwargs)
    for wrap in wrappers:
        env = wrap(env)
    env.action_space.seed(0)
    env.reset(seed=0)
    costs, end = [], time.perf_counter() + 0.02
    while len(costs) < 200 and (len(costs) < 5 or time.perf_counter() < end):
        action = env.action_space.sample()
        start = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        costs.append(time.perf_counter() - start)
        if terminated or truncated:
            env.reset()
    env.close()
    return sorted(costs)[len(costs) // 2]


def choose(spec, id, slots, kwargs, wrappers, cores):
    """What "auto" means for this environment. The numbers of a run do not depend on the time measured: "sync" and
    "async" give the same ones."""
    if spec.vector_entry_point is not None and not wrappers and not spec.additional_wrappers:
        return "vector"
    if spec.entry_point is None or slots == 1 or cores == 1:
        return "sync"
    gain = measured_step(id, kwargs, wrappers) * (1 - 1 / min(cores, slots))
    return "async" if gain > ASYNC_COST else "sync"


# What gymnasium.make_vec takes beside the environment's own arguments and the step limit.
MADE_WITH = {"id", "num_envs", "vectorization_mode", "vector_kwargs", "wrappers"}


def make(id, slots, kwargs, wrappers, max_episode_steps, vectorization, cores):
    """A driver for `slots` environments."""
    try:
        kwargs = relax_rl_literals.arguments(kwargs)
        wrappers = [(name, relax_rl_literals.arguments(arguments)) for name, arguments in wrappers]
        for name in sorted(set(kwargs) & MADE_WITH):
            raise Refusal(f"env.kwargs.{name} is no argument of {id}: it is gymnasium.make_vec's, which this program sets")
        if max_episode_steps is not None:
            kwargs["max_episode_steps"] = max_episode_steps
        functions = [wrapper_function(name, arguments) for name, arguments in wrappers]
        spec = find(id)
        kind = choose(spec, id, slots, kwargs, functions, cores) if vectorization == "auto" else vectorization
        if kind == "vector":
            if spec.vector_entry_point is None:
                raise Refusal(f'{id} has no vector entry point; set env.vectorization to "sync" or "async"')
            if functions:
                raise Refusal('env.wrappers need env.vectorization "sync" or "async": a vector entry point takes none')
            return Vector(gym.make_vec(id, slots, "vector_entry_point", **kwargs), slots)
        options = {"autoreset_mode": AutoresetMode.SAME_STEP}
        if kind == "sync":
            return Sync(gym.make_vec(id, slots, "sync", vector_kwargs=options, wrappers=functions, **kwargs), slots)
        # A fork server: forking this process, which has threads, could leave a lock held in the child for ever.
        multiprocessing.set_forkserver_preload(["gymnasium", "numpy"])
        options["context"] = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        parent = os.getpid()
        statistics = []  # of the one that Gymnasium makes in this process, for its spaces
        functions = [*functions, lambda env: Checked(env, parent, statistics)]
        vec = gym.make_vec(id, slots, "async", vector_kwargs=options, wrappers=functions, **kwargs)
        driver = Async(vec, slots)
        driver.statistics = next(filter(None, statistics), None)
        return driver
    except (Refusal, Fault):
        raise
    except (Unsupported, relax_rl_literals.NoLiteral) as error:
        raise Refusal(str(error)) from None
    except gym.error.DependencyNotInstalled as error:
        raise Refusal(f"{id} needs a package that is missing: {error}") from None
    except gym.error.Error as error:
        raise Refusal(f"cannot make {id}: {error}") from None
    except ModuleNotFoundError as error:
        raise Refusal(missing(id, error.name, str(find(id).entry_point))) from None
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            reason = str(error).split(" was raised")[0]
            raise Refusal(f"cannot make {id}: {reason}; see env.kwargs") from None
        raise Fault(trimmed(error)) from None
    except Exception as error:
        raise Fault(trimmed(error)) from None


# Packages of environments by the module that registers them, where the names differ.
PACKAGES = {"ale_py": "ale-py", "gymnasium_robotics": "gymnasium-robotics", "shimmy": "shimmy", "minigrid": "minigrid"}


def missing(id, module, entry_point=""):
    """What to do about a Python module that is not there."""
    root = module.partition(".")[0]
    sentence = f"{id} needs the Python module {module}, which is not there; "
    if root != module and importlib.util.find_spec(root) is not None:
        return sentence + f"{root} is, but has no such part: another version of it, or a name written wrongly"
    family = (entry_point.split(".") + ["", "", ""])[2]
    extra = {"box2d": "box2d", "mujoco": "mujoco", "toy_text": "toy-text"}.get(family)
    package = f"'gymnasium[{extra}]'" if extra else PACKAGES.get(root)
    line = f"`{sys.executable} -m pip install {package or module}`"
    if package is None and id.rpartition(":")[0].partition(".")[0] == root:
        # A package by that name would hardly be the user's own file.
        return sentence + (
            f"it was looked for in {os.getcwd()}, in PYTHONPATH and among the installed packages: start from the folder "
            f"that holds {root}.py, or name that folder in PYTHONPATH (a published package: {line})"
        )
    return sentence + line


# Namespaces of ids whose module is known, so that it need not be named.
NAMESPACES = {"ALE": "ale_py"}


def find(id):
    """Gymnasium's spec of `id`."""
    try:
        module, _, name = id.rpartition(":")
        module = module or NAMESPACES.get(name.rpartition("/")[0])
        if module:
            __import__(module)
        return gym.spec(name)
    except ModuleNotFoundError as error:
        raise Refusal(missing(id, error.name)) from None
    except gym.error.Error as error:
        raise Refusal(f"Gymnasium does not know {id}: {error}") from None


def facts(id):
    """Step limit, threshold and entry point of an id."""
    spec = find(id)
    return spec.max_episode_steps, spec.reward_threshold, str(spec.entry_point or spec.vector_entry_point)


def where_it_hangs(own):
    """Which slot is waited for, if that is known, and where. Subprocesses are ended, which also ends the wait for them."""
    places = []
    for ident, frame in sys._current_frames().items():
        if ident == own:
            continue
        place = "".join(traceback.format_list(traceback.extract_stack(frame)[-2:])).rstrip()
        found = None
        while frame is not None:
            names = frame.f_locals
            if frame.f_code.co_filename == __file__ and isinstance(names.get("self"), (Sync, Async)) and "slot" in names:
                found = names["self"], names["slot"]
            frame = frame.f_back
        if found is not None and found[1] is not None:
            driver, slot = found
            action = repr(driver.actions[slot].tolist())
            if isinstance(driver, Async):
                driver.kill()
                place = f"  its process {driver.vec.processes[slot].pid} is stopped"
            place = f"slot {slot}, seed {driver.seeds[slot]}, after action {action}:\n{place}"
        places.append(place)
    return "\n".join(places)
