"""Finding the largest payload that comes through (Rule P91).

An acknowledgement proves nothing: mosquitto's `message_size_limit` acknowledges a payload under
MQTT 3.1.1 and drops it. So a node publishes random bytes to itself and waits for their return. A
short mark follows on the same topic; when the mark comes without the probe, the probe was dropped,
and no time needs to pass to know it.
"""

import asyncio
from collections.abc import Callable

from fednode.transport.base import PAYLOAD_BYTES_FLOOR, TOPIC_BYTES_MAX
from fednode.transport.connection import Connection
from fednode.transport.errors import TransportError

MARK_BYTES = 32
# MQTT 5: fixed header 5, topic length 2, packet id 2, property length 1.
HEADER_BYTES_MAX = 10


def probe_topic(root: str, token: Callable[[int], bytes]) -> str:
    """Return a topic of the greatest length under `root` that nobody else can guess."""
    start = f"{root}/probe/"
    return start + token(TOPIC_BYTES_MAX).hex()[: TOPIC_BYTES_MAX - len(start)]


async def measure_payload_bytes(
    connection: Connection,
    topic: str,
    *,
    wish_bytes: int,
    timeout_ms: int,
    token: Callable[[int], bytes],
) -> int:
    """Return the first size of wish, wish/2, wish/4 ... that comes back.

    Args:
        connection: Open, and subscribed to nothing yet.
        topic: From `probe_topic`.
        wish_bytes: Size of the first probe.
        timeout_ms: Longest wait for one probe.
        token: Returns that many random bytes.

    Raises:
        TransportError: If nothing of at least `PAYLOAD_BYTES_FLOOR` comes back.
        aiomqtt.MqttError: If the broker hangs up, as some do on a packet that is too large.
    """
    await connection.subscribe_all([topic])
    announced = connection.packet_bytes_max
    size = wish_bytes
    if announced is not None:
        size = min(size, announced - TOPIC_BYTES_MAX - HEADER_BYTES_MAX)
    while size >= PAYLOAD_BYTES_FLOOR:
        if await _comes_back(connection, topic, token(size), token(MARK_BYTES), timeout_ms):
            await connection.unsubscribe(topic)
            return size
        size //= 2
    raise TransportError(
        f"the broker carries no payload of {PAYLOAD_BYTES_FLOOR} bytes: "
        "raise its limit (mosquitto: max_packet_size, message_size_limit)"
    )


async def _comes_back(
    connection: Connection, topic: str, probe: bytes, mark: bytes, timeout_ms: int
) -> bool:
    seconds = timeout_ms / 1000
    is_seen = False
    sending = [
        asyncio.create_task(connection.publish(topic, payload, qos=1, timeout=seconds))
        for payload in (probe, mark)
    ]
    try:
        async with asyncio.timeout(seconds):
            async for message in connection.messages:
                is_seen = is_seen or message.payload == probe
                if message.payload == mark:
                    break
    except TimeoutError:
        raise TransportError(
            f"the broker did not return this node's own message within {seconds:.0f} s: "
            "let this user read and write fednode/# in the broker's access list"
        ) from None
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
    return is_seen
