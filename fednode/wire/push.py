"""Pushing a body packet by packet on the bulk lane (Rule P91)."""

import asyncio
from collections.abc import Callable, Iterable

from fednode.transport.base import Lane, Transport
from fednode.transport.errors import TransportError
from fednode.wire.packets import BodyPacket, encode_packet


async def push_packets(
    transport: Transport,
    topic: str,
    packets: Iterable[BodyPacket],
    *,
    seal: Callable[[bytes], bytes],
) -> int:
    """Seal and publish packets once, in order; the transport bounds how many are under way.

    Args:
        transport: Carries them on the lane BULK.
        topic: `Topics.bodies`, or `Topics.answers` of a requester.
        packets: From `cut`, for `transport.payload_bytes_max`.
        seal: Seals the encoded packet under the sender key and the network key (Rule P90).

    Returns:
        The number of packets published.

    Raises:
        TransportError: If the lane had no room in time, or came back with a lower limit for
            payloads; what is missing will be pulled.
    """
    number = 0
    for packet in packets:
        payload = seal(encode_packet(packet))
        if len(payload) > transport.payload_bytes_max:
            raise TransportError(
                f"packets of {len(payload)} bytes were cut before the broker's limit became "
                f"{transport.payload_bytes_max} bytes"
            )
        await transport.publish(topic, payload, lane=Lane.BULK)
        number += 1
        # Sealing holds the event loop for a millisecond: let votes through in between.
        await asyncio.sleep(0)
    return number
