"""A random walk through an environment: what it gave, recorded so that the doctor can judge it."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from rlcore.envs.base import episode_seed
from rlcore.envs.batch import complaint, structure

GLOBAL = {"NumPy's global generator": ("numpy.random", "get_state"), "Python's random": ("random", "getstate")}
KEPT = 1 << 26  # bytes of float observations that are kept, of which the scale is judged


class Episode(NamedTuple):
    """An episode that ended."""

    length: int
    total: float
    terminated: bool
    truncated: bool


@dataclass
class Walk:
    """What an environment gave in a number of random steps."""

    digests: list[bytes] = field(default_factory=list)  # of observation, reward and ends, a row each; resets too
    rewards: list[float] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    floats: dict[str, list[np.ndarray]] = field(default_factory=dict)  # float observations by their place in the space
    odd: dict[str, list[str]] = field(default_factory=dict)  # topic -> in words, each time that something was wrong
    drawn: list[str] = field(default_factory=list)  # global generators that have moved
    error: str = ""  # with which the walk ended
    at: str = ""  # where it is, in words
    last: Any = None  # observation, as it was given
    last_digest: bytes = b""

    def note(self, topic: str, words: str) -> None:
        """Keep that something was wrong here."""
        self.odd.setdefault(topic, []).append(f"{words} in {self.at}")


def walk(env: Any, steps: int, seed: int) -> Walk:
    """Take random steps, the same for all seeds; an exception of the environment ends the walk."""
    done, before = Walk(), global_states()
    try:
        _walk(env, steps, seed, done)
    except Exception as error:  # of the environment, whatever it is
        done.error = f"{done.at} raised {type(error).__name__}: {error}"
    after = global_states()
    done.drawn = [name for name in GLOBAL if before[name] != after[name]]
    return done


def _walk(env: Any, steps: int, seed: int, done: Walk) -> None:
    actions, space = deepcopy(env.action_space), env.observation_space  # a space may be shared: seeding it would show
    actions.seed(0)  # not by the seed: two walks with other seeds differ in their episodes alone
    promised, room = structure(space), KEPT
    length, total, over = 0, 0.0, True
    for _ in range(steps):
        if over:
            length, total = 0, 0.0
            done.at = f"reset() of episode {len(done.episodes)}"
            obs, _ = env.reset(seed=episode_seed(seed, len(done.episodes)))
            _look(done, space, promised, obs)
            done.digests.append(done.last_digest)
        length += 1
        done.at = f"step {length} of episode {len(done.episodes)}"
        obs, reward, terminated, truncated, _ = env.step(actions.sample())
        _look(done, space, promised, obs)
        reward, over = float(reward), bool(terminated or truncated)
        if not np.isfinite(reward):
            done.note("finite numbers", f"the reward {reward}")
        total += reward
        done.rewards.append(reward)
        done.digests.append(done.last_digest + np.array([reward, terminated, truncated]).tobytes())
        for path, array in parts(obs):
            if array.dtype.kind == "f" and room > 0:
                room -= array.nbytes
                done.floats.setdefault(path, []).append(array.ravel().copy())
        if over:
            done.episodes.append(Episode(length, total, bool(terminated), bool(truncated)))


def first_end(env: Any, most: int, seed: int) -> int | None:
    """The random step in which an episode ends, None if it does not in so many."""
    actions = deepcopy(env.action_space)
    actions.seed(seed)
    env.reset(seed=seed)
    for k in range(1, most + 1):
        _, _, terminated, truncated, _ = env.step(actions.sample())
        if terminated or truncated:
            return k
    return None


def _look(done: Walk, space: Any, promised: Any, obs: Any) -> None:
    """Note what is wrong with an observation, and whether the one before has changed since it was given."""
    if done.last is not None and digest(done.last) != done.last_digest:
        done.note("buffers", "the observation before was overwritten")
    if wrong := complaint(promised, obs):
        done.note("observations", wrong)
    elif any(array.dtype.kind == "f" and not np.isfinite(array).all() for _, array in parts(obs)):
        done.note("finite numbers", "an observation that is not finite")
    elif not space.contains(obs):
        done.note(*_outside(space, obs))
    done.last, done.last_digest = obs, digest(obs)


def _outside(space: Any, obs: Any, path: str = "") -> tuple[str, str]:
    """How an observation of the right shape is not in its space: the topic, and in words."""
    inner = getattr(space, "spaces", None)
    if inner is not None:
        for key in inner if isinstance(inner, dict) else range(len(inner)):
            if not inner[key].contains(obs[key]):
                return _outside(inner[key], obs[key], f"{path}[{key!r}]")
    array = np.asarray(obs)
    if hasattr(space, "low") and (off := np.argwhere((array < space.low) | (array > space.high))).size:
        at = tuple(off[0].tolist())
        bounds = f"[{space.low[at]}, {space.high[at]}]"
        return "observations", f"an observation{path} whose element {list(at)} is {array[at]}, outside {bounds},"
    if not np.can_cast(array.dtype, space.dtype) or (space.shape and not isinstance(obs, np.ndarray)):
        given = array.dtype if isinstance(obs, np.ndarray) else type(obs).__name__
        return "types", f"an observation{path} of type {given}, where the space says {space.dtype},"
    return "observations", f"the observation{path} {obs}, which is not in {space},"


def parts(obs: Any, path: str = "") -> list[tuple[str, np.ndarray]]:
    """The arrays of an observation, with their places in it."""
    if isinstance(obs, dict):
        return [part for k in obs for part in parts(obs[k], f"{path}[{k!r}]")]
    if isinstance(obs, tuple):
        return [part for k, value in enumerate(obs) for part in parts(value, f"{path}[{k}]")]
    return [(path, np.asarray(obs))]


def digest(obs: Any) -> bytes:
    """A hash of all bits of an observation."""
    found = hashlib.blake2b(digest_size=16)
    for path, array in parts(obs):
        found.update(f"{path} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()


def global_states() -> dict[str, bytes]:
    """Hashes of the states of the global generators, by name: read, never drawn from."""
    return {name: digest(getattr(import_module(module), get)()) for name, (module, get) in GLOBAL.items()}
