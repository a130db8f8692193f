"""Action masks: `info["action_mask"]` of Gymnasium's environments, as one array for all slots.

A mask is an array of 0 and 1 (or truth values) over the choices of a Discrete action. For an action of several choices it is
those of its factors one after the other, or a tuple of them, which is what `MultiDiscrete.sample(mask=…)` takes; a
yes-or-no choice has two, no and yes. Whether an environment masks is what its first reset shows.
"""

import numpy as np
from relax_rl_spaces import Wrong

KEY = "action_mask"


class Masks:
    """The masks of all slots: `now` at the observations to act on, `last` at those that ended episodes."""

    def __init__(self, codec, slots, what=f'info["{KEY}"]'):
        self.codec, self.slots, self.counts, self.what = codec, slots, codec.counts, what
        self.width = sum(codec.counts)
        self.declared = None  # not known before the first reset
        self.now = np.ones((slots, max(self.width, 1)), dtype=np.bool_)
        self.last = self.now.copy()

    def concerns(self, info):
        """Whether there is anything to do for what a step or reset told."""
        return self.declared or (bool(info) and KEY in info)

    def start(self, slot, info):
        """Takes in what a reset told: the mask of an episode's first observation."""
        given = bool(info) and KEY in info
        if self.declared is None:
            if given and not self.counts:
                raise Wrong(self.pointless())
            self.declared = given
        self.take(slot, info)

    def take(self, slot, info):
        """Takes in what a step told of an episode that goes on."""
        if self.given(info):
            self.now[slot] = self.flat(info[KEY])

    def end(self, slot, info, terminated):
        """Takes in what the last step of an episode told. Where the game is over, there may be no mask any more."""
        if terminated and not (info and KEY in info):
            self.last[slot] = False
        elif self.given(info):
            self.last[slot] = self.flat(info[KEY])

    def given(self, info):
        """Whether there is a mask; refuses one that comes or goes."""
        given = bool(info) and KEY in info
        if given != bool(self.declared):
            how = "is there, and was not in the first reset" if given else "is missing, and was there in the first reset"
            raise Wrong(f'{self.what} {how}: an environment has one at every observation or at none')
        return given

    def flat(self, mask):
        """A mask as `width` truth values."""
        if isinstance(mask, (tuple, list)) and any(np.ndim(part) for part in mask):
            shapes = [np.shape(part) for part in mask]
            if shapes != [(n,) for n in self.counts]:
                raise Wrong(f'{self.what} is a tuple of arrays of shapes {shapes}; {self.wanted()}')
            # Each with its own type: joined, they would have a common one.
            return np.concatenate([self.truth(part) for part in mask])
        flat = self.truth(mask)
        if flat.shape == (len(self.counts), 2) and set(self.counts) == {2}:
            flat = flat.reshape(-1)
        if flat.shape != (self.width,):
            raise Wrong(f'{self.what} has shape {flat.shape}; {self.wanted()}')
        return flat

    def truth(self, mask):
        array = np.asarray(mask)
        if array.dtype == np.bool_:
            return array
        if array.dtype.kind not in "iu":
            raise Wrong(f'{self.what} has type {array.dtype}; it must be of int8 or bool, 1 where a choice is allowed')
        if ((array != 0) & (array != 1)).any():
            raise Wrong(f'{self.what} has entries other than 0 and 1: {array.tolist()!r:.200}')
        return array != 0

    def pointless(self):
        return (
            f"{self.what} has nothing to mask: the action space is {self.codec.space}; masks are for Discrete, MultiDiscrete "
            "and MultiBinary actions"
        )

    def wanted(self):
        """What would be right."""
        if len(self.counts) == 1:
            return f"the action space {self.codec.space} says ({self.width},)"
        return (
            f"the action space {self.codec.space} has factors of {self.counts} choices: ({self.width},), or a tuple of an "
            "array for each"
        )

    # ── What a vector environment tells of all slots at once ──

    def rows(self, infos, out, wanted):
        """`out` ← the masks in `infos` of the slots that `wanted` marks; returns for which of them there was none."""
        told = infos[KEY] if infos and KEY in infos else None
        if told is None:
            return wanted.copy()
        there = np.asarray(infos.get("_" + KEY, np.ones(self.slots, dtype=np.bool_)), dtype=np.bool_)
        if len(told) != self.slots:
            raise Wrong(f'infos["{KEY}"] has {len(told)} rows; there are {self.slots} slots')
        if isinstance(told, np.ndarray) and told.dtype != object and told.shape == (self.slots, self.width):
            marked = wanted & there
            out[marked] = self.truth(told[marked])
        else:
            for slot in np.flatnonzero(wanted & there):
                out[slot] = self.flat(told[slot])
        return wanted & ~there

    def start_all(self, infos, fresh):
        """`start` for the slots `fresh`."""
        if self.declared is None:
            self.start(0, {KEY: infos[KEY][0]} if infos and KEY in infos else {})
        if not self.declared:
            self.given(infos)
        elif self.rows(infos, self.now, fresh).any():
            self.given({})

    def take_all(self, infos, going):
        """`take` for the slots `going`."""
        if not self.declared:
            self.given(infos)
        elif self.rows(infos, self.now, going).any():
            self.given({})

    def end_all(self, infos, ended, terminated):
        """`end` for the slots `ended`."""
        if not self.declared:
            return
        missing = self.rows(infos, self.last, ended)
        self.last[missing] = False
        if (missing & ~terminated).any():
            self.given({})


def given(codec, mask, rows, single):
    """The mask for one observation, or those for a batch of `rows`, as `rows · width` truth values."""
    masks = Masks(codec, rows, KEY)
    if not masks.counts:
        raise Wrong(masks.pointless())
    if not single and not hasattr(mask, "__len__"):
        raise Wrong(f"{KEY} is {mask!r:.100}; there are {rows} observations, and it must have a row for each")
    if not single and len(mask) != rows:
        raise Wrong(f"{KEY} has {len(mask)} rows; there are {rows} observations")
    flat = np.stack([masks.flat(row) for row in ([mask] if single else mask)])
    start = 0
    for factor, n in enumerate(masks.counts):
        allowed = flat[:, start:start + n].any(axis=1)
        start += n
        if not allowed.all():
            where = "" if single else f" of observation {int(np.argmin(allowed))}"
            of = "no action" if len(masks.counts) == 1 else f"no choice of factor {factor} (of {len(masks.counts)}, counted from 0)"
            raise Wrong(f"{KEY}{where} allows {of}; at least one must be allowed")
    return flat.reshape(-1)
