from io import BytesIO

import numpy as np
import pytest

from fednode.learning.errors import TrainerError
from fednode.learning.frames import (
    PREFIX,
    encode_frame,
    pack_integers,
    read_frame,
    unpack_integers,
)


def test_frames_come_back_one_by_one() -> None:
    values = np.array([1, -(2**24) + 1], dtype=np.int32)
    stream = BytesIO(encode_frame({"id": 1}, pack_integers(values)) + encode_frame({"id": 2}))

    first, second, end = read_frame(stream), read_frame(stream), read_frame(stream)

    assert first is not None
    assert first[0] == {"id": 1}
    assert unpack_integers(first[1]).tolist() == values.tolist()
    assert second == ({"id": 2}, b"")
    assert end is None


def test_a_frame_cut_anywhere_is_the_end_of_the_stream() -> None:
    frame = encode_frame({"id": 1}, b"abcd")

    assert [read_frame(BytesIO(frame[:cut])) for cut in range(len(frame))] == [None] * len(frame)


def test_a_frame_beyond_the_limits_is_refused_before_it_is_read() -> None:
    with pytest.raises(TrainerError, match="a frame announces 5 and 4294967297 bytes"):
        read_frame(BytesIO(PREFIX.pack(5, 2**32 + 1)))


def test_integers_are_little_endian_on_every_machine() -> None:
    assert pack_integers(np.array([1, -2], dtype=np.int32)) == b"\x01\0\0\0\xfe\xff\xff\xff"
