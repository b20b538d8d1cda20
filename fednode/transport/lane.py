"""One lane of the MQTT transport: keeps one connection alive and tells the node about it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiomqtt

from fednode.transport.backoff import backoff_ms
from fednode.transport.base import PAYLOAD_BYTES_FLOOR, Connected, Disconnected, Lane, Packet
from fednode.transport.connection import Connection, open_connection, reason_of
from fednode.transport.errors import BrokerRefusedError, TransportError
from fednode.transport.inbox import Inbox
from fednode.transport.probe import measure_payload_bytes, probe_topic
from fednode.transport.settings import BrokerSettings, endpoint_of, password_of

logger = logging.getLogger(__name__)

CONTROL_PENDING_MAX = 4096
BULK_PENDING_MAX = 8
PUBLISH_TIMEOUT_MS = 30_000
_SHARE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """What distinguishes one lane of one node.

    Attributes:
        lane: CONTROL or BULK.
        client_id: Unique at the broker.
        probe_root: First topic levels under which the payload limit is measured; None: not here.
    """

    lane: Lane
    client_id: str
    probe_root: str | None


class MqttLane:
    """Connects, subscribes, receives, reconnects, until `close`.

    Args:
        settings: The broker.
        options: Which lane this is.
        inbox: Where packets and events go.
        token: Returns that many random bytes.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        options: LaneOptions,
        *,
        inbox: Inbox,
        token: Callable[[int], bytes],
    ) -> None:
        self.payload_bytes_max = PAYLOAD_BYTES_FLOOR
        self.dropped = 0
        self._settings = settings
        self._options = options
        self._inbox = inbox
        self._token = token
        self._endpoint = endpoint_of(settings)
        self._password = password_of(settings)
        self._topics: list[str] = []
        self._probe_wish = settings.payload_bytes_wish
        self._connection: Connection | None = None
        self._is_up = asyncio.Event()
        self._closing = asyncio.Event()
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last_error = TransportError("no attempt to connect has ended yet")
        self._pending: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(BULK_PENDING_MAX)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect and wait, boundedly, for the first connection.

        Raises:
            BrokerRefusedError: If only a person can change what is wrong.
            TransportError: If the time ran out and the settings do not say to keep trying.
        """
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._on_end)
        try:
            async with asyncio.timeout(self._settings.first_connect_ms / 1000):
                await asyncio.shield(self._first)
        except TimeoutError:
            if not self._settings.keep_trying:
                raise self._last_error from None
            logger.warning("starting without the broker: %s", self._last_error)

    async def close(self) -> None:
        """Disconnect and stop; takes a bounded time even while an attempt to connect runs."""
        self._closing.set()
        self._cancel_pending()
        if self._task is not None:
            await asyncio.wait((self._task,))
        if self._first.done() and not self._first.cancelled():
            self._first.exception()

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Receive these topics now, if connected, and after every reconnect.

        Raises:
            TransportError: If the broker refuses.
        """
        self._topics += [topic for topic in topics if topic not in self._topics]
        connection = self._connection
        if connection is not None:
            # A connection that is lost meanwhile is replaced by one that subscribes to them all.
            with contextlib.suppress(aiomqtt.MqttError):
                await self._subscribe(connection, topics)

    def publish_or_drop(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send now, or drop and count when disconnected or too much is unacknowledged."""
        connection = self._connection
        if connection is None or len(self._pending) >= CONTROL_PENDING_MAX:
            self.dropped += 1
            return
        task = self._send(connection, topic, payload, retain=retain)
        task.add_done_callback(self._pending.discard)

    async def publish_when_room(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send once connected and fewer than `BULK_PENDING_MAX` payloads are unacknowledged.

        Raises:
            TransportError: If that takes longer than `PUBLISH_TIMEOUT_MS`.
        """
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_MS / 1000):
                await self._room.acquire()
                try:
                    connection = await self._wait_until_up()
                except BaseException:
                    self._room.release()
                    raise
        except TimeoutError:
            raise TransportError(
                f"no room on the bulk lane within {PUBLISH_TIMEOUT_MS} ms "
                f"({self._last_error}): the rest of this body will be pulled"
            ) from None
        task = self._send(connection, topic, payload, retain=retain)
        task.add_done_callback(self._make_room)

    def _make_room(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        self._room.release()

    async def _wait_until_up(self) -> Connection:
        while self._connection is None:
            await self._is_up.wait()
        return self._connection

    def _send(
        self, connection: Connection, topic: str, payload: bytes, *, retain: bool
    ) -> asyncio.Task[None]:
        # Tasks start in the order of their creation, and the library queues synchronously.
        task = asyncio.create_task(self._deliver(connection, topic, payload, retain=retain))
        self._pending.add(task)
        return task

    async def _deliver(
        self, connection: Connection, topic: str, payload: bytes, *, retain: bool
    ) -> None:
        seconds = PUBLISH_TIMEOUT_MS / 1000
        try:
            await connection.publish(topic, payload, qos=1, retain=retain, timeout=seconds)
        except aiomqtt.MqttError as error:
            self.dropped += 1
            logger.debug("lane=%s dropped: %s", self._options.lane.value, reason_of(error))

    def _cancel_pending(self) -> None:
        for task in self._pending:
            task.cancel()
        self.dropped += len(self._pending)

    async def _run(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            is_fresh = not self._first.done()
            try:
                await self._connect_and_serve()
                attempt = 0
            except BrokerRefusedError as error:
                if is_fresh:
                    self._first.set_exception(error)
                    return
                self._note(error)
            except TransportError as error:
                self._note(error)
            await self._pause(backoff_ms(attempt, self._share()))
            attempt += 1

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """Stop the node when the lane ended by what nobody foresaw (rule P93)."""
        if task.cancelled() or task.exception() is None:
            return
        failure = TransportError(
            f"lane={self._options.lane.value}: internal error: {task.exception()!r}: report it"
        )
        logger.error("internal error", exc_info=task.exception())
        if not self._first.done():
            self._first.set_exception(failure)
        self._inbox.fail(failure)

    def _note(self, error: TransportError) -> None:
        self._last_error = error
        logger.warning("lane=%s not connected: %s", self._options.lane.value, error)

    def _share(self) -> float:
        return float(int.from_bytes(self._token(_SHARE_BYTES), "big") / 2 ** (8 * _SHARE_BYTES))

    async def _pause(self, wait_ms: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000):
                await self._closing.wait()

    async def _connect_and_serve(self) -> None:
        connection = await self._open_and_prepare()
        if connection is None:
            return
        lane = self._options.lane
        event = Connected(lane=lane, is_reconnect=self._first.done())
        self._connection = connection
        self._is_up.set()
        self._inbox.put_event(event)
        logger.info("lane=%s connected, reconnect=%s", lane.value, event.is_reconnect)
        if not self._first.done():
            self._first.set_result(None)
        try:
            reason = await self._receive(connection)
        finally:
            self._connection = None
            self._is_up.clear()
            self._cancel_pending()
            await connection.close()
        if not self._closing.is_set():
            self._last_error = TransportError(f"connection lost: {reason}")
            self._inbox.put_event(Disconnected(lane=lane, reason=reason))
            logger.warning("lane=%s connection lost: %s", lane.value, reason)

    async def _open_and_prepare(self) -> Connection | None:
        while not self._closing.is_set():
            connection = await open_connection(
                self._endpoint,
                self._settings,
                password=self._password,
                client_id=self._options.client_id,
            )
            try:
                if await self._probe(connection):
                    await self._subscribe(connection, self._topics)
                    return connection
            except aiomqtt.MqttError as error:
                await connection.close()
                raise TransportError(
                    f"the broker hung up while the node subscribed ({reason_of(error)}): "
                    "check its log"
                ) from None
            except BaseException:
                await connection.close()
                raise
            await connection.close()
        return None

    async def _subscribe(self, connection: Connection, topics: Sequence[str]) -> None:
        # Own bodies are here: with MQTT 5 a broker need not send them back.
        with_own = self._options.lane is not Lane.BULK
        await connection.subscribe_all(topics, with_own=with_own)

    async def _probe(self, connection: Connection) -> bool:
        """Measure the payload limit; return whether the connection outlived it."""
        root = self._options.probe_root
        if root is None:
            return True
        try:
            size = await measure_payload_bytes(
                connection,
                probe_topic(root, self._token),
                wish_bytes=self._probe_wish,
                timeout_ms=self._settings.answer_timeout_ms,
                token=self._token,
            )
        except aiomqtt.MqttError as error:
            # mosquitto hangs up on what is too large: max_packet_size, and under MQTT 5 also
            # message_size_limit.
            logger.debug("probe bytes=%d: %s", self._probe_wish, reason_of(error))
            self._probe_wish //= 2
            return False
        except TransportError:
            self._probe_wish = self._settings.payload_bytes_wish
            raise
        self.payload_bytes_max = self._probe_wish = size
        return True

    async def _receive(self, connection: Connection) -> str:
        receiving = asyncio.create_task(connection.serve(self._put))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait((receiving, closing), return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else "closed by this node"
        finally:
            for task in (receiving, closing):
                task.cancel()
            await asyncio.gather(receiving, closing, return_exceptions=True)

    def _put(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001  # as the callback gives it
        lane = self._options.lane
        self._inbox.put(Packet(topic=topic, payload=payload, retained=retained, lane=lane))
