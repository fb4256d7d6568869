"""Atari games by ale_py, played by the protocol of DQN or by that of Machado et al."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.wrappers import RecordEpisodeStatistics

from rlcore.envs.base import VectorEnv
from rlcore.envs.foreign import ForeignEnv
from rlcore.envs.wrappers.rewards import SignReward
from rlcore.fields import Count, Fraction, Natural, check_fields

FPS = 60  # of the console


@dataclass(frozen=True)
class Protocol:
    """How a game is played; what the learner sees are (stack, size, size) uint8 frames, zeros before the first one."""

    noop_max: Natural  # a game begins with 1 to so many frames of no-ops; 0: none
    fire: bool  # after these FIRE is held for one action, in games that have it
    life_loss: bool  # a lost life ends the episode, but not the game
    sign_reward: bool  # rewards are -1, 0 or 1
    sticky: Fraction  # probability, below 1, in each frame, that the action before is taken again
    full_action_space: bool = False  # all 18 actions of the joystick instead of those that matter in the game
    frame_skip: Count = 4  # frames for which an action is held; of the last two the larger value of each pixel is seen
    max_frames: Count = 108_000  # after which a game is truncated: half an hour
    size: Count = 84  # pixels of a frame's sides
    stack: Count = 4  # frames in an observation

    def __post_init__(self) -> None:
        check_fields(self)
        if self.sticky == 1:
            raise ValueError(f"sticky must be within [0, 1), got {self.sticky}")


PROTOCOLS = {
    # Mnih et al. 2015, methods and extended data table 1; FIRE is OpenAI Baselines', the paper's agents press it
    # themselves, as ours do after a lost life: an evaluation plays whole games and meets that moment, too
    "dqn": Protocol(noop_max=30, fire=True, life_loss=True, sign_reward=True, sticky=0.0),
    # Machado et al. 2018, but with 4 frames an action for the paper's 5, and the game's own actions for all 18, as in
    # Dopamine and in ALE's v5; agents are compared by raw scores, and trained on signs
    "machado": Protocol(noop_max=0, fire=False, life_loss=False, sign_reward=True, sticky=0.25),
}


@dataclass(frozen=True)
class Atari:
    """Gives a Gymnasium environment of one game at each call, of which SerialEnv and ProcessEnv seed only the first."""

    game: str  # as ale_py names it: ms_pacman
    protocol: Protocol
    reseed: ClassVar[Literal["once"]] = "once"  # a seeded reset of ALE costs 0.1 s, a plain one 5 ms

    def __call__(self, render_mode: str = "rgb_array") -> gymnasium.Env[Any, Any]:
        register_atari()
        p = self.protocol
        env = gymnasium.make(
            f"ALE/{self.game.title().replace('_', '')}-v5",
            obs_type="grayscale",
            frameskip=1,
            repeat_action_probability=0.0,
            full_action_space=p.full_action_space,
            max_num_frames_per_episode=p.max_frames,
            render_mode=render_mode,
            disable_env_checker=True,
        )
        return played(env, p)

    @property
    def evaluation(self) -> Atari:
        """The same with whole games and raw rewards."""
        return replace(self, protocol=replace(self.protocol, life_loss=False, sign_reward=False))


def atari(game: str, protocol: str = "dqn", *, evaluation: bool = False, **changes: Any) -> Atari:
    """A game for SerialEnv or ProcessEnv, by its name or an id; protocol is one of PROTOCOLS, changes its fields."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"atari: protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    fields = Protocol.__dataclass_fields__
    for name in changes:
        if name not in fields:
            near = get_close_matches(name, fields, n=3, cutoff=0.5) or list(fields)
            raise ValueError(f"atari: a protocol has no {name!r}; did you mean {', '.join(near)}?")
    make = Atari(rom(game), replace(PROTOCOLS[protocol], **changes))
    return make.evaluation if evaluation else make


def atari_vector(
    game: str,
    n_envs: int,
    seed: int = 0,
    protocol: str = "dqn",
    *,
    evaluation: bool = False,
    reseed: Literal["episode", "once"] = "once",
    threads: int = 0,
    **changes: Any,
) -> VectorEnv:
    """n_envs games by ale_py's own vector environment, the fastest way to several of them.

    With reseed "episode", which costs 0.1 s a game, it resumes exactly; with "once" running games are lost. threads: of
    the emulators, 0 for as many as there are cores. The frames are those of `atari` but for three things: FIRE is held
    for one frame, before the no-ops, and counts as one of them; no-ops and sticky actions are drawn by generators of
    C++; and the frame in which a game ends is not seen, the one before is seen again.
    """
    make = atari(game, protocol, evaluation=evaluation, **changes)
    p = make.protocol
    env = register_atari().AtariVectorEnv(
        make.game,
        n_envs,
        num_threads=threads,
        max_num_frames_per_episode=p.max_frames,
        repeat_action_probability=p.sticky,
        full_action_space=p.full_action_space,
        img_height=p.size,
        img_width=p.size,
        stack_num=p.stack,
        frameskip=p.frame_skip,
        noop_max=p.noop_max,
        use_fire_reset=p.fire,
        reward_clipping=False,  # so that whole games are counted by raw rewards
        life_loss_info=p.life_loss,  # episodic_life would begin a new game after each lost life
    )
    games = ForeignEnv(env, seed, reseed)
    return SignReward(games) if p.sign_reward else games


def rom(game: str) -> str:
    """The name that ale_py has for a game: ms_pacman for MsPacman, ALE/MsPacman-v5 or MsPacmanNoFrameskip-v4."""
    register_atari()
    games = [spec.kwargs["game"] for spec in gymnasium.registry.values() if spec.namespace == "ALE"]
    known = {name.replace("_", ""): name for name in games}
    asked = re.sub(r"^ALE/|(NoFrameskip|Deterministic)?-v\d+$", "", game).replace("_", "").lower()
    if asked not in known:
        near = ", ".join(known[name] for name in get_close_matches(asked, known, n=3))
        raise ValueError(f"unknown Atari game {game!r}" + (f"; did you mean {near}?" if near else ""))
    return known[asked]


def register_atari() -> Any:
    """Tell Gymnasium of the ids ALE/...; gives ale_py."""
    try:
        import ale_py
    except ImportError:
        raise ImportError('Atari games need ale_py: pip install "rlcore[atari]"') from None
    gymnasium.register_envs(ale_py)
    return ale_py


def played(env: gymnasium.Env[Any, Any], protocol: Protocol) -> gymnasium.Env[Any, Any]:
    """A game of single grey frames by a protocol; games are counted whole and with raw rewards."""
    env = Sticky(env, protocol.sticky) if protocol.sticky else env
    env = RecordEpisodeStatistics(Frames(env, protocol), buffer_length=1)
    env = LifeLoss(env) if protocol.life_loss else env
    return Signs(env) if protocol.sign_reward else env


class Sticky(gymnasium.Wrapper[np.ndarray, int, np.ndarray, int]):
    """In each frame the action of the one before is taken again with a probability (Machado et al. 2018, section 5).

    ALE can do that, too, but which action it would repeat is not in the state that it gives.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, int], probability: float):
        super().__init__(env)
        self._probability = probability
        self._action = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self._action = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: int) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        if self.unwrapped.np_random.random() >= self._probability:
            self._action = action
        return self.env.step(self._action)


class Frames(gymnasium.Wrapper[np.ndarray, int, np.ndarray, int]):
    """What the learner sees of a game that gives single grey frames: skipped, pooled, resized and stacked."""

    def __init__(self, env: gymnasium.Env[np.ndarray, int], protocol: Protocol):
        super().__init__(env)
        try:
            import cv2
        except ImportError:
            raise ImportError('Atari games need OpenCV: pip install "rlcore[atari]"') from None
        self._resize, self._how = cv2.resize, cv2.INTER_AREA
        p = self._protocol = protocol
        self._size = (p.size, p.size)
        meanings = env.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
        self._fire = meanings.index("FIRE") if p.fire and "FIRE" in meanings else None
        self.observation_space = gymnasium.spaces.Box(0, 255, (p.stack, *self._size), np.uint8)
        self._obs = np.zeros((p.stack, *self._size), np.uint8)
        self.metadata = {**env.metadata, "render_fps": FPS / p.frame_skip}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        p = self._protocol
        frame, info = self.env.reset(seed=seed, options=options)
        noops = self.unwrapped.np_random.integers(1, p.noop_max + 1) if p.noop_max else 0
        held = [self._fire] * p.frame_skip if self._fire is not None else []
        for action in [0] * int(noops) + held:
            frame, _, over, cut, info = self.env.step(action)
            if over or cut:
                frame, info = self.env.reset(options=options)
        self._obs = np.zeros_like(self._obs)
        return self._stacked(frame), info

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        frame, reward, over, cut, info = self.env.step(action)
        total, before = float(reward), frame
        for _ in range(self._protocol.frame_skip - 1):
            if over or cut:
                break
            before = frame
            frame, reward, over, cut, info = self.env.step(action)
            total += float(reward)
        return self._stacked(np.maximum(frame, before)), total, over, cut, info

    def _stacked(self, frame: Any) -> np.ndarray:
        obs = np.empty_like(self._obs)
        obs[:-1] = self._obs[1:]
        obs[-1] = self._resize(frame, self._size, interpolation=self._how)
        self._obs = obs
        return obs


class LifeLoss(gymnasium.Wrapper[np.ndarray, int, np.ndarray, int]):
    """A lost life ends the episode; a reset then goes on with the game, from the observation that ended it.

    A reset with a seed begins a new game at any time.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, int]):
        super().__init__(env)
        self._lives = 0
        self._playing = False  # the last step cost a life and not the game
        self._obs: np.ndarray | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if self._playing and seed is None and self._obs is not None:
            self._playing = False
            return self._obs, {"lives": self._lives}
        obs, info = self.env.reset(seed=seed, options=options)
        self._lives, self._playing = info["lives"], False
        return obs, info

    def step(self, action: int) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        obs, reward, over, cut, info = self.env.step(action)
        lives = info["lives"]
        # in Qbert 0 lives are left for some frames before the game is over
        self._playing = 0 < lives < self._lives and not (over or cut)
        self._lives, self._obs = lives, obs
        return obs, reward, over or self._playing, cut, info


class Signs(gymnasium.RewardWrapper[np.ndarray, int]):
    """Rewards as -1, 0 and 1."""

    def reward(self, reward: Any) -> float:
        return float(np.sign(reward))


__all__ = ["Atari", "PROTOCOLS", "Protocol", "atari", "atari_vector"]
