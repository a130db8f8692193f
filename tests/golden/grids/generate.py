"""Records golden trajectories of minigrid 3.2.0 and of bsuite's Catch (own script, not copied from anywhere).
   python generate.py OUTDIR [NAME…]     needs minigrid==3.2.0 gymnasium==1.4.0 numpy==2.4.6; Catch: bsuite==0.3.6 or its folder in PYTHONPATH, dm-env

The format is that of ../gymnasium. `obs` is the dictionary's image; `internal` has the whole grid as MiniGrid encodes it (at
resets) or its 64-bit FNV-1a sum (at steps), the agent, and, at resets, the same sum of the picture."""
import copy, gzip, json, platform, sys
from collections import deque
import numpy as np, gymnasium as gym
OUT = sys.argv[1]
IDS = ["Empty-5x5", "Empty-Random-6x6", "Empty-16x16", "DoorKey-5x5", "DoorKey-8x8", "FourRooms",
       "LavaCrossingS9N2", "LavaCrossingS11N5", "SimpleCrossingS9N3"]

def pcg(g):
    s = g.bit_generator.state
    return {"state": str(s["state"]["state"]), "inc": str(s["state"]["inc"]), "has_uint32": s["has_uint32"], "uinteger": s["uinteger"]}

def fnv(data):
    h = 0xcbf29ce484222325
    for b in bytes(data): h = ((h ^ b) * 0x100000001b3) & 0xffffffffffffffff
    return str(h)

def internal(u):
    return {"agent": [int(v) for v in (*u.agent_pos, u.agent_dir)], "grid": fnv(u.grid.encode().tobytes())}

def plan(u):
    """Actions of a shortest way to the goal: key, door, goal."""
    vec = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    cell = lambda x, y: u.grid.get(x, y)
    start = (int(u.agent_pos[0]), int(u.agent_pos[1]), int(u.agent_dir), False, False)
    queue, seen = deque([(start, [])]), {start}
    while queue:
        (x, y, d, key, opened), path = queue.popleft()
        fx, fy = x + vec[d][0], y + vec[d][1]
        c = cell(fx, fy); kind = c.type if c else None
        nexts = [((x, y, (d - 1) % 4, key, opened), 0), ((x, y, (d + 1) % 4, key, opened), 1)]
        if kind == "goal": return path + [2]
        if kind is None or (kind == "key" and key) or (kind == "door" and opened): nexts.append(((fx, fy, d, key, opened), 2))
        if kind == "key" and not key: nexts.append(((x, y, d, True, opened), 3))
        if kind == "door" and key and not opened: nexts.append(((x, y, d, key, True), 5))
        for s, a in nexts:
            if s not in seen: seen.add(s); queue.append((s, path + [a]))

def write(name, lines):
    with open(f"{OUT}/{name}.jsonl.gz", "wb") as f, gzip.GzipFile(filename="", fileobj=f, mode="wb", compresslevel=9, mtime=0) as z:
        for l in lines: z.write((json.dumps(l, separators=(",", ":")) + "\n").encode())
    st = [l for l in lines if l["kind"] == "step"]
    print(f"{name:36s} steps {len(st):5d} resets {sum(l['kind']=='reset' for l in lines):4d} term {sum(l['term'] for l in st):3d} trunc {sum(l['trunc'] for l in st):3d} rewards {sum(l['r']!=0 for l in st)}")

def minigrid(name):
    import minigrid
    id = f"MiniGrid-{name}-v0"
    env = gym.make(id, disable_env_checker=True, render_mode="rgb_array"); u = env.unwrapped
    lines = [{"kind": "meta", "env": id, "minigrid": minigrid.__version__, "gymnasium": gym.__version__, "numpy": np.__version__,
              "python": platform.python_version(), "max_episode_steps": env.spec.max_episode_steps}]
    # Even seeds act at random, odd ones walk to the goal and then toggle, drop and pick up; each goes on after ends.
    for run in range(6):
        arng = np.random.default_rng(1000 + run); part = 0
        def reset(seed):
            pre = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))) if seed is not None else copy.deepcopy(u.np_random)
            before = pcg(pre); o, _ = env.reset(seed=seed)
            state = internal(u); state["picture"] = fnv(env.render().tobytes())
            lines.append({"kind": "reset", "run": run, "part": part, "seed": seed, "rng_before": before, "rng_after": pcg(u.np_random), "obs": o["image"].ravel().tolist(), "internal": state})
        reset(run)
        path = plan(u) if run % 2 else []
        for t in range(120):
            a = path.pop(0) if path else int(arng.integers(7))
            if run == 3 and a == 5: path = [5, 5, 4, 5] + path          # close the door again, drop nothing, open it
            o, r, term, trunc, _ = env.step(a)
            lines.append({"kind": "step", "a": int(a), "obs": o["image"].ravel().tolist(), "r": float(r), "term": bool(term), "trunc": bool(trunc), "internal": internal(u)})
            if term or trunc:
                if t == 119: break
                part += 1; reset(None); path = plan(u) if run % 2 else []
    write(id, lines)

def catch():
    from bsuite.environments.catch import Catch
    lines = [{"kind": "meta", "env": "Catch-v0", "bsuite": "0.3.6", "numpy": np.__version__, "max_episode_steps": None}]
    arng = np.random.default_rng(1)
    for seed in range(4):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        env = Catch()
        class Draws: randint = staticmethod(lambda n: int(rng.integers(n)))
        env._rng = Draws()                     # the ball's column by NumPy's newer generator
        for part in range(10):
            before = pcg(rng); step = env.reset()
            state = lambda: {"state": [int(env._ball_x), int(env._ball_y), int(env._paddle_x)]}
            lines.append({"kind": "reset", "run": seed, "part": part, "seed": seed if part == 0 else None, "rng_before": before, "rng_after": pcg(rng), "obs": step.observation.ravel().tolist(), "internal": state()})
            while not step.last():
                # Half of the episodes go after the ball.
                a = int(1 + np.sign(env._ball_x - env._paddle_x)) if part % 2 else int(arng.integers(3))
                step = env.step(a)
                lines.append({"kind": "step", "a": a, "obs": step.observation.ravel().tolist(), "r": float(step.reward), "term": bool(step.last()), "trunc": False, "internal": state()})
    write("Catch-v0", lines)

only = sys.argv[2:]                                        # none: all
for name in IDS:
    if not only or name in only: minigrid(name)
if not only or "Catch" in only: catch()
