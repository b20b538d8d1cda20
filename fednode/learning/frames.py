"""Frames between a node and its training process: a small JSON header and raw array bytes.

A frame is the length of the header (4 bytes) and of the body (8 bytes), both big endian, then both.
Nothing is unpickled: a body is an array of little-endian 32-bit integers.
"""

import json
import os
import sys
from collections.abc import Mapping
from io import BytesIO, RawIOBase
from struct import Struct
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import TrainerError

PREFIX: Final = Struct(">IQ")
HEADER_BYTES_MAX: Final = 1 << 20
BODY_BYTES_MAX: Final = 1 << 32

Header: TypeAlias = Mapping[str, Any]


def encode_frame(header: Header, body: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    text = json.dumps(header).encode()
    return PREFIX.pack(len(text), len(body)) + text + body


def check_lengths(prefix: bytes) -> tuple[int, int]:
    """Return the lengths of header and body that a frame's first bytes announce.

    Raises:
        TrainerError: If they are beyond the limits.
    """
    header_bytes, body_bytes = PREFIX.unpack(prefix)
    if header_bytes > HEADER_BYTES_MAX or body_bytes > BODY_BYTES_MAX:
        raise TrainerError(
            f"a frame announces {header_bytes} and {body_bytes} bytes: at most {HEADER_BYTES_MAX} "
            f"and {BODY_BYTES_MAX} are allowed"
        )
    return header_bytes, body_bytes


def read_frame(stream: RawIOBase | BytesIO) -> tuple[Header, bytes] | None:
    """Return the next frame of a blocking unbuffered stream, or None at its end.

    Raises:
        TrainerError: If a length is beyond its limit.
    """
    prefix = _read_exactly(stream, PREFIX.size)
    if prefix is None:
        return None
    header_bytes, body_bytes = check_lengths(prefix)
    text, body = _read_exactly(stream, header_bytes), _read_exactly(stream, body_bytes)
    if text is None or body is None:
        return None
    header: Header = json.loads(text)
    return header, body


def _read_exactly(stream: RawIOBase | BytesIO, size: int) -> bytes | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = stream.readinto(view)
        if not count:
            return None
        view = view[count:]
    return bytes(buffer)


def pack_integers(values: NDArray[np.int32]) -> bytes:
    """Return the little-endian bytes of a vector."""
    return values.astype("<i4", copy=False).tobytes()


def unpack_integers(body: bytes) -> NDArray[np.int32]:
    """Return the vector that `pack_integers` wrote."""
    return np.frombuffer(body, dtype="<i4").astype(np.int32)


def private_output() -> BinaryIO:
    """Return standard output for frames; what a learner prints goes to standard error from now."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output
