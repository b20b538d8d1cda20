"""A proxy before an MQTT broker that withholds packets of bodies, as a bad network path would.

It acknowledges to the broker what it withholds, so nobody but the receiver can notice.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

CHUNK_BYTES = 2**18
_PUBLISH = 3
_PUBACK = bytes((0x40, 2))
_QOS_1 = 0x02


@dataclass(slots=True)
class LossyProxy:
    """What passes on the way from the broker to the nodes, and what does not.

    Attributes:
        broker_port: The true broker, on the loopback address.
        every: Each packet of a body whose number is a multiple of this is withheld.
    """

    broker_port: int
    every: int
    passed: int = 0
    withheld: int = 0

    async def serve(self, from_node: asyncio.StreamReader, to_node: asyncio.StreamWriter) -> None:
        """Carry one connection of a node until either side ends it."""
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self.broker_port)
        ways = (
            asyncio.create_task(copy(from_node, to_broker)),
            asyncio.create_task(self._filter(from_broker, to_node, to_broker)),
        )
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (to_node, to_broker):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _filter(
        self,
        from_broker: asyncio.StreamReader,
        to_node: asyncio.StreamWriter,
        to_broker: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head, content = await read_packet(from_broker)
                identifier = body_packet_identifier(head[0], content)
                if identifier is not None and self._is_unlucky():
                    to_broker.write(_PUBACK + identifier)
                    continue
                to_node.write(head)
                to_node.write(content)
                await to_node.drain()

    def _is_unlucky(self) -> bool:
        is_unlucky = (self.passed + self.withheld + 1) % self.every == 0
        self.withheld += is_unlucky
        self.passed += not is_unlucky
        return is_unlucky


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry bytes until the source ends."""
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK_BYTES):
            sink.write(data)
            await sink.drain()


async def read_packet(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return one MQTT packet as its fixed header and the rest.

    Raises:
        asyncio.IncompleteReadError: If the stream ends.
    """
    head = await stream.readexactly(1)
    length = shift = 0
    while True:
        digit = await stream.readexactly(1)
        head += digit
        length |= (digit[0] & 0x7F) << shift
        shift += 7
        if not digit[0] & 0x80:
            return head, await stream.readexactly(length)


def body_packet_identifier(first: int, content: bytes) -> bytes | None:
    """Return the packet identifier if this is a PUBLISH at QoS 1 on a topic of bodies."""
    if first >> 4 != _PUBLISH or not first & _QOS_1:
        return None
    end = 2 + int.from_bytes(content[:2], "big")
    return content[end : end + 2] if content[2:end].endswith(b"/bodies") else None


@asynccontextmanager
async def lossy_proxy(broker_port: int, *, port: int, every: int) -> AsyncIterator[LossyProxy]:
    """Run a proxy on the loopback address at `port`."""
    proxy = LossyProxy(broker_port=broker_port, every=every)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(proxy.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port, limit=2**22)
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
