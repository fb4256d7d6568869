"""Messages between actors and learners: a header, and behind it bytes; nothing is pickled."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAGIC, FORMAT = b"rlcorewk", 1
HELLO, LAYOUT, CHUNK, BYE, WEIGHTS, STOP = range(1, 7)  # kinds of messages
UP, DOWN = 1, 2  # tags: to the learner, to an actor
HEADER = 128  # bytes
FIELDS = struct.Struct("<8sHHIIIIIQQQQ")
CRC = struct.Struct("<I")
COUNTED = 1 << 62  # what no number in a header reaches


class ProtocolError(ValueError):
    """A message between ranks that is not what it should be, and is not used."""


class Header(NamedTuple):
    """What every message begins with."""

    kind: int
    actor: int  # the rank it is of, or for
    steps: int = 0  # T
    n: int = 0  # N
    finals: int = 0  # last observations
    episodes: int = 0
    number: int = 0  # of the chunk among those of its actor; of weights: the row at which they were learned
    weights: int = 0  # their version, the number of updates: those of the message, or those that acted


def seal(message: np.ndarray, header: Header) -> np.ndarray:
    """A message (bytes,), its header written: a CRC of the header, and in that the sum of all other bytes, by eights.

    The sum takes 15 to 50 ps a byte, a CRC of all would take 200, as long as the message is on its way.
    """
    kind, actor, steps, n, finals, episodes, number, weights = header
    total = int(np.add.reduce(message[HEADER:].view(np.uint64)))
    counts = steps, n, finals, episodes, number, weights, len(message), total
    FIELDS.pack_into(message.data, 0, MAGIC, FORMAT, kind, actor, *counts)
    CRC.pack_into(message.data, FIELDS.size, zlib.crc32(message.data[: FIELDS.size]))
    return message


def opened(message: np.ndarray, source: int, kinds: Sequence[int]) -> Header:
    """The header of a message (bytes,) from a rank; ProtocolError unless it is whole and of one of these kinds."""

    def refuse(what: str) -> ProtocolError:
        return ProtocolError(f"a message of {len(message)} bytes from rank {source} {what}")

    if len(message) < HEADER or len(message) % 8:
        raise refuse(f"has not the size of one, at least {HEADER} and a multiple of 8")
    magic, format_, kind, actor, *counts, nbytes, total = FIELDS.unpack_from(message.data)
    if magic != MAGIC:
        raise refuse(f"begins with {magic!r}, not with {MAGIC!r}")
    if format_ != FORMAT:
        raise refuse(f"has format {format_}, here it is {FORMAT}: all ranks need the same version of rlcore")
    if CRC.unpack_from(message.data, FIELDS.size)[0] != zlib.crc32(message.data[: FIELDS.size]):
        raise refuse("has a damaged header")
    if nbytes != len(message) or total != int(np.add.reduce(message[HEADER:].view(np.uint64))):
        raise refuse(f"is damaged, or not whole: it was {nbytes} bytes when it was sent")
    if kind not in kinds:
        raise refuse(f"is of kind {kind}, expected {' or '.join(map(str, kinds))}")
    if max(counts) >= COUNTED:
        raise refuse(f"counts {max(counts)}")
    return Header(kind, actor, *counts)


def note(header: Header, payload: bytes = b"") -> np.ndarray:
    """A message of a few bytes, filled up to a multiple of eight."""
    payload += b" " * (-len(payload) % 8)
    return seal(np.frombuffer(bytearray(HEADER) + payload, np.uint8), header)
