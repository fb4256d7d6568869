"""A communicator made of letters: what ranks in threads or processes of one machine put into each other's boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import Condition
from typing import Any, NamedTuple

import numpy as np

from rlcore.backend import to_cpu, xp_of
from rlcore.parallel.base import ANY, Comm, Envelope, Pending, RankLost, bytes_of

MESSAGE, RECEIVED, SHARE, REFUSAL, LEAVE = range(5)  # kinds: of a send, its receipt, of a collective call, at the end


class Letter(NamedTuple):
    """What one rank puts into another's box."""

    kind: int
    source: int  # ranks of the world
    context: int = 0  # the communicator's
    tag: int = 0
    number: int = 0  # of a message among those of its sender
    words: str = ""  # of a collective call: which; of a refusal: why
    data: Any = b""


class Box:
    """Where a rank's letters lie until it takes them; who is dead and who has left."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.letters: list[Letter] = []
        self.received: set[int] = set()  # numbers of own messages that have been received and not yet asked for
        self.dead: set[int] = set()
        self.left: set[int] = set()  # in good order
        self.told: set[tuple[int, int]] = set()  # (context, rank) of the dead that have been reported
        self.ended = False  # all are to end

    def put(self, letter: Letter) -> None:
        with self.changed:
            if letter.kind == RECEIVED:
                self.received.add(letter.number)
            elif letter.kind == LEAVE:
                self.left.add(letter.source)
            else:
                self.letters.append(letter)
            self.changed.notify_all()

    def lose(self, rank: int, end: bool = False) -> None:
        """A rank has died; end: and so all are to end."""
        with self.changed:
            if rank not in self.left:
                self.dead.add(rank)
            self.ended |= end and bool(self.dead)
            self.changed.notify_all()

    def find(self, kinds: tuple[int, ...], context: int, source: int, tag: int) -> int | None:
        """The place of the first letter of these; ANY source or tag."""
        for i, letter in enumerate(self.letters):
            if letter.kind in kinds and letter.context == context:
                if source in (ANY, letter.source) and tag in (ANY, letter.tag):
                    return i
        return None


class Post(ABC):
    """How a rank's letters get into the boxes of others."""

    rank: int
    size: int
    box: Box

    @abstractmethod
    def put(self, dest: int, letter: Letter) -> None:
        """Into the box of rank dest of the world; nothing happens if it is dead."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size, self.box, self.numbers = rank, size, Box(), 0


class Sent(Pending):
    """A message in somebody's box."""

    def __init__(self, comm: LocalComm, dest: int, number: int, array: Any):
        self.comm, self.dest, self.number, self.array = comm, dest, number, array

    def done(self) -> bool:
        if self.array is None:
            return True
        box = self.comm.post.box
        with box.changed:
            if self.number in box.received:
                box.received.remove(self.number)
                self.array = None
                return True
            if self.dest in box.dead or self.dest in box.left or box.ended:
                raise self.comm.lost({self.dest})
        return False

    def drop(self) -> None:
        self.array = None


class LocalComm(Comm):
    """Ranks of one machine; rank 0 combines what all bring to a collective call, in order of rank."""

    def __init__(self, post: Post, members: Sequence[int], context: int = 0, origin: int = 0):
        self.post, self.members, self.context, self.origin = post, tuple(members), context, origin
        self.rank = self.local_rank = self.members.index(post.rank)
        self.size = self.local_size = len(self.members)
        self.splits = 0

    @property
    def failed(self) -> set[int]:  # type: ignore[override]
        return {rank for rank, member in enumerate(self.members) if member in self.post.box.dead}

    def lost(self, members: set[int]) -> RankLost:
        """The error that tells of members of the world who have died or left."""
        return RankLost(self.members.index(member) for member in members.intersection(self.members))

    def sum_(self, array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return self.devices.sum_(array)
        return self._together("sum_", array, _added)

    def max_(self, array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return self.devices.max_(array)
        return self._together("max_", array, lambda parts: np.max(parts, 0))

    def bcast_(self, array: Any, root: int = 0) -> Any:
        self._check_rank("bcast_", "root", root)
        if not isinstance(array, np.ndarray):
            return self.devices.bcast_(array, root)
        return self._together(f"bcast_ from rank {root}", array, lambda parts: parts[root])

    def allgather(self, array: Any) -> Any:
        if not isinstance(array, (np.ndarray, np.generic)):
            return self.devices.allgather(array)
        array = np.asarray(array)
        return self._share("allgather", array.ravel(), np.concatenate).reshape(self.size, *array.shape)

    def alltoall(self, array: Any) -> Any:
        self._check_parts(array)
        if not isinstance(array, np.ndarray):
            return self.devices.alltoall(array)
        return self.allgather(array)[:, self.rank]

    def barrier(self) -> None:
        self._share("barrier", np.empty(0, np.int8), np.concatenate)

    def split(self, color: int) -> Comm | None:
        colors = self.allgather(np.int64(color))
        self.splits += 1
        members = [member for member, theirs in zip(self.members, colors.tolist()) if theirs == color]
        context = _context(self.context, f"split {self.splits} {color}")
        return LocalComm(self.post, members, context, context) if color >= 0 else None

    def shrink(self) -> Comm:
        comm = self
        while True:
            gone = self.post.box.dead | self.post.box.left
            members = [member for member in self.members if member not in gone]
            if members != list(comm.members):  # named after those left, not after `self`: some may have shrunk before
                comm = LocalComm(self.post, members, _context(self.origin, f"shrink {members}"), self.origin)
            try:
                comm.barrier()
                return comm
            except RankLost:
                if self.post.box.ended or not (self.post.box.dead | self.post.box.left).intersection(comm.members):
                    raise  # else one more is gone

    def send(self, array: Any, dest: int, tag: int = 0) -> Pending:
        self._check_rank("send", "dest", dest)
        if tag < 0:
            raise ValueError(f"send: a tag is at least 0, got {tag}")
        post, member = self.post, self.members[dest]
        if member in post.box.dead or member in post.box.left or post.box.ended:
            raise self.lost({member})
        post.numbers += 1
        data: Any = bytes_of(np.ascontiguousarray(to_cpu(array)))
        post.put(member, Letter(MESSAGE, post.rank, self.context, tag, post.numbers, data=memoryview(data)))
        return Sent(self, member, post.numbers, array)

    def probe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        box = self.post.box
        with box.changed:
            place = self._place((MESSAGE,), source, tag)
            if place is None:
                return None
            letter = box.letters[place]
        return Envelope(self.members.index(letter.source), letter.tag, len(letter.data))

    def receive(self, out: Any, source: int, tag: int) -> Any:
        box = self.post.box
        with box.changed:
            while (place := self._place((MESSAGE,), source, tag)) is None:
                box.changed.wait()
            letter = box.letters[place]
            if len(letter.data) != out.nbytes:
                rank = self.members.index(letter.source)
                raise ValueError(
                    f"receive: the message of rank {rank} with tag {letter.tag} has {len(letter.data)} bytes, "
                    f"expected {out.nbytes}"
                )
            del box.letters[place]
        out[...] = xp_of(out).asarray(np.frombuffer(letter.data, out.dtype).reshape(out.shape))
        self.post.put(letter.source, Letter(RECEIVED, self.post.rank, number=letter.number))
        return out

    def _place(self, kinds: tuple[int, ...], source: int, tag: int, all_needed: bool = False) -> int | None:
        """Where a letter lies; RankLost if none can come, or there is news of the dead."""
        box = self.post.box
        if source != ANY:
            self._check_rank("receive", "source", source)
        place = box.find(kinds, self.context, source if source == ANY else self.members[source], tag)
        if place is not None:
            return place
        if box.ended or (all_needed and self.failed):
            raise self.lost(box.dead)
        if source == ANY:
            news = {(self.context, rank) for rank in self.failed} - box.told
            if news:
                box.told |= news
                raise RankLost(rank for _, rank in news)
        elif (member := self.members[source]) in box.dead or member in box.left:
            raise RankLost({source})
        return None

    def _together(self, what: str, array: Any, combine: Callable[[list[Any]], Any]) -> Any:
        array[...] = self._share(what, array.ravel(), combine).reshape(array.shape)
        return array

    def _share(self, what: str, flat: Any, combine: Callable[[list[Any]], Any]) -> Any:
        """What rank 0 makes of everybody's numbers."""
        words = f"{what} of {flat.size} {flat.dtype.str}"
        if self.failed or self.post.box.ended:
            raise self.lost(self.post.box.dead)
        if self.rank:
            self._put(0, SHARE, words, flat)
            letter = self._take(0)
            if letter.kind == REFUSAL:
                raise ValueError(letter.words)
            return np.frombuffer(letter.data, flat.dtype)
        letters = [self._take(rank) for rank in range(1, self.size)]
        for rank, letter in enumerate(letters, 1):
            if letter.words != words:
                error = f"rank {rank} calls {letter.words} where rank 0 calls {words}: all ranks call the same"
                for other in range(1, self.size):
                    self._put(other, REFUSAL, error, flat[:0])
                raise ValueError(error)
        with np.errstate(all="ignore"):
            result = combine([flat, *(np.frombuffer(letter.data, flat.dtype) for letter in letters)])
        for other in range(1, self.size):
            self._put(other, SHARE, words, result)
        return result

    def _put(self, rank: int, kind: int, words: str, flat: Any) -> None:
        letter = Letter(kind, self.post.rank, self.context, words=words, data=flat.tobytes())
        self.post.put(self.members[rank], letter)

    def _take(self, rank: int) -> Letter:
        """The next share of a rank."""
        box = self.post.box
        with box.changed:
            while (place := self._place((SHARE, REFUSAL), rank, ANY, all_needed=True)) is None:
                box.changed.wait()
            return box.letters.pop(place)


def _added(parts: list[Any]) -> Any:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _context(parent: int, what: str) -> int:
    """A communicator's number, which all of its ranks find without talking."""
    return int.from_bytes(blake2b(f"{parent} {what}".encode(), digest_size=8).digest(), "little")
