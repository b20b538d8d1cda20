"""One body, its packets right and wrong, and a receiver that expects it."""

import random
from functools import partial

from fednode.wire.bodies import BodyReceiver, ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.packets import GRANULE_BYTES, BodyPacket, cut, leaf_hashes
from ledger.bodies import body_id

BODY = random.Random(1).randbytes(40 * GRANULE_BYTES + 100)
ID = body_id(BODY)


def receiver(**limits: int) -> BodyReceiver:
    in_force = partial(ReceiverLimits, **limits)
    return BodyReceiver(body_id_of=body_id, limits=in_force, counters=Counters())


def expecting(*, total_bytes: int | None = len(BODY)) -> BodyReceiver:
    made = receiver()
    assert made.expect(ID, origin=0, total_bytes=total_bytes)
    return made


def packets(body: bytes = BODY, granules: int = 1) -> list[BodyPacket]:
    return list(cut(body, ID, granules=granules))


def forged(packet: BodyPacket) -> BodyPacket:
    data = bytes(byte ^ 1 for byte in packet.data)
    return BodyPacket(
        body_id=packet.body_id, total_bytes=packet.total_bytes, first=packet.first, data=data
    )


def with_leaves(body: bytes = BODY, granules: int = 1) -> list[BodyPacket]:
    return list(cut(body, body_id(body), granules=granules, leaves=leaf_hashes(body)))
