"""Small environments with one peculiarity each, for the tests of this folder."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import zlib

import gymnasium
import numpy as np
from gymnasium import spaces

from rlcore.envs.toy import HashChain
from rlcore.rng import default
from rlcore.tree import leaves


def through_a_file(state):
    """What comes back of a state: arrays in C order, the rest from JSON, so that tuples are lists."""
    if isinstance(state, dict):
        assert all(type(k) is str and not k.startswith("$") for k in state)
        return {k: through_a_file(v) for k, v in state.items()}
    if type(state) is np.ndarray:
        assert state.dtype.kind in "biuf"
        assert state.itemsize <= 8
        return np.array(state, order="C")
    if isinstance(state, (tuple, list)):
        return [through_a_file(v) for v in state]
    assert type(state) in (bool, int, float, str, type(None))
    return json.loads(json.dumps(state))


BOX = spaces.Box(-np.inf, np.inf, (2,), np.float32)


class World(gymnasium.Env):
    """Counts its steps in both elements of its observation; `change` may spoil what step t (0: reset) gives."""

    def __init__(self, observation_space=BOX, action_space=None, change=None, limit=1000):
        self.observation_space = observation_space
        self.action_space = action_space or spaces.Discrete(2)
        self.change, self.limit, self.t = change or (lambda t, obs, reward: (obs, reward)), limit, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.change(0, np.full(2, 0, np.float32), 0.0)[0], {}

    def step(self, action):
        self.t += 1
        obs, reward = self.change(self.t, np.full(2, self.t, np.float32), 1.0)
        return obs, reward, False, self.t == self.limit, {}


class Walk(gymnasium.Env):
    """A random walk by actions and np_random, in float64, that ends by chance; all its state is plain."""

    def __init__(self):
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Discrete(3)
        self.at = np.zeros(2)

    def noise(self):
        return self.np_random.normal(size=2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.noise()
        return self.at.copy(), {}

    def step(self, action):
        self.at = self.at + action + self.noise()
        return self.at.copy(), float(self.at.sum()), bool(self.np_random.random() < 0.05), False, {}


class Cut(Walk):
    """Walk, cut by chance as often as it ends; in numbers that a network can take."""

    def step(self, action):
        obs, reward, over, _, info = super().step(action)
        self.at = self.at * 0.9
        return obs, float(np.tanh(reward)), over, bool(self.np_random.random() < 0.07), info


class InPlace(Walk):
    """Its position is one array for ever, which resets and steps write into."""

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        self.at[:] = self.noise()
        return self.at.copy(), {}

    def step(self, action):
        self.at += action + self.noise()
        return self.at.copy(), float(self.at.sum()), bool(self.np_random.random() < 0.05), False, {}


class Hidden(Walk):
    """Its position is in a closure, where no capture finds it."""

    def __init__(self):
        super().__init__()
        at = np.zeros(2)

        def move(by, fresh=False):
            at[:] = by if fresh else at + by
            return at.copy()

        self.move = move

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        return self.move(self.noise(), fresh=True), {}

    def step(self, action):
        obs = self.move(action + self.noise())
        return obs, float(obs.sum()), bool(self.np_random.random() < 0.05), False, {}


class Moody(Hidden):
    """Not deterministic: its noise is nobody's to seed, and no capture finds it."""

    def __init__(self):
        super().__init__()
        rng = np.random.Generator(np.random.PCG64())
        self.noise = lambda: rng.normal(size=2)


class Signed(Hidden):
    """Its observations are deterministic, its rewards are not."""

    def __init__(self):
        super().__init__()
        rng = np.random.Generator(np.random.PCG64())
        self.mood = lambda: float(rng.normal())

    def step(self, action):
        obs, _, over, cut, info = super().step(action)
        return obs, self.mood(), over, cut, info


class Reuses(World):
    """Gives one buffer again and again, and writes on in it."""

    def __init__(self, limit=3):
        super().__init__(limit=limit)
        self.buffer = np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        self.buffer[:] = self.np_random.random(2) if seed is None else seed % 97
        return self.buffer, {}

    def step(self, action):
        self.t += 1
        self.buffer += 1
        return self.buffer, 1.0, False, self.t == self.limit, {}


OBSERVATIONS = spaces.Dict(
    {
        "pair": spaces.Tuple((spaces.Box(-10, 10, (2,), np.float64), spaces.Discrete(9))),
        "bits": spaces.MultiBinary(3),
        "image": spaces.Box(0, 255, (2, 2), np.uint8),
    }
)
ACTIONS = spaces.Dict(
    {"go": spaces.Discrete(4), "both": spaces.Tuple((spaces.Box(-1, 1, (2,), np.float32), spaces.MultiBinary(2)))}
)


class Nested(gymnasium.Env):
    """Observations are a dict with a tuple; what it was given as action is in `got`."""

    def __init__(self, action_space=ACTIONS, hidden=False):
        self.observation_space, self.action_space = OBSERVATIONS, action_space
        self.got, self.t = [], 0
        if hidden:  # a set is nothing that a capture knows
            self.t = {0}

    def count(self):
        return self.t if isinstance(self.t, int) else max(self.t)

    def obs(self):
        t = self.count()
        return {
            "pair": (np.array([t, t / 3]), t % 9),
            "bits": np.array([t & 1, t & 2, t & 4], np.int8) > 0,
            "image": np.full((2, 2), t, np.uint8),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0 if isinstance(self.t, int) else {0}
        return self.obs(), {}

    def step(self, action):
        self.got.append(action)
        self.t = self.t + 1 if isinstance(self.t, int) else self.t | {max(self.t) + 1}
        return self.obs(), float(self.count()), self.count() == 4, False, {}


class Sampled(gymnasium.Env):
    """Observations of any space, drawn from np_random; rewards tell the actions apart; all its state is plain."""

    def __init__(self, observation_space, action_space, render_mode=None):
        self.observation_space, self.action_space, self.render_mode = observation_space, action_space, render_mode
        self.total = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.total = 0.0
        return draw(self.observation_space, self.np_random), {}

    def step(self, action):
        reward = float(sum(zlib.crc32(np.asarray(leaf).tobytes()) % 1009 for leaf in leaves(action)) / 7)
        self.total += reward
        u = self.np_random.random()
        return draw(self.observation_space, self.np_random), reward, u < 0.1, 0.1 < u < 0.2, {}

    def render(self):
        return np.full((4, 6, 3), int(self.total) % 256, np.uint8) if self.render_mode == "rgb_array" else None


def draw(space, rng):
    """An element of a space."""
    if isinstance(space, spaces.Dict):
        return {k: draw(s, rng) for k, s in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(draw(s, rng) for s in space.spaces)
    if isinstance(space, spaces.Discrete):
        return int(space.start + rng.integers(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return (space.start + rng.integers(space.nvec)).astype(space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(2, size=space.shape).astype(np.int8)
    if space.dtype.kind == "f":
        return np.asarray(rng.uniform(space.low, space.high)).astype(space.dtype)
    return rng.integers(space.low, space.high, endpoint=True).astype(space.dtype)


class Faulty(HashChain):
    """Fails in one call, "reset", "step" (the second) or "close", of the episodes with some seeds."""

    def __init__(self, call, how, seeds):
        super().__init__()
        self.call, self.how, self.seeds, self.seeded, self.t = call, how, seeds, None, 0

    def fail(self, call):
        if call != self.call or self.seeded not in self.seeds:
            return
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "hang":
            time.sleep(1000)
        raise ZeroDivisionError("a bug of the environment")

    def reset(self, *, seed=None, options=None):
        self.seeded, self.t = seed, 0
        self.fail("reset")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.t += 1
        if self.t == 2:
            self.fail("step")
        obs, reward, *_ = super().step(action)
        u = self.np_random.random()
        return obs, reward, self.t > 2 and u < 0.2, self.t > 2 and 0.2 <= u < 0.4, {}

    def close(self):
        self.fail("close")


class Global(gymnasium.Env):
    """Draws from the generators that all of a process shares, as no environment should."""

    def __init__(self):
        self.observation_space = spaces.Box(0, 1, (100,), np.float64)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        drawn = [*np.random.random_sample(40), *default().random(20)]  # noqa: NPY002
        return np.array([*drawn, *[random.random() for _ in range(40)]]), {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


class Threads(gymnasium.Env):
    """Observes how many threads BLAS may take in its process, and how many run."""

    def __init__(self):
        self.observation_space = spaces.Box(0, 1000, (2,), np.int64)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        np.ones((300, 300)) @ np.ones((300, 300))  # starts the pool
        return np.array([int(os.environ["OMP_NUM_THREADS"]), len(os.listdir("/proc/self/task"))]), {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


class Masked(gymnasium.Env):
    """Allows action t % 3 alone; the last observation comes without a mask."""

    def __init__(self, mask=lambda t: np.arange(3) == t % 3, action_space=None):
        self.observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.action_space = action_space or spaces.Discrete(3)
        self.mask, self.t = mask, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {"action_mask": self.mask(0)}

    def step(self, action):
        self.t += 1
        over = self.t == 4
        return np.full(1, self.t, np.float32), 1.0, over, False, {} if over else {"action_mask": self.mask(self.t)}


class Lives(gymnasium.Wrapper):
    """Every third step of a game loses a life, which ends the episode; the game goes on at the next reset."""

    def __init__(self, env):
        super().__init__(env)
        self.t, self.over, self.obs = 0, True, None

    def reset(self, *, seed=None, options=None):
        if self.over:
            self.t = 0
            self.obs, _ = self.env.reset(seed=seed, options=options)
        self.over = False
        return self.obs, {}

    def step(self, action):
        self.obs, reward, terminated, truncated, info = self.env.step(action)
        self.t += 1
        self.over = terminated or truncated
        return self.obs, reward, terminated or self.t % 3 == 0, truncated, info
