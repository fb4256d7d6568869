"""FrameStack: the newest k observations as one."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.envs.wrappers.observations import MASK
from rlcore.stream import Step
from rlcore.tree import Tree, map_, put

STACKS = 4  # stacks side by side in a strip


class FrameStack(Wrapper):
    """The newest k observations along a new axis: (H, W) becomes (k, H, W), newest last, as Gymnasium stacks them.

    The first observation of an episode is repeated. An action mask, the key "action_mask" of a Dict, is not stacked.

    A strip holds the frames of each stream one after the other, and a stack is a window on it: the stacks of successive
    steps share their frames in memory, and a step writes one frame. When a strip is full, or an episode begins, the
    window goes on in the next strip; there are three, so that the arrays of a Step hold as long as they must.
    """

    def __init__(self, env: VectorEnv, k: int):
        super().__init__(env, k=index(k))
        if k < 1:
            raise ValueError(f"FrameStack: k must be at least 1, got {k}")
        self.k: int = self.settings["k"]
        space = env.observation_space
        self._masked = isinstance(space, spaces.Dict) and MASK in space.spaces
        if self._masked:
            stacked = {name: part if name == MASK else batch_space(part, k) for name, part in space.spaces.items()}
            self.observation_space = spaces.Dict(stacked)
        else:
            self.observation_space = batch_space(space, k)
        self._strips: list[Tree] = []
        self._turn = self._at = 0  # the strip of the window, and where in it the window begins

    def first(self, obs: Any) -> Any:
        frames, mask = self._frames(obs)
        self._lay(map_(lambda frame: np.repeat(frame[:, None], self.k, 1), frames))
        return self._window(mask)

    def after(self, step: Step) -> Step:
        obs, reward, terminated, truncated, final_obs, valid, info = step
        frames, mask = self._frames(final_obs)
        self._push(frames)
        final = now = self._window(mask)
        over = ~valid
        if final_obs is not obs:
            over |= terminated | truncated
        if over.any():
            frames, mask = self._frames(obs)
            self._begin(over, frames)
            now = self._window(mask)
            if final_obs is obs:
                final = now
        return Step(now, reward, terminated, truncated, final, valid, info)

    def _frames(self, obs: Any) -> tuple[Tree, np.ndarray | None]:
        """What is stacked, and the mask, which is not."""
        if not self._masked:
            return obs, None
        return {name: part for name, part in obs.items() if name != MASK}, obs[MASK]

    def _window(self, mask: np.ndarray | None) -> Any:
        strip, where = self._strips[self._turn], slice(self._at, self._at + self.k)
        if type(strip) is np.ndarray:  # nearly always
            return strip[:, where]
        window = map_(lambda strip: strip[:, where], strip)
        return window if mask is None else {**window, MASK: mask}

    def _lay(self, stacks: Tree) -> None:
        """New strips that begin with these stacks (N, k, ...); what was given out is let go."""
        n, length = self.n_envs, STACKS * self.k
        self._strips = [map_(lambda a: np.zeros((n, length, *a.shape[2:]), a.dtype), stacks) for _ in range(3)]
        self._turn = self._at = 0
        put(self._strips[0], np.s_[:, : self.k], stacks)

    def _push(self, frames: Tree) -> None:
        """Move the window on by one frame."""
        if self._at == (STACKS - 1) * self.k:  # the strip is full
            self._go_on(1)
        else:
            self._at += 1
        put(self._strips[self._turn], np.s_[:, self._at + self.k - 1], frames)

    def _begin(self, over: np.ndarray, frames: Tree) -> None:
        """Fill the stacks of some streams with first frames: in the next strip, for the window is in use."""
        self._go_on(0)
        put(self._strips[self._turn], (over, slice(self.k)), map_(lambda frame: frame[over][:, None], frames))

    def _go_on(self, skip: int) -> None:
        """Copy the window, less its oldest `skip` frames, to the beginning of the next strip."""
        kept = map_(lambda strip: strip[:, self._at + skip : self._at + self.k], self._strips[self._turn])
        self._turn, self._at = (self._turn + 1) % 3, 0
        put(self._strips[self._turn], np.s_[:, : self.k - skip], kept)

    def load_own(self, state: dict[str, Any]) -> None:
        if self.obs is not None:
            stacks, mask = self._frames(self.obs)
            self._lay(stacks)
            self.obs = self._window(mask)

    def exported(self) -> dict[str, Any]:
        return {"kind": "frame_stack", "k": self.k, "masked": self._masked}
