"""Ranks in threads, or in processes of their own on this machine: the interface of communicators without MPI."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import struct
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from threading import Lock, Thread
from time import monotonic
from typing import Any, NamedTuple, cast

from rlcore.parallel.base import Alone, RankLost
from rlcore.parallel.mail import LEAVE, MESSAGE, Letter, LocalComm, Post

HEAD = struct.Struct("<4sBxHiQQQQ")  # magic, kind, bytes of words, source, context, tag, number, bytes of data
MAGIC = b"RLm1"
GRACE_S = 3.0  # for the other ranks to end by themselves when one has ended with an error


class InThread(Post):
    """Puts letters straight into the boxes of other threads; messages are read in the sender's own memory."""

    posts: list[InThread]

    def put(self, dest: int, letter: Letter) -> None:
        self.posts[dest].box.put(letter)


class Failure(NamedTuple):
    """What ended a rank, instead of a result."""

    error: BaseException
    words: str  # with the traceback


def run_threads(n: int, f: Callable[..., Any], *args: Any, elastic: bool = False) -> list[Any]:
    """What f(comm, *args) gives on n ranks, each a thread; what one raises ends all and is raised here.

    elastic: a rank that raises is dead for the others, which go on; in its place stands what it raised.
    """
    _check_count("run_threads", n)
    posts = [InThread(rank, n) for rank in range(n)]
    results: list[Any] = [None] * n
    raised: list[int] = []  # ranks, in order of time

    def work(rank: int) -> None:
        try:
            results[rank] = f(LocalComm(posts[rank], range(n)) if n > 1 else Alone(), *args)
        except BaseException as error:
            results[rank] = error
            raised.append(rank)
            for post in posts:
                post.box.lose(rank, end=not elastic)
        else:
            for post in posts:
                post.box.put(Letter(LEAVE, rank))

    threads = [Thread(target=work, args=(rank,), name=f"rank {rank}", daemon=True) for rank in range(n)]
    for post, thread in zip(posts, threads):
        post.posts = posts
        thread.start()
    end = float("inf")
    while any(thread.is_alive() for thread in threads) and monotonic() < end:
        next(thread for thread in threads if thread.is_alive()).join(0.05)
        if raised and not elastic:
            end = min(end, monotonic() + GRACE_S)
    if raised and not elastic:
        raise _first(results, raised)
    return results


class InProcess(Post):
    """A socket to each other process, and a thread that empties it, so that nobody waits to write."""

    def __init__(self, rank: int, size: int, sockets: dict[int, socket.socket]):
        super().__init__(rank, size)
        self.sockets, self.locks = sockets, {other: Lock() for other in sockets}
        for other in sockets:
            Thread(target=self._listen, args=(other,), daemon=True).start()

    def put(self, dest: int, letter: Letter) -> None:
        if dest == self.rank:
            return self.box.put(letter._replace(data=bytes(letter.data)))
        words = letter.words.encode()
        sizes = letter.context, letter.tag, letter.number, len(letter.data)
        with suppress(OSError), self.locks[dest]:  # if it is dead, the thread that listens says so
            self.sockets[dest].sendall(HEAD.pack(MAGIC, letter.kind, len(words), self.rank, *sizes) + words)
            self.sockets[dest].sendall(letter.data)

    def leave(self) -> None:
        for other in self.sockets:
            self.put(other, Letter(LEAVE, self.rank))

    def _listen(self, other: int) -> None:
        try:
            while True:
                head = HEAD.unpack(self._read(other, HEAD.size))
                magic, kind, n_words, source, context, tag, number, nbytes = head
                if magic != MAGIC or not MESSAGE <= kind <= LEAVE or source != other:
                    raise ConnectionError("not a letter")
                words = self._read(other, n_words).decode()
                self.box.put(Letter(kind, source, context, tag, number, words, self._read(other, nbytes)))
        except (OSError, UnicodeDecodeError, MemoryError):
            self.box.lose(other)

    def _read(self, other: int, n: int) -> bytearray:
        data = bytearray(n)
        view = memoryview(data)
        while view:
            got = self.sockets[other].recv_into(view)
            if not got:
                raise ConnectionError("ended")
            view = view[got:]
        return data


def run_processes(n: int, f: Callable[..., Any], *args: Any, elastic: bool = False) -> list[Any]:
    """What f(comm, *args) gives on n ranks, each a process of its own (spawn); what one raises ends all and is raised.

    f, args and results are sent as multiprocessing sends them. A process that is killed is dead for the others, whose
    calls raise RankLost. elastic: as for `run_threads`; in the place of a killed process stands a RankLost.
    """
    _check_count("run_processes", n)
    context: Any = multiprocessing.get_context("spawn")  # a fork would copy locks held
    pairs = {(a, b): socket.socketpair() for a in range(n) for b in range(a + 1, n)}
    ranks, ours = [], []
    try:
        for rank in range(n):
            sockets = {a + b - rank: pair[rank == b] for (a, b), pair in pairs.items() if rank in (a, b)}
            connection, theirs = context.Pipe()
            ours.append(connection)
            ranks.append(context.Process(target=_rank, args=(rank, n, sockets, theirs, f, args), name=f"rank {rank}"))
            ranks[-1].start()
            theirs.close()
        for pair in pairs.values():
            for end in pair:
                end.close()  # so that a process that ends is noticed
        return _collect(ours, elastic)
    finally:
        for end in (end for pair in pairs.values() for end in pair):
            end.close()
        for process in ranks:
            process.kill()
            process.join()
            process.close()
        for connection in ours:
            connection.close()


def _collect(connections: list[Any], elastic: bool) -> list[Any]:
    """The results of the processes, or what ended them."""
    results: list[Any] = [None] * len(connections)
    waiting, raised, end = set(connections), list[int](), float("inf")
    while waiting and monotonic() < end:
        for connection in cast(list[Any], wait(waiting, 0.5)):
            rank = connections.index(connection)
            waiting.remove(connection)
            try:
                result = connection.recv()
            except (EOFError, OSError):
                result = Failure(RankLost({rank}, f"rank {rank} was killed"), "")
            if isinstance(result, Failure):
                raised.append(rank)
                result.error.__cause__ = RuntimeError(result.words) if result.words else None
                result = result.error
            results[rank] = result
        if raised and not elastic:
            end = min(end, monotonic() + GRACE_S)
    if raised and not elastic:
        raise _first(results, raised)
    return results


def _rank(rank: int, n: int, sockets: dict[int, Any], connection: Any, f: Any, args: Any) -> None:
    """What a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it goes to the whole group, and the parent ends its children
    Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    post = InProcess(rank, n, sockets)
    try:
        connection.send(f(LocalComm(post, range(n)) if n > 1 else Alone(), *args))
        post.leave()
    except BaseException as error:  # of f, or of a result that cannot be sent
        connection.send(_failure(error, rank))


def _end_with_parent(connection: Any) -> None:
    with suppress(EOFError, OSError):
        connection.poll(None)
    os._exit(1)


def _failure(error: BaseException, rank: int) -> Failure:
    """What ended a rank, so that it can be sent."""
    words = f"in rank {rank}:\n{''.join(traceback.format_exception(error))}"
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # it has arguments of its own, say
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return Failure(error, words)


def _first(results: list[Any], raised: list[int]) -> BaseException:
    """The error that came first, other than those that only tell of the death of others."""
    errors = [results[rank] for rank in raised]
    return next((error for error in errors if not isinstance(error, RankLost)), errors[0])


def _check_count(what: str, n: int) -> None:
    if n < 1:
        raise ValueError(f"{what}: n must be at least 1, got {n}")
