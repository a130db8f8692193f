"""Between the elements of Gymnasium's spaces and the numbers that relax-rl computes with: one conversion, both ways.

An observation becomes a row of float32, laid out as `gymnasium.spaces.utils.flatten` does. An action becomes numbers
(the index of a Discrete, the values of a Box, one index an entry of anything else) and numbers become an action: in the
structure and dtype of the environment's own space, and within its bounds. Training, evaluation and the Python package
all pass through here.
"""

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import utils as space_utils

KNOWN = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of them"


class Unsupported(ValueError):
    """A space that has no numbers; the text is a sentence."""


class Wrong(ValueError):
    """A value that is not in its space; the text says what would be."""


def as_array(value, what):
    """`value` as an array of numbers or truth values."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise Wrong(f"the {what} is no array: {error}") from None
    if array.dtype.kind not in "biuf":
        shown = value if isinstance(value, str) or value is None else f"of type {array.dtype}"
        raise Wrong(f"the {what} is {shown!r}" if value is None else f"the {what} is {shown}, which is no number")
    return array


def whole(array, space, what, name):
    """`array`, which must hold whole numbers."""
    if array.dtype.kind not in "iu":
        raise Wrong(f"the {what} has type {array.dtype}; the {name} {space} has whole numbers")
    return array


class BoxLeaf:
    """Numbers between bounds."""

    kind = "box"

    def __init__(self, space):
        self.space, self.shape, self.dtype = space, space.shape, space.dtype
        self.count = self.width = int(np.prod(space.shape))
        self.low, self.high = np.asarray(space.low), np.asarray(space.high)
        self.integers = self.dtype.kind in "iub"
        if self.dtype.kind == "f" and self.dtype != np.float32:
            # What no bound limits must still be a number of the type.
            limit = np.finfo(self.dtype).max
            self.low, self.high = np.maximum(self.low, -limit), np.minimum(self.high, limit)
        self.narrow_low, self.narrow_high = inward(space.low, space.high)

    def check(self, value, lead, what, name):
        array = as_array(value, what)
        if array.shape != (*lead, *self.shape):
            raise Wrong(shape_text(what, array.shape, lead, self.shape, name))
        if array.dtype == self.dtype or np.can_cast(array.dtype, self.dtype, "same_kind"):
            return array
        if self.dtype.kind in "iu" and array.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            if array.size == 0 or (array.min() >= limits.min and array.max() <= limits.max):
                return array
        raise Wrong(f"the {what} has type {array.dtype}; the {name} says {self.dtype}")

    def flatten(self, array, out):
        out[...] = array.reshape(out.shape)

    def numbers(self, array, out):
        out[...] = array.reshape(out.shape)

    def element(self, numbers, lead):
        """Values of the space's own type, the nearest to `numbers` within its bounds."""
        numbers = numbers.reshape((*lead, *self.shape))
        if self.integers:
            values = np.rint(numbers.astype(np.float64))
            values = np.clip(values, *self.whole_bounds()).astype(self.dtype)
        else:
            with np.errstate(over="ignore"):
                values = numbers.astype(self.dtype)
        return np.asarray(np.clip(values, self.low, self.high), dtype=self.dtype)

    def whole_bounds(self):
        """The bounds as float64 that can be made whole numbers of the type again."""
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        if self.dtype.kind == "b":
            return low, high
        limits = np.iinfo(self.dtype)
        # 2⁶³ − 1 is no float64; the nearest one, 2⁶³, would overflow.
        most = float(limits.max) if int(float(limits.max)) <= limits.max else np.nextafter(float(limits.max), 0.0)
        return np.maximum(low, float(limits.min)), np.minimum(high, most)


class DiscreteLeaf:
    """One of n choices."""

    kind, count, shape = "discrete", 1, ()

    def __init__(self, space):
        self.space, self.start, self.n = space, int(space.start), int(space.n)
        self.counts, self.width = [self.n], self.n

    def check(self, value, lead, what, name):
        array = whole(as_array(value, what), self.space, what, name)
        if array.shape != lead:
            raise Wrong(shape_text(what, array.shape, lead, (), name))
        index = array.astype(np.int64) - self.start
        bad = (index < 0) | (index >= self.n)
        if bad.any():
            raise Wrong(f"the {what} {array[bad].flat[0]} is not in the {name} {self.space}")
        return index

    def flatten(self, index, out):
        out[...] = 0.0
        np.put_along_axis(out, index[..., None], 1.0, axis=-1)

    def numbers(self, index, out):
        out[...] = index.reshape(out.shape)

    def element(self, numbers, lead):
        dtype = getattr(self.space, "dtype", None) or np.dtype(np.int64)
        return (numbers.reshape(lead).astype(np.int64) + self.start).astype(dtype)[()]


class MultiDiscreteLeaf:
    """Several choices at once."""

    kind = "multi-discrete"

    def __init__(self, space):
        self.space, self.shape, self.dtype = space, space.shape, space.dtype
        self.start = np.asarray(getattr(space, "start", np.zeros_like(space.nvec)))
        self.counts = [int(n) for n in space.nvec.ravel()]
        self.count, self.width = len(self.counts), sum(self.counts)
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    def check(self, value, lead, what, name):
        array = whole(as_array(value, what), self.space, what, name)
        if array.shape != (*lead, *self.shape):
            raise Wrong(shape_text(what, array.shape, lead, self.shape, name))
        index = array.astype(np.int64) - self.start
        if ((index < 0) | (index >= self.space.nvec)).any():
            raise Wrong(f"the {what} {short(array)} is not in the {name} {self.space}")
        return index.reshape((*lead, self.count))

    def flatten(self, index, out):
        out[...] = 0.0
        np.put_along_axis(out, index + self.offsets, 1.0, axis=-1)

    def numbers(self, index, out):
        out[...] = index

    def element(self, numbers, lead):
        return (numbers.reshape((*lead, *self.shape)).astype(np.int64) + self.start).astype(self.dtype)


class MultiBinaryLeaf:
    """Several truth values at once."""

    kind = "multi-binary"

    def __init__(self, space):
        self.space, self.shape, self.dtype = space, space.shape, space.dtype
        self.count = self.width = int(np.prod(space.shape))
        self.counts = [2] * self.count

    def check(self, value, lead, what, name):
        array = as_array(value, what)
        if array.shape != (*lead, *self.shape):
            raise Wrong(shape_text(what, array.shape, lead, self.shape, name))
        if array.dtype.kind not in "biu" or ((array != 0) & (array != 1)).any():
            raise Wrong(f"the {what} {short(array)} is not in the {name} {self.space}, which has 0 and 1")
        return array

    def flatten(self, array, out):
        out[...] = array.reshape(out.shape)

    def numbers(self, array, out):
        out[...] = array.reshape(out.shape)

    def element(self, numbers, lead):
        return numbers.reshape((*lead, *self.shape)).astype(self.dtype)


def inward(low, high):
    """Bounds of any type as float32 that lie within them."""
    def narrowed(bound, towards, outside):
        exact = np.asarray(bound).astype(np.longdouble).ravel()
        with np.errstate(over="ignore"):
            near = exact.astype(np.float32)
        return np.where(outside(near.astype(np.longdouble), exact), np.nextafter(near, np.float32(towards)), near)
    lower, upper = narrowed(low, np.inf, np.less), narrowed(high, -np.inf, np.greater)
    # No float32 lies between bounds as near to each other as these: `element` clips what the nearest one becomes.
    crossed = lower > upper
    with np.errstate(over="ignore"):
        near = np.asarray(low).astype(np.float32).ravel()
    return np.where(crossed, near, lower), np.where(crossed, near, upper)


def short(array):
    return str(array.tolist())[:200]


def shape_text(what, shape, lead, wanted, name):
    whole_shape = (*lead, *wanted)
    return f"the {what} has shape {shape}; the {name} says {wanted}" + (
        f", a batch of them {whole_shape}" if lead else ""
    )


LEAVES = (
    (spaces.Box, BoxLeaf), (spaces.Discrete, DiscreteLeaf),
    (spaces.MultiDiscrete, MultiDiscreteLeaf), (spaces.MultiBinary, MultiBinaryLeaf),
)


def parts_of(space):
    """Keys and spaces of a composite space; None for any other."""
    if isinstance(space, spaces.Dict):
        return list(space.spaces.items())
    if isinstance(space, spaces.Tuple):
        return list(enumerate(space.spaces))
    return None


class Codec:
    """The conversion of one space. `role` is "observation" or "action", for messages and for what may be asked."""

    def __init__(self, space, role):
        self.space, self.role, self.name = space, role, f"{role} space"
        self.leaves = []
        self.collect(space, space, ())
        self.composite = parts_of(space) is not None
        self.dim = sum(leaf.width for _, leaf in self.leaves)
        kinds = {leaf.kind for _, leaf in self.leaves}
        boxes = kinds == {"box"}
        if role == "action" and not boxes and "box" in kinds:
            raise Unsupported(
                f"the action space {space} is not supported: the parts of a Dict or Tuple must be all Box, or none of them"
            )
        self.counts = [] if "box" in kinds else [n for _, leaf in self.leaves for n in leaf.counts]
        # How actions are told: one index, values, or one index an entry.
        self.told = "box" if boxes else "discrete" if len(self.counts) == 1 else "entries"
        only = self.leaves[0][1] if len(self.leaves) == 1 and not self.composite else None
        self.flat_box = only if isinstance(only, BoxLeaf) and len(only.shape) == 1 else None
        # Numbers that are elements as they stand.
        self.direct = isinstance(only, DiscreteLeaf) and only.start == 0 and only.space.dtype == np.int64 or (
            self.flat_box is not None and self.flat_box.dtype == np.float32
        )

    def collect(self, space, root, path):
        parts = parts_of(space)
        if parts is not None:
            for key, part in parts:
                self.collect(part, root, (*path, key))
            return
        for kind, leaf in LEAVES:
            if isinstance(space, kind):
                self.leaves.append((path, leaf(space)))
                return
        raise Unsupported(f"the {self.name} {root} is not supported; supported are {KNOWN}")

    def described(self):
        """The space as (kind, low, high, shape, counts, start), for Rust."""
        leaf = self.leaves[0][1] if len(self.leaves) == 1 and not self.composite else None
        if self.role == "observation":
            if leaf is None:
                flat = space_utils.flatten_space(self.space)
                return self.box(flat.low, flat.high, flat.shape)
            if leaf.kind == "box":
                return self.box(leaf.space.low, leaf.space.high, leaf.shape)
        elif self.told == "box":
            low, high = (np.concatenate([getattr(leaf, name) for _, leaf in self.leaves])
                         for name in ("narrow_low", "narrow_high"))
            return self.box(low, high, leaf.shape if leaf is not None else low.shape)
        elif self.told == "discrete":
            return "discrete", [], [], [], self.counts, getattr(leaf, "start", 0) if leaf and leaf.kind == "discrete" else 0
        if leaf is not None and leaf.kind == "discrete":
            return "discrete", [], [], [], leaf.counts, leaf.start
        if leaf is not None and leaf.kind == "multi-binary":
            return "multi-binary", [], [], [], [leaf.count], 0
        return "multi-discrete", [], [], [], self.counts, 0

    @staticmethod
    def box(low, high, shape):
        with np.errstate(over="ignore"):
            low, high = (np.asarray(x, dtype=np.float64).astype(np.float32).ravel() for x in (low, high))
        return "box", low.tolist(), high.tolist(), list(shape), [], 0

    # ── Elements → numbers ──

    def picked(self, value, space, path, lead):
        """The parts of `value`, in the order of the leaves; refuses what has other parts than the space."""
        parts = parts_of(space)
        if parts is None:
            return [value]
        where = self.role + "".join(f"[{key!r}]" for key in path)
        if isinstance(space, spaces.Dict):
            if not hasattr(value, "keys"):
                raise Wrong(f"the {where} is a {type(value).__name__}; the {self.name} is a Dict of {list(space.spaces)}")
            if set(value.keys()) != set(space.spaces):
                raise Wrong(f"the {where} has the parts {list(value.keys())}; the {self.name} has {list(space.spaces)}")
        elif not isinstance(value, (tuple, list)) or len(value) != len(parts):
            given = f"{len(value)} parts" if isinstance(value, (tuple, list)) else f"a {type(value).__name__}"
            raise Wrong(f"the {where} is {given}; the {self.name} is a Tuple of {len(parts)} parts")
        return [one for key, part in parts for one in self.picked(value[key], part, (*path, key), lead)]

    def checked(self, value, lead=()):
        """What the leaves make of an element, or of a batch of them; raises `Wrong` for anything else."""
        values = self.picked(value, self.space, (), lead)
        return [
            leaf.check(one, lead, self.role + "".join(f"[{key!r}]" for key in path), self.name)
            for one, (path, leaf) in zip(values, self.leaves, strict=True)
        ]

    def write(self, value, out):
        """`out` ← an observation, a row of float32; or a batch of them, rows."""
        if self.flat_box is not None and getattr(value, "dtype", None) == self.flat_box.dtype and value.shape == out.shape:
            out[...] = value
            return
        start = 0
        for one, (_, leaf) in zip(self.checked(value, out.shape[:-1]), self.leaves, strict=True):
            leaf.flatten(one, out[..., start:start + leaf.width])
            start += leaf.width

    def lead(self, value):
        """() for one element, (n,) for a batch of n."""
        values = self.picked(value, self.space, (), ())
        for one, (path, leaf) in zip(values, self.leaves, strict=True):
            what = self.role + "".join(f"[{key!r}]" for key in path)
            shape = as_array(one, what).shape
            if shape == leaf.shape:
                return ()
            if shape[1:] == leaf.shape and len(shape) > len(leaf.shape):
                return shape[:1]
            raise Wrong(f"the {what} has shape {shape}; the {self.name} says {leaf.shape}, a batch of them (n, …)")
        return ()

    def rows(self, value):
        """One observation or a batch of them as (rows of float32, whether it is one)."""
        lead = self.lead(value)
        out = np.zeros((*lead, self.dim), dtype=np.float32)
        self.write(value, out)
        return out.reshape(-1), not lead, lead[0] if lead else 1

    def numbers(self, value, lead):
        """An action or a batch of them as numbers: indices `lead`, values or entries `(*lead, k)`."""
        values = self.checked(value, lead)
        width = sum(leaf.count for _, leaf in self.leaves)
        out = np.zeros((*lead, width), dtype=np.float32 if self.told == "box" else np.int64)
        start = 0
        for one, (_, leaf) in zip(values, self.leaves, strict=True):
            leaf.numbers(one, out[..., start:start + leaf.count])
            start += leaf.count
        return out[..., 0] if self.told == "discrete" else out

    # ── Numbers → elements ──

    def element(self, numbers, lead=()):
        """The action that `numbers` are; or the batch of actions, laid out as `gymnasium.vector.utils.batch_space` says."""
        numbers = np.asarray(numbers)
        if self.told == "discrete":
            numbers = numbers[..., None]
        at = 0

        def build(space):
            nonlocal at
            if isinstance(space, spaces.Dict):
                return {key: build(part) for key, part in space.spaces.items()}
            if isinstance(space, spaces.Tuple):
                return tuple(build(part) for part in space.spaces)
            leaf, start = self.leaves[at][1], sum(leaf.count for _, leaf in self.leaves[:at])
            at += 1
            return leaf.element(numbers[..., start:start + leaf.count], lead)
        return build(self.space)

    def row(self, batch, index):
        """One element of a batch."""
        def take(space, value):
            if isinstance(space, spaces.Dict) and hasattr(value, "keys"):
                return {key: take(part, value[key]) for key, part in space.spaces.items()}
            if isinstance(space, spaces.Tuple) and isinstance(value, tuple):
                return tuple(take(part, one) for part, one in zip(space.spaces, value, strict=True))
            # The ellipsis keeps a Box of no dimensions an array.
            return value[index, ...] if isinstance(space, spaces.Box) and getattr(value, "dtype", None) != object else value[index]
        return take(self.space, batch)


def space_of(kind, low, high, shape, counts, start):
    """Gymnasium's space for a description as `Codec.described` gives it."""
    if kind == "box":
        bounds = (np.array(bound, dtype=np.float32).reshape(shape) for bound in (low, high))
        return spaces.Box(*bounds, dtype=np.float32)
    if kind == "discrete":
        return spaces.Discrete(counts[0], start=start)
    return spaces.MultiDiscrete(counts) if kind == "multi-discrete" else spaces.MultiBinary(counts[0])
