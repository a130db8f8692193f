"""The Python half of relax-rl's bridge to Gymnasium.

One driver object steps all slots of a vector environment with one call. Rust owns none of the objects in here; it fills
`actions` before a call and reads the other arrays after it. Every fault of an environment leaves as a `Fault`, which
names the slot, its action and the traceback.
"""

import gc
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
from gymnasium import spaces
from gymnasium.spaces import utils as space_utils
from gymnasium.vector import AutoresetMode

# What is defined here reaches subprocesses by value: they cannot import a module that exists only in memory.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

# What one step costs the parent to send and to receive, in seconds: measured at 40 to 60 microseconds.
ASYNC_COST = 60e-6


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


# ── Spaces ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def plain(space):
    """Whether a space is one of those that can be flattened into numbers."""
    if isinstance(space, spaces.Dict):
        return all(plain(part) for part in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return all(plain(part) for part in space.spaces)
    return isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary))


def describe(space, what):
    """A space as (kind, low, high, shape, counts, start)."""
    known = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of them"
    if not plain(space):
        raise Refusal(f"the {what} space {space} is not supported; supported are {known}")
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        if what == "action":
            parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
            if not all(isinstance(part, spaces.Box) for part in parts):
                raise Refusal(f"the action space {space} is not supported: Dict and Tuple actions must consist of Box")
        space = space_utils.flatten_space(space)
    if isinstance(space, spaces.Box):
        low, high = (np.asarray(x, dtype=np.float64).astype(np.float32).ravel() for x in (space.low, space.high))
        return "box", low.tolist(), high.tolist(), list(space.shape), [], 0
    if isinstance(space, spaces.Discrete):
        return "discrete", [], [], [], [int(space.n)], int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return "multi-discrete", [], [], [], [int(n) for n in space.nvec.ravel()], 0
    return "multi-binary", [], [], [], [int(np.prod(space.shape))], 0


def batch_writer(space):
    """A function that writes a batch of elements of `space` into rows of float32."""
    if isinstance(space, spaces.Box):
        return lambda batch, out: np.copyto(out, np.reshape(batch, out.shape), casting="unsafe")
    if isinstance(space, spaces.Discrete):
        def one_hot(batch, out):
            out.fill(0.0)
            out[np.arange(len(out)), np.asarray(batch) - space.start] = 1.0
        return one_hot
    if isinstance(space, spaces.MultiBinary):
        return lambda batch, out: np.copyto(out, np.reshape(batch, out.shape), casting="unsafe")

    def flattened(batch, out):
        batched = gym.vector.utils.batch_space(space, len(out))
        for row, element in enumerate(gym.vector.utils.iterate(batched, batch)):
            out[row] = space_utils.flatten(space, element)
    return flattened


class RowWriter:
    """Writes one element of a space into a row of float32, after a look at its shape and type."""

    def __init__(self, space):
        self.space, self.box = space, isinstance(space, spaces.Box)
        self.shape, self.dtype = (space.shape, space.dtype) if self.box else (None, None)
        self.flat = self.box and len(space.shape) == 1

    def check(self, value):
        """Raises `Fault` unless `value` may be an element of the space."""
        if not self.box:
            if not self.space.contains(value):
                raise Fault(f"the observation {str(value)[:200]} is not in the observation space {self.space}")
            return value
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise Fault(f"the observation is no array: {error}") from None
        if array.shape != self.shape:
            raise Fault(f"the observation has shape {array.shape}; the observation space says {self.shape}")
        if not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise Fault(f"the observation has type {array.dtype}; the observation space says {self.dtype}")
        return array

    def write(self, value, row):
        if self.flat:
            try:
                if value.shape == self.shape and value.dtype == self.dtype:
                    row[:] = value
                    return
            except AttributeError:
                pass
            row[:] = self.check(value)
        elif self.box:
            row[:] = self.check(value).ravel()
        else:
            row[:] = space_utils.flatten(self.space, self.check(value))


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
        self.vec, self.slots = vec, slots
        self.space, self.action_space = vec.single_observation_space, vec.single_action_space
        self.observation_description = describe(self.space, "observation")
        self.action_description = describe(self.action_space, "action")
        dim = int(space_utils.flatdim(self.space))
        self.observations = np.zeros((slots, dim), dtype=np.float32)
        self.final_observations = np.zeros((slots, dim), dtype=np.float32)
        self.rewards = np.zeros(slots, dtype=np.float64)
        self.terminated = np.zeros(slots, dtype=np.bool_)
        self.truncated = np.zeros(slots, dtype=np.bool_)
        space = self.action_space
        self.offset = None
        if isinstance(space, spaces.Discrete):
            self.actions = np.zeros(slots, dtype=np.int64)
            self.offset = int(space.start) or None
        elif isinstance(space, spaces.MultiDiscrete):
            self.actions = np.zeros((slots, int(np.prod(space.shape))), dtype=np.int64)
            start = getattr(space, "start", None)
            if start is not None and np.any(start):
                self.offset = np.ravel(start)
        elif isinstance(space, spaces.MultiBinary):
            self.actions = np.zeros((slots, int(np.prod(space.shape))), dtype=np.int64)
        else:
            self.actions = np.zeros((slots, int(space_utils.flatdim(space))), dtype=np.float32)
        self.direct = self.offset is None and (
            isinstance(space, spaces.Discrete)
            or (isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype == np.float32)
        )

    def native_actions(self):
        """The batch of actions in the environment's own form; row i belongs to slot i. A copy: environments may keep
        the last action, and the array is written to again."""
        if self.direct:
            return self.actions.copy()
        space, actions = self.action_space, self.actions
        if isinstance(space, (spaces.Dict, spaces.Tuple)):
            return [space_utils.unflatten(space, row) for row in actions]
        if self.offset is not None:
            actions = actions + self.offset
        if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer):
            actions = np.rint(actions)
        return actions.astype(space.dtype).reshape((self.slots, *space.shape))

    def fault(self, error, slot):
        """What `error`, raised by the environment of `slot`, is to the caller."""
        text = error.text if isinstance(error, Fault) else trimmed(error)
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
        self.writer = RowWriter(self.space)
        self.steps = [env.step for env in vec.envs]
        self.resets = [env.reset for env in vec.envs]
        self.rows = list(self.observations)
        self.final_rows = list(self.final_observations)
        self.all = range(slots)

    def reset(self, seeds):
        self.seeds = seeds
        for slot, seed in enumerate(seeds):
            try:
                observation, _ = self.resets[slot](seed=seed)
                self.writer.write(observation, self.rows[slot])
            except Exception as error:
                raise self.fault(error, slot) from None

    def step(self, active):
        actions, steps, write, rows = self.native_actions(), self.steps, self.writer.write, self.rows
        rewards, terminations, truncations = self.rewards, self.terminated, self.truncated
        slot = 0
        try:
            for slot in self.all if active is None else active:
                observation, reward, terminated, truncated, _ = steps[slot](actions[slot])
                rewards[slot] = reward if type(reward) is float else reward_of(reward)
                terminations[slot] = terminated
                truncations[slot] = truncated
                if terminated or truncated:
                    write(observation, self.final_rows[slot])
                    observation, _ = self.resets[slot]()
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

    def __init__(self, env, parent):
        super().__init__(env)
        self.writer = RowWriter(env.observation_space)
        if os.getpid() != parent:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
            if sys.platform == "linux":
                import ctypes
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the parent

    def checked(self, observation):
        try:
            self.writer.check(observation)
        except Exception as error:
            raise ValueError(getattr(error, "text", str(error))) from None

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
        return observation, reward, terminated, truncated, {}


class Async(Driver):
    """The subprocesses of an `AsyncVectorEnv`."""

    kind = "async"

    def __init__(self, vec, slots):
        super().__init__(vec, slots)
        self.pipes = vec.parent_pipes
        self.write = batch_writer(self.space)
        self.writer = RowWriter(self.space)
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
        self.exchange(self.all, lambda slot: ("reset", {"seed": seeds[slot], "options": None}))
        self.write(self.vec.observations, self.observations)

    def step(self, active):
        active = self.all if active is None else active
        actions = self.native_actions()
        results = self.exchange(active, lambda slot: ("step", actions[slot]))
        for slot, (_, reward, terminated, truncated, info) in zip(active, results, strict=True):
            self.rewards[slot] = reward
            self.terminated[slot] = terminated
            self.truncated[slot] = truncated
            if terminated or truncated:
                self.writer.write(info["final_obs"], self.final_observations[slot])
        self.write(self.vec.observations, self.observations)

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
        self.vec, self.pipes, self.write = None, [], None
        gc.collect()


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
        self.write = batch_writer(self.space)
        self.shape = None
        if isinstance(self.space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Discrete)):
            self.shape = (slots, *self.space.shape)
        # Rust calls `vec.step` itself and reads the arrays that it returns.
        self.bare = self.direct and isinstance(self.space, spaces.Box) and self.mode != AutoresetMode.DISABLED

    def checked(self, batch):
        if self.shape is not None:
            array = np.asarray(batch)
            if array.shape != self.shape:
                raise Fault(f"the batch of observations has shape {array.shape}, not {self.shape}")
            if not np.can_cast(array.dtype, self.space.dtype, "same_kind"):
                raise Fault(f"the observations have type {array.dtype}; the observation space says {self.space.dtype}")
        return batch

    def reset(self, seeds):
        # One generator for all slots is the rule among vector environments, and a whole number the seed they all take.
        try:
            observations, _ = self.vec.reset(seed=seeds[0])
            self.write(self.checked(observations), self.observations)
        except Fault:
            raise
        except Exception as error:
            raise Fault(trimmed(error)) from None

    def step(self, active):
        try:
            actions = self.native_actions()
            if isinstance(actions, list):
                actions = gym.vector.utils.concatenate(
                    self.action_space, actions, gym.vector.utils.create_empty_array(self.action_space, self.slots)
                )
            self.take(*self.vec.step(actions))
        except Fault:
            raise
        except Exception as error:
            raise Fault(trimmed(error)) from None

    def take(self, observations, rewards, terminated, truncated, infos):
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
            self.write(self.checked(observations), self.observations)
            if ended.any():
                self.final_observations[ended] = self.observations[ended]
        elif self.mode == AutoresetMode.SAME_STEP:
            self.write(self.checked(observations), self.observations)
            self.take_final(ended, infos)
        else:
            self.write(self.checked(observations), self.final_observations)
            fresh, _ = self.vec.reset(options={"reset_mask": ended})
            self.write(self.checked(fresh), self.observations)

    def take_final(self, ended, infos):
        """The last observations of the episodes that ended, from `infos["final_obs"]`."""
        if "final_obs" not in infos:
            raise Fault('the environment resets in the same step, but `infos["final_obs"]` is missing')
        final = infos["final_obs"]
        for slot in np.flatnonzero(ended):
            element = {k: v[slot] for k, v in final.items()} if isinstance(final, dict) else final[slot]
            self.final_observations[slot] = space_utils.flatten(self.space, element)


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


def make(id, slots, kwargs, wrappers, max_episode_steps, vectorization, cores):
    """A driver for `slots` environments."""
    kwargs = dict(kwargs)
    if max_episode_steps is not None:
        kwargs["max_episode_steps"] = max_episode_steps
    try:
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
        functions = [*functions, lambda env: Checked(env, parent)]
        vec = gym.make_vec(id, slots, "async", vector_kwargs=options, wrappers=functions, **kwargs)
        return Async(vec, slots)
    except (Refusal, Fault):
        raise
    except gym.error.DependencyNotInstalled as error:
        raise Refusal(f"{id} needs a package that is missing: {error}") from None
    except gym.error.Error as error:
        raise Refusal(f"cannot make {id}: {error}") from None
    except ModuleNotFoundError as error:
        family = (str(find(id).entry_point).split(".") + ["", "", ""])[2]
        extra = {"box2d": "box2d", "mujoco": "mujoco", "toy_text": "toy-text"}.get(family)
        package = f"'gymnasium[{extra}]'" if extra else error.name
        line = f"{sys.executable} -m pip install {package}"
        raise Refusal(f"{id} needs the Python module {error.name}, which is not there; `{line}`") from None
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            reason = str(error).split(" was raised")[0]
            raise Refusal(f"cannot make {id}: {reason}; see env.kwargs") from None
        raise Fault(trimmed(error)) from None
    except Exception as error:
        raise Fault(trimmed(error)) from None


def find(id):
    """Gymnasium's spec of `id`."""
    try:
        module, _, name = id.rpartition(":")
        if module:
            __import__(module)
        return gym.spec(name)
    except ModuleNotFoundError as error:
        line = f"{sys.executable} -m pip install {error.name}"
        raise Refusal(f"{id} needs the Python module {error.name}, which is not there; `{line}`") from None
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
