"""A sound environment, and others that have exactly one fault each."""

from __future__ import annotations

import random

import gymnasium
import numpy as np
from gymnasium import spaces


class Sound(gymnasium.Env):
    """A bounded random walk in two dimensions that ends by chance, or is cut after 50 steps."""

    metadata = {"render_modes": [], "render_fps": 30}
    render_mode = None
    observation_space = spaces.Box(-2, 2, (2,), np.float32)
    action_space = spaces.Discrete(2)
    limit = 50

    def __init__(self):
        self.at, self.t = np.zeros(2), 0

    def draw(self):
        return self.np_random.normal(size=2)

    def obs(self):
        return np.clip(self.at, -2, 2).astype(np.float32)

    def reward(self):
        return float(np.tanh(self.at[0]))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = self.draw(), 0
        return self.obs(), {}

    def step(self, action):
        self.at = 0.9 * self.at + 0.1 * (np.sum(action) - 0.5) + 0.3 * self.draw()
        self.t += 1
        return self.obs(), self.reward(), bool(self.np_random.random() < 0.02), self.t == self.limit, {}


class Late(Sound):
    """Spoils what it gives in step 7 of an episode."""

    def obs(self):
        return self.spoilt(super().obs()) if self.t == 7 else super().obs()


class OutOfBounds(Late):
    def spoilt(self, obs):
        obs[1] = 3
        return obs


class WrongShape(Late):
    def spoilt(self, obs):
        return obs[:1]


class NotANumber(Late):
    def spoilt(self, obs):
        obs[0] = np.nan
        return obs


class InfiniteReward(Sound):
    def reward(self):
        return float("inf") if self.t == 7 else super().reward()


class Raises(Sound):
    def step(self, action):
        if self.t == 9:
            raise ZeroDivisionError("of mine")
        return super().step(action)


class NoSeed(Sound):
    def reset(self):
        return super().reset()


class Doubles(Sound):
    """Gives float64 where its space says float32."""

    def obs(self):
        return super().obs().astype(np.float64)


class Reuses(Sound):
    def __init__(self):
        super().__init__()
        self.buffer = np.zeros(2, np.float32)

    def obs(self):
        self.buffer[:] = super().obs()
        return self.buffer


class IgnoresSeed(Sound):
    """Begins from noise of its own."""

    def __init__(self):
        super().__init__()
        self.own = np.random.Generator(np.random.PCG64())

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.own.normal(size=2)
        return self.obs(), {}


class Moody(Sound):
    """Begins as it should, and draws from noise of its own in step()."""

    def __init__(self):
        super().__init__()
        self.own = np.random.Generator(np.random.PCG64())

    def draw(self):
        return self.own.normal(size=2) if self.t else super().draw()


class Remembers(Sound):
    """Its first step after being made is another one than after a reset."""

    def __init__(self):
        super().__init__()
        self.age = 0

    def reward(self):
        self.age = min(self.age + 1, 100)
        return self.age / 100


class AlwaysTheSame(Sound):
    """The seed changes nothing; the actions do."""

    def draw(self):
        return np.zeros(2)

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        return obs, reward, bool(action and self.t > 5), self.t == self.limit, info


class GlobalNumpy(Sound):
    def step(self, action):
        np.random.normal()  # noqa: NPY002  the fault
        return super().step(action)


class GlobalPython(Sound):
    def step(self, action):
        random.random()
        return super().step(action)


class NeverEnds(Sound):
    limit = None

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        return obs, reward, False, False, info


class SaysTerminated(Sound):
    """Its time limit is called a termination."""

    def step(self, action):
        obs, reward, _, cut, info = super().step(action)
        return obs, reward, cut, False, info


class LargeRewards(Sound):
    def reward(self):
        return 200 * super().reward()


class SmallRewards(Sound):
    def reward(self):
        return 1e-3 * super().reward()


class Sparse(Sound):
    def reward(self):
        return 0.0


class LargeObservations(Sound):
    observation_space = spaces.Box(-2000, 2000, (2,), np.float32)

    def obs(self):
        return 1000 * super().obs()


class UnevenObservations(Sound):
    def obs(self):
        return super().obs() * np.array([1, 0.001], np.float32)


class Unbounded(Sound):
    action_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def step(self, action):
        return super().step(np.clip(action, -1, 1))


class Wide(Sound):
    action_space = spaces.Box(-2, 2, (2,), np.float32)


class FromOne(Sound):
    action_space = spaces.Discrete(2, start=1)


class Strings(Sound):
    observation_space = spaces.Text(5)


class NoPicture(Sound):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        return np.zeros((3, 4, 3))


class CannotDraw(NoPicture):
    def render(self):
        raise RuntimeError("no screen")


class Draws(NoPicture):
    def render(self):
        return np.zeros((3, 4, 3), np.uint8)


class BadInfo(Sound):
    """Its info is none of Gymnasium's."""

    def step(self, action):
        return *super().step(action)[:4], None


class TwoDifferent(Sound):
    """Nested observations and actions."""

    observation_space = spaces.Dict({"a": Sound.observation_space, "b": spaces.Tuple((spaces.Discrete(2),))})
    action_space = spaces.Dict({"go": spaces.Discrete(2), "by": spaces.Tuple((spaces.Box(-1, 1, (2,), np.float32),))})
    second = 1

    def obs(self):
        return {"a": super().obs(), "b": (np.int64(self.t % 2 * self.second),)}

    def step(self, action):
        return super().step(action["go"] + action["by"][0].sum())


class NestedOutside(TwoDifferent):
    second = 2
