"""Messages between actors and learners: a header, and behind it bytes; nothing is pickled."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Container
from typing import NamedTuple

import numpy as np

MAGIC, FORMAT = b"rlcorewk", 1
HELLO, LAYOUT, CHUNK, BYE, WEIGHTS, STOP = range(1, 7)  # kinds of messages
UP, DOWN = 1, 2  # tags: to the learner, to an actor
HEADER = 128  # bytes
FIELDS = struct.Struct("<8sHHIIIIIQQQ")
CRC, SEALED = struct.Struct("<I"), struct.Struct(f"{FIELDS.format}I")
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
    """A message (bytes,) with its header, which has a CRC of its own.

    Of what lies behind it there is none: MPI and pipes are whole, and a CRC takes 0.2 ns a byte, as long as sending.
    """
    data = message.data
    FIELDS.pack_into(data, 0, MAGIC, FORMAT, *header, len(data))
    CRC.pack_into(data, FIELDS.size, zlib.crc32(data[: FIELDS.size]))
    return message


def opened(message: np.ndarray, source: int, kinds: Container[int]) -> Header:
    """The header of a message (bytes,) from a rank; ProtocolError unless it is of one of these kinds, and whole."""
    data = message.data
    if len(data) < HEADER:
        raise _refusal(message, source, f"is shorter than the {HEADER} of a header")
    magic, version, *fields, nbytes, crc = SEALED.unpack_from(data)
    header = Header._make(fields)
    if magic != MAGIC:
        raise _refusal(message, source, f"begins with {magic!r}, not with {MAGIC!r}")
    if version != FORMAT:
        what = f"has format {version}, here it is {FORMAT}: all ranks need the same version of rlcore"
        raise _refusal(message, source, what)
    if crc != zlib.crc32(data[: FIELDS.size]):
        raise _refusal(message, source, "has a damaged header")
    if nbytes != len(data):
        raise _refusal(message, source, f"is not whole: it was {nbytes} bytes when it was sent")
    if header.kind not in kinds:
        raise _refusal(message, source, f"is of kind {header.kind}, which is not expected here")
    if max(header) >= COUNTED:
        raise _refusal(message, source, f"counts {max(header)}")
    return header


def _refusal(message: np.ndarray, source: int, what: str) -> ProtocolError:
    return ProtocolError(f"a message of {len(message)} bytes from rank {source} {what}")


def note(header: Header, payload: bytes = b"") -> np.ndarray:
    """A message of a few bytes."""
    return seal(np.frombuffer(bytearray(HEADER) + payload, np.uint8), header)
