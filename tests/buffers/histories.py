"""What replays are tested with: rows told in a line, plain lists of episodes as an oracle, histories of streams."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from rlcore.buffers import Replay
from rlcore.stream import Step

COLUMNS = {"obs": ((2,), np.float32), "action": ((), np.int64)}
GO, TERMINATE, TRUNCATE, INVALID = range(4)


def pair(number: float) -> list[float]:
    return [number, -number]


def add(
    buffer: Replay, obs: list, events: list, after: list, reward: list, action: Any = None, stream: int = 0
) -> None:
    """One row a stream: obs, what happened, the observation that came of it; a reset shows 1000 more than that."""
    n, ended = len(obs), np.isin(events, (TERMINATE, TRUNCATE))
    final = np.array([pair(x) for x in after], np.float32)
    step = Step(
        obs=final + 1000 * ended[:, None] if ended.any() else final,
        reward=np.array(reward, np.float32),
        terminated=np.equal(events, TERMINATE),
        truncated=np.equal(events, TRUNCATE),
        final_obs=final,
        valid=np.not_equal(events, INVALID),
        info={},
    )
    buffer.add(np.array([pair(x) for x in obs], np.float32), np.array(action or [0] * n), step, stream=stream)


def episode(buffer: Replay, first: int, rewards: list[float], end: int = GO, stream: int = 0) -> None:
    """Observations first, first + 1, ...; the last row ends the way it is told."""
    for i, reward in enumerate(rewards):
        event = end if i == len(rewards) - 1 else GO
        add(buffer, [first + i], [event], [first + i + 1], [reward], stream=stream)


class Transition(NamedTuple):
    obs: float
    action: int
    reward: float
    next_obs: float
    discount: float


def drawn(buffer: Replay, n: int = 500) -> dict[int, Transition]:
    """All that can be drawn, by row; a draw of many a row leaves none out."""
    batch = buffer.sample(n)
    for name in ("obs", "next_obs"):
        assert (batch[name][:, 0] == -batch[name][:, 1]).all()
    columns = (batch["obs"][:, 0], batch["action"], batch["reward"], batch["next_obs"][:, 0], batch["discount"])
    found: dict[int, Transition] = {}
    for row, *values in zip(batch["row"].tolist(), *(column.tolist() for column in columns), strict=True):
        assert found.setdefault(row, Transition(*values)) == Transition(*values)
    return found


class Episodes:
    """What is in a replay, as lists: per piece of a stream its rows and, where known, the observation after them."""

    def __init__(self) -> None:
        self.pieces: list[dict[str, Any]] = []
        self.open: dict[int, dict[str, Any]] = {}
        self.row = 0

    def add(self, obs: list, events: list, after: list, reward: list, action: list, stream: int) -> None:
        ended = 0
        for i, event in enumerate(events):
            piece = self.open.pop(stream + i, None)
            if event == INVALID:
                if piece is not None:
                    piece["last"] = obs[i]
                    self.row += 1
                continue
            if piece is None:
                piece = {"rows": [], "last": None, "end": GO}
                self.pieces.append(piece)
            piece["rows"].append((self.row, obs[i], action[i], reward[i]))
            self.row += 1
            if event == GO:
                self.open[stream + i] = piece
            else:
                piece["last"], piece["end"] = after[i], event
                ended += 1
        self.row += ended

    def transitions(self, capacity: int, n_step: int, gamma: float) -> dict[int, Transition]:
        found = {}
        for piece in self.pieces:
            rows, end = piece["rows"], piece["end"]
            observations = [obs for _, obs, _, _ in rows] + ([] if piece["last"] is None else [piece["last"]])
            for k in range(len(observations) - 1):
                stop = min(k + n_step, len(observations) - 1)
                reward = sum(gamma ** (j - k) * rows[j][3] for j in range(k, stop))
                over = end == TERMINATE and stop == len(rows)
                row, obs, action, _ = rows[k]
                if row >= self.row - capacity:
                    discount = 0 if over else gamma ** (stop - k)
                    found[row] = Transition(obs, action, reward, observations[stop], discount)
        return found


@st.composite
def histories(draw):
    """Blocks of 1 to 5 streams: (first stream, events), streams that fall silent included."""
    streams = draw(st.integers(1, 5))
    capacity = draw(st.integers(2 * streams, 24))
    blocks = []
    for _ in range(draw(st.integers(1, 40))):
        first = draw(st.integers(0, streams - 1))
        n = draw(st.integers(1, streams - first))
        event = st.sampled_from((GO, GO, GO, TERMINATE, TRUNCATE, INVALID))
        blocks.append((first, draw(st.lists(event, min_size=n, max_size=n))))
    return capacity, blocks


class World:
    """Streams of observations that never repeat; each row's observation is what the row before it led to."""

    def __init__(self) -> None:
        self.count = 0
        self.now: dict[int, int] = {}

    def fresh(self) -> int:
        self.count += 1
        return self.count

    def block(self, stream: int, events: list) -> tuple:
        """Arguments of `add`: obs, events, after, reward, action, stream."""
        streams = range(stream, stream + len(events))
        obs = [self.now.get(i) or self.fresh() for i in streams]
        after = [self.fresh() for _ in events]
        for i, event, x in zip(streams, events, after, strict=True):
            self.now[i] = x + 1000 if event in (TERMINATE, TRUNCATE) else x
        reward = [float(x % 7) for x in after]
        return obs, events, after, reward, [x % 5 for x in after], stream
