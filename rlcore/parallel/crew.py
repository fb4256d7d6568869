"""A learner's actors, as it sees them: takes their chunks, answers with weights, goes on without those that die."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from rlcore.harness.loop import Hook
from rlcore.harness.signals import Signals
from rlcore.parallel.actor import Soon
from rlcore.parallel.base import Comm, Envelope, Pending, RankLost, wait_for
from rlcore.parallel.chunk import Chunk, Layout
from rlcore.parallel.feed import Feed
from rlcore.parallel.roles import Roles
from rlcore.parallel.schedule import Recording
from rlcore.parallel.wire import BYE, CHUNK, DOWN, HEADER, HELLO, LAYOUT, STOP, UP, Header, ProtocolError, note, opened

UNRECEIVED = 2  # messages to an actor that wait to be received, at most: it takes the newest
TELL_S = 1.0  # between two reports of how quick the actors are
BACK_S = 5.0  # for one to come back when none is left; or a signal, that has ended them, to come here
LEAVE_S = 30.0  # for actors to end a step, and to say that they go


class Sender:
    """An actor, as its learner knows it."""

    def __init__(self, rank: int, index: int):
        self.rank, self.index = rank, index
        self.here = False  # it has said hello, and has not gone
        self.gone = False  # for good, or until it says hello again
        self.n = self.stream = 0  # its streams, and the number of the first
        self.chunk: Any = None
        self.number = 0  # of the chunk that comes next
        self.version = -1  # of the weights that were sent last
        self.stopping = False  # it has been told
        self.pending: list[tuple[Pending, np.ndarray]] = []
        self.rows, self.since = 0, 0.0  # since when so many rows have come


class Crew:
    """The actors of a learner: takes their chunks, answers with weights, and goes on without those that die."""

    def __init__(
        self,
        comm: Comm,
        roles: Roles,
        feed: Feed,
        hooks: Sequence[Hook] = (),
        steps: int | None = None,
        recording: Recording | None = None,
    ):
        self.comm, self.learners, self.feed, self.steps, self.recording = comm, roles.learners, feed, steps, recording
        self.senders = {rank: Sender(rank, i) for i, rank in enumerate(roles.of_learner(comm.rank))}
        self.signals = [hook for hook in hooks if isinstance(hook, Signals)]
        self.layout: Layout | None = None
        self.refused = 0  # messages
        self.soon = Soon()
        self._message, self._version = np.zeros(0, np.uint8), -1  # of the newest weights that were sent
        self._told = -math.inf
        self._lags: list[int] = []

    @property
    def left(self) -> list[Sender]:
        return [sender for sender in self.senders.values() if not sender.gone]

    # taking
    def take(self, n: int) -> list[Sender]:
        """Chunks of n actors, of all if there are fewer, in the order of the actors; none after a signal."""
        taken: dict[int, Sender] = {}
        while len(taken) < min(n, len(self.left)) or not taken:
            found = self._next(taken)
            if found is True:
                return []
            if isinstance(found, Sender):
                taken[found.rank] = found
        senders = [taken[rank] for rank in sorted(taken)]
        if self.recording is not None:
            self.recording.add([(sender.index, sender.chunk.header) for sender in senders])
        return senders

    def _next(self, taken: Collection[int]) -> Any:
        """What _look finds, waited for; True after a signal."""

        def found() -> Any:
            return self._look(taken) or any(signals.pending() for signals in self.signals)

        if self.left:
            return self.soon(found)
        try:
            return wait_for(found, BACK_S)
        except TimeoutError:
            raise RuntimeError("no actor is left: all have died or gone, and nobody acts for the learner") from None

    def _look(self, taken: Collection[int]) -> Any:
        """A sender whose chunk has come, not of those taken; something true if an actor has gone."""
        before = len(self.left)
        try:
            envelope = self.comm.probe(tag=UP)
            if envelope is not None and envelope.source in taken:
                envelope = self._others(taken)
            found = None if envelope is None else self._receive(envelope)
        except RankLost as lost:
            self._lose(lost.ranks)
            return "lost"
        return found or (len(self.left) != before and "gone")

    def _others(self, taken: Collection[int]) -> Envelope | None:
        """A message of an actor that is not taken yet, which waits behind messages of those that are."""
        for rank in [rank for rank in self.senders if rank not in taken and not self.senders[rank].gone]:
            if (envelope := self.comm.probe(rank, UP)) is not None:
                return envelope
        return None

    def _receive(self, envelope: Envelope) -> Sender | None:
        """Take a message in; the sender, if it is the next chunk."""
        source, nbytes = envelope.source, envelope.nbytes
        sender = self.senders.get(source)
        kept = sender is not None and sender.chunk is not None and nbytes <= len(sender.chunk.buffer)
        message = sender.chunk.buffer[:nbytes] if kept else np.empty(nbytes, np.uint8)  # type: ignore[union-attr]
        self.comm.receive(message, source, UP)
        try:
            if sender is None:
                raise ProtocolError(f"a message of {nbytes} bytes from rank {source}, which acts for no learner here")
            header = opened(message, source, (CHUNK, HELLO, LAYOUT, BYE))
            if header.actor != source:
                raise ProtocolError(f"a message from rank {source} that says it is from rank {header.actor}")
            if sender.gone and header.kind != HELLO:  # what the dead have left
                return None
            if header.kind == CHUNK:
                self._admit(sender, header, nbytes)
                return sender
            if header.kind == HELLO:
                self._welcome(sender, header)
            elif header.kind == LAYOUT:
                self._lay(sender, bytes(message[HEADER:]))
            else:
                self._part(sender)
        except ProtocolError as error:
            self.refused += 1
            if self.refused == 1:
                warnings.warn(f"{error}; it is dropped, and so are others like it", RuntimeWarning, stacklevel=2)
        return None

    def _admit(self, sender: Sender, header: Header, nbytes: int) -> None:
        """Take a chunk; ProtocolError unless it can be the next one."""
        feed = self.feed
        if sender.chunk is None or not sender.here:
            raise ProtocolError(f"a chunk from rank {sender.rank}, which has not said how its chunks are laid out")
        if header.number < sender.number or header.weights > feed.version:
            raise ProtocolError(
                f"chunk {header.number} from rank {sender.rank}, acted by weights {header.weights}: expected "
                f"chunk {sender.number}, and weights up to {feed.version}"
            )
        sender.chunk.admit(header, nbytes, sender.rank)
        if header.number > sender.number:  # some are lost
            feed.cut(sender.stream, sender.n)
        sender.number = header.number + 1

    def _welcome(self, sender: Sender, header: Header) -> None:
        """An actor begins, or begins again."""
        if header.n < 1 or header.steps < 1 or self.steps not in (None, header.steps):
            raise ProtocolError(
                f"rank {sender.rank} wants to send chunks of {header.steps} steps of {header.n} streams; the learner "
                f"takes {self.steps or 'some'} steps"
            )
        self._forget(sender)
        sender.here, sender.gone, sender.chunk, sender.number, sender.n = True, False, None, 0, header.n
        sender.stream, sender.version = sender.index * header.n, -1
        sender.rows, sender.since, sender.stopping = 0, time.monotonic(), False
        self.feed.cut(sender.stream, sender.n)
        if self.recording is not None:
            self.recording.hello(sender.index)
        self.answer(sender)

    def _lay(self, sender: Sender, words: bytes) -> None:
        """Make room for an actor's chunks, which are laid out like those of the others."""
        if not sender.here:
            raise ProtocolError(f"a layout from rank {sender.rank}, which has not said hello")
        try:
            layout = Layout.read(words)
        except ValueError as error:
            raise ProtocolError(f"rank {sender.rank} sent {error}") from None
        if self.layout is None:
            if layout.n != sender.n or self.steps not in (None, layout.steps):
                raise ProtocolError(f"rank {sender.rank} sent a layout of {layout.steps} steps of {layout.n} streams")
            self.layout = layout
        elif layout != self.layout:
            raise ValueError(
                f"the actor of rank {sender.rank} sends chunks of {layout.words().decode()}, others of "
                f"{self.layout.words().decode()}: all ranks need the same agent and environment, and as many of it"
            )
        sender.chunk = Chunk(self.layout)

    def _part(self, sender: Sender) -> None:
        """An actor goes."""
        sender.here, sender.gone = False, True
        self._stop(sender)

    def _lose(self, ranks: Collection[int]) -> None:
        """Go on without the dead; RankLost if one of them is a learner."""
        if learners := [rank for rank in ranks if rank < self.learners]:
            raise RankLost(learners)
        new = [sender for sender in self.left if sender.rank in ranks]
        for sender in new:
            sender.here, sender.gone = False, True
            self._forget(sender)
        if new:
            names = ", ".join(str(sender.rank) for sender in new)
            warnings.warn(f"lost the actor of rank {names}; {len(self.left)} are left", RuntimeWarning, stacklevel=2)

    # answering
    def answer(self, sender: Sender) -> None:
        """Send the weights to an actor, if they have changed since, and it is not behind with receiving them."""
        feed = self.feed
        if not sender.here or sender.version == feed.version or self._waiting(sender) >= UNRECEIVED:
            return
        if self._version != feed.version:
            self._message, self._version = feed.weights(self.comm.rank), feed.version
        sender.version = feed.version
        self._send(sender, self._message)

    def _waiting(self, sender: Sender) -> int:
        """How many messages to an actor it has not received."""
        try:
            sender.pending = [(sent, message) for sent, message in sender.pending if not sent.done()]
        except RankLost as lost:
            self._lose({sender.rank, *lost.ranks})
        return len(sender.pending)

    def _send(self, sender: Sender, message: np.ndarray) -> None:
        try:
            sender.pending.append((self.comm.send(message, sender.rank, DOWN), message))
        except RankLost as lost:
            self._lose({sender.rank, *lost.ranks})

    def _forget(self, sender: Sender) -> None:
        """Drop what an actor has not received."""
        for sent, _ in sender.pending:
            sent.drop()
        sender.pending = []

    def told(self, taken: Sequence[Sender]) -> dict[str, float]:
        """What to record of the chunks taken, now and then."""
        now, version = time.monotonic(), self.feed.version
        for sender in taken:
            sender.rows += sender.n * sender.chunk.layout.steps
            self._lags.append(version - sender.chunk.header.weights)
        if now < self._told + TELL_S:
            return {}
        self._told = now
        told = {"parallel/policy_lag": sum(self._lags) / len(self._lags), "parallel/queue": float(self._queue())}
        self._lags = []
        for sender in [sender for sender in self.senders.values() if sender.here]:
            told[f"parallel/actor_fps/{sender.index}"] = sender.rows / max(now - sender.since, 1e-9)
            sender.rows, sender.since = 0, now
        if self.refused:
            told["faults/message"] = float(self.refused)
        return told

    def _queue(self) -> int:
        """How many actors have a message that waits."""
        n = 0
        for sender in self.left:
            try:
                n += self.comm.probe(sender.rank, UP) is not None
            except RankLost as lost:
                self._lose({sender.rank, *lost.ranks})
        return n

    # ending
    def stop(self) -> None:
        """Tell the actors to end, and wait until they have."""
        try:
            wait_for(self._ended, LEAVE_S)
        except TimeoutError:
            names = ", ".join(str(sender.rank) for sender in self.left)
            warnings.warn(f"the actors of rank {names} have not ended {LEAVE_S:g} s after they were told", stacklevel=2)
        for sender in self.senders.values():
            self._forget(sender)

    def _stop(self, sender: Sender) -> None:
        if not sender.stopping:
            sender.stopping = True
            self._send(sender, note(Header(STOP, self.comm.rank)))

    def _ended(self) -> bool:
        """Take in what comes, of which nothing is learned; whether all actors have gone with all they were sent."""
        for sender in self.left:
            self._stop(sender)
        while self._look(()):
            pass
        return not self.left and not any(self._waiting(sender) for sender in self.senders.values())
