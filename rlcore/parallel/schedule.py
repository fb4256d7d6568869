"""In which order an asynchronous run has learned from its actors, and the same run again, in one process."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from rlcore.agents.base import Agent
from rlcore.agents.on_policy import OnPolicy
from rlcore.envs.base import VectorEnv
from rlcore.harness.loop import Hook, train
from rlcore.parallel.actor import RemoteAgent, prepare
from rlcore.parallel.base import ANY, Alone, Envelope, Pending
from rlcore.parallel.chunk import Chunk, Layout, side_by_side
from rlcore.parallel.feed import Feed
from rlcore.parallel.roles import Roles
from rlcore.parallel.wire import CHUNK, HEADER, LAYOUT, Header, opened
from rlcore.stream import Step

FORMAT = 1


class Recording:
    """Writes the order of a run into a file of JSON lines, which is begun anew.

    They are {"format", "t", "version", "actors"}, then {"hello": actor}, {"round": [[actor, number of its chunk,
    version of the weights that acted], ...]} of what was learned from together, and in the end {"end": t}: not after an
    error, which comes again when the run does.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file: TextIO | None = None

    def begin(self, t: int, version: int, actors: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", encoding="utf-8")
        self._write({"format": FORMAT, "t": t, "version": version, "actors": actors})

    def hello(self, actor: int) -> None:
        """An actor begins, or begins again."""
        self._write({"hello": actor})

    def add(self, chunks: Sequence[tuple[int, Header]]) -> None:
        """What is learned from together: actors and their chunks."""
        self._write({"round": [[actor, head.number, head.weights] for actor, head in chunks]})

    def end(self, t: int) -> None:
        self._write({"end": t})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")


class Received(Pending):
    """A message that has been received."""

    def done(self) -> bool:
        return True

    def drop(self) -> None:
        pass


class Script(Alone):
    """What an actor takes for a learner: keeps what it is sent, and has for the actor what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[np.ndarray] = []
        self.waiting: list[np.ndarray] = []

    def send(self, array: Any, dest: int, tag: int = 0) -> Pending:
        self.sent.append(array)
        return Received()

    def probe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        return Envelope(source, tag, self.waiting[0].nbytes) if self.waiting else None

    def receive(self, out: Any, source: int, tag: int) -> Any:
        out[...] = self.waiting.pop(0)
        return out


class Again:
    """An actor that acts again, chunk by chunk."""

    def __init__(self, agent: Agent, env: VectorEnv, index: int, actors: int, epsilons: bool, steps: int | None):
        self.env, self.script, self.t = env, Script(), 0
        roles = Roles(index + 1, actors + 1)
        prepare(agent, env, index, actors, epsilons)
        self.remote = RemoteAgent(agent, self.script, roles, steps)
        self.chunk: Any = None
        self.version: int | None = None

    def act(self, version: int, weights: np.ndarray) -> Chunk:
        """The next chunk, acted by weights."""
        script = self.script
        if version != self.version:
            script.waiting.append(weights)
            self.version = version
        script.sent.clear()
        self.t = train(self.remote, self.env, sys.maxsize, [self._done], self.t)  # type: ignore[arg-type]
        for message in script.sent:
            header = opened(message, self.remote.rank, range(256))
            if header.kind == LAYOUT:
                self.chunk = Chunk(Layout.read(bytes(message[HEADER:])))
            elif header.kind == CHUNK:
                self.chunk.buffer[: len(message)] = message
                self.chunk.admit(header, len(message), self.remote.rank)
        return self.chunk

    def _done(self, t: int, step: Step, stats: dict[str, Any]) -> bool:
        return not self.remote.k


def replay(
    path: str | Path,
    agent: Agent,
    make_actor: Callable[[int], tuple[Agent, VectorEnv]],
    hooks: Sequence[Hook] = (),
    steps: int | None = None,
    epsilons: bool = True,
) -> int:
    """Run again what a `Recording` is of, bit for bit; gives the row reached.

    agent: as it was when the run began. make_actor: gives agent and environment of actor 0, 1, ... as they were, each
    time that it says hello. steps, epsilons: those of `act`. ValueError if a chunk was lost: what it held is not known.
    """
    head, *lines = _read(path)
    rounds = [line["round"] for line in lines if "round" in line]
    uses = Counter(version for chunks in rounds for _, _, version in chunks)
    end = next((line["end"] for line in lines if "end" in line), sys.maxsize)
    feed = Feed(agent, end, hooks, head["t"])
    if feed.version != head["version"]:
        raise ValueError(
            f"replay: the agent has made {feed.version} updates, at the start of the run {head['version']}"
        )
    weights = {feed.version: feed.weights(0)}
    actors: dict[int, Again] = {}
    for line in lines:
        if "hello" in line:
            i = line["hello"]
            actors[i] = Again(*make_actor(i), i, head["actors"], epsilons, steps)
            feed.cut(i * actors[i].env.n_envs, actors[i].env.n_envs)
        elif "round" in line:
            chunks = []
            for i, number, version in line["round"]:
                if number != actors[i].remote.number:
                    raise ValueError(f"replay: chunk {actors[i].remote.number} of actor {i} was lost in {path}")
                chunks.append(actors[i].act(version, weights[version]))
                uses[version] -= 1
            stream = 0 if isinstance(agent, OnPolicy) else i * actors[i].env.n_envs
            feed(side_by_side(chunks), stream)
            if uses[feed.version] and feed.version not in weights:
                weights[feed.version] = feed.weights(0)
            weights = {version: message for version, message in weights.items() if uses[version]}
    return feed.t


def _read(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a recording; ValueError if it is none."""
    try:
        lines = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
        sound = lines[0]["format"] == FORMAT and all(isinstance(line, dict) for line in lines)
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"replay: {path} is no recording of a run ({type(error).__name__}: {error})") from None
    if not sound:
        raise ValueError(f"replay: {path} is a recording of format {lines[0]['format']}, expected {FORMAT}")
    return lines
