"""One MQTT connection that says why it failed and always gives its socket back.

`aiomqtt.Client` is extended at five points: the limit that the broker announces is kept, the
cause of a failed connect is kept (the library reduces it to text), a broker that hangs up before
it answers fails the attempt at once instead of after the time limit, a connection that was given
up closes its socket, and payloads can be handed over where they are read (two tasks for each of
them would cost more than reading it).
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from typing_extensions import override

from fednode.transport.errors import BrokerRefusedError, TransportError
from fednode.transport.settings import BrokerSettings, Endpoint

MESSAGES_WAITING_MAX = 4096
INFLIGHT_MAX = 16
CLOSE_TIMEOUT_MS = 2_000
SOCKET_TIMEOUT_S = 5.0

# A vote right after an acknowledgement would otherwise wait 40 ms for the other side's delayed one.
_SOCKET_OPTIONS: Final = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
_UNSUPPORTED_VERSION: Final = 132
_LOGIN_CODES: Final = frozenset({134, 135, 138, 140})
_CLIENT_ID_CODE: Final = 133
_FAILURE_CODE_MIN: Final = 128
_QUIET: Final = logging.getLogger("fednode.transport.library")
_QUIET.setLevel(logging.CRITICAL)


Take: TypeAlias = Callable[[str, bytes, bool], object]
"""Takes topic, payload, and whether the broker had stored it."""


class Connection(aiomqtt.Client):
    """A client for one connection; used once.

    Args:
        endpoint: Where the broker is.
        settings: Time limits and login name.
        password: Password or None.
        client_id: Unique at the broker.
        version: MQTT version to speak.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        settings: BrokerSettings,
        *,
        password: str | None,
        client_id: str,
        version: aiomqtt.ProtocolVersion,
    ) -> None:
        super().__init__(
            endpoint.host,
            endpoint.port,
            username=settings.username or None,
            password=password,
            identifier=client_id,
            protocol=version,
            keepalive=settings.keepalive_s,
            timeout=settings.answer_timeout_ms / 1000,
            tls_context=endpoint.tls,
            clean_session=None if version is aiomqtt.ProtocolVersion.V5 else True,
            max_queued_incoming_messages=MESSAGES_WAITING_MAX,
            max_inflight_messages=INFLIGHT_MAX,
            logger=_QUIET,
            socket_options=_SOCKET_OPTIONS,
        )
        self.version = version
        self.packet_bytes_max: int | None = None
        self.connect_error: OSError | None = None
        self.is_hung_up = False
        self._is_over = False
        self._take: Take | None = None
        self._client.connect_timeout = min(SOCKET_TIMEOUT_S, settings.answer_timeout_ms / 1000)

    async def open(self) -> None:
        """Connect and log in.

        Raises:
            aiomqtt.MqttError: If that fails; `connect_error` and `is_hung_up` say more.
        """
        try:
            await self.__aenter__()
        except BaseException:
            await self._give_up()
            raise

    async def close(self) -> None:
        """Say goodbye if the broker still listens, and close the socket in any case."""
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_MS / 1000):
                await self.__aexit__(None, None, None)
        await self._give_up()

    async def subscribe_all(self, topics: Sequence[str], *, with_own: bool = True) -> None:
        """Subscribe at QoS 1.

        Args:
            topics: Topics, `+` for any one level.
            with_own: Whether to receive what this connection publishes, too. Without it MQTT 5
                brokers send nothing back; under MQTT 3.1.1 they cannot be told.

        Raises:
            TransportError: If the broker refuses one of them.
            aiomqtt.MqttError: If it does not answer.
        """
        if not topics:
            return
        if self.version is aiomqtt.ProtocolVersion.V5:
            options = SubscribeOptions(qos=1, noLocal=not with_own)
            answers = await self.subscribe([(topic, options) for topic in topics])
        else:
            answers = await self.subscribe([(topic, 1) for topic in topics])
        for topic, answer in zip(topics, answers, strict=True):
            code = answer.value if isinstance(answer, ReasonCode) else answer
            if isinstance(code, int) and code >= _FAILURE_CODE_MIN:
                raise TransportError(
                    f"the broker refuses the subscription to {topic} (code {code}): "
                    "let this user read and write fednode/# in the broker's access list"
                )

    async def serve(self, take: Take) -> str:
        """Hand over every payload, first those that wait; return why the connection was lost."""
        while not self._queue.empty():
            message = self._queue.get_nowait()
            if isinstance(message.payload, bytes):
                take(message.topic.value, message.payload, message.retain)
        self._take = take
        try:
            await asyncio.wait((self._disconnected,))
        finally:
            self._take = None
        error = self._disconnected.exception()
        return "the library ended the stream" if error is None else reason_of(error)

    async def _give_up(self) -> None:
        self._is_over = True
        # Retrieved here, so that asyncio does not report it as forgotten.
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()
        open_socket = self._client.socket()
        if isinstance(open_socket, socket.socket):
            # The library closes the socket itself when it reads the end of the stream.
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            for _ in range(100):
                if self._client.socket() is None:
                    break
                await asyncio.sleep(0.01)
            with contextlib.suppress(OSError):
                open_socket.close()

    @override
    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        except OSError as error:
            self.connect_error = error
            raise

    @override
    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        if self._take is None:
            super()._on_message(client, userdata, message)
        else:
            self._take(message.topic, bytes(message.payload), message.retain)

    @override
    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if self._is_over:
            return
        self.packet_bytes_max = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    @override
    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if self._is_over:
            return
        if not self._connected.done():
            self.is_hung_up = True
            self._connected.set_exception(aiomqtt.MqttError("hung up before it answered"))
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)


async def open_connection(
    endpoint: Endpoint, settings: BrokerSettings, *, password: str | None, client_id: str
) -> Connection:
    """Return an open connection: MQTT 5 if the broker speaks it, else 3.1.1 (Rule P91).

    Raises:
        BrokerRefusedError: If only a person can change what is wrong.
        TransportError: If the broker cannot be reached now.
    """
    for version in (aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311):
        connection = Connection(
            endpoint, settings, password=password, client_id=client_id, version=version
        )
        try:
            await connection.open()
        except aiomqtt.MqttError as error:
            is_last = version is aiomqtt.ProtocolVersion.V311
            if not is_last and (connection.is_hung_up or _code(error) == _UNSUPPORTED_VERSION):
                continue
            raise _explained(error, connection, endpoint, settings) from None
        return connection
    raise RuntimeError("the loop above returns or raises")


def reason_of(error: BaseException) -> str:
    """Return why a connection was lost, in a few words."""
    cause = error.__cause__ or error
    return str(cause) or type(cause).__name__


def _code(error: aiomqtt.MqttError) -> int | None:
    if not isinstance(error, aiomqtt.MqttCodeError):
        return None
    return error.rc.value if isinstance(error.rc, ReasonCode) else error.rc


def _explained(
    error: aiomqtt.MqttError, connection: Connection, endpoint: Endpoint, settings: BrokerSettings
) -> TransportError:
    where = f"broker {endpoint.host}:{endpoint.port}"
    code = _code(error)
    if code in _LOGIN_CODES:
        who = f"user {settings.username!r}" if settings.username else "a login without user name"
        return BrokerRefusedError(
            f"{where} refuses {who} (code {code}): check username and password"
        )
    if code == _CLIENT_ID_CODE:
        return BrokerRefusedError(
            f"{where} refuses the client id (code {code}): allow ids of 23 letters and digits"
        )
    hung_up_on_tls = isinstance(connection.connect_error, ssl.SSLEOFError | ConnectionResetError)
    if hung_up_on_tls and endpoint.tls is not None:
        return TransportError(
            f"{where} hangs up on TLS: check that this port speaks TLS (else use mqtt://)"
        )
    if connection.connect_error is not None:
        return _explained_connect(connection.connect_error, where)
    if connection.is_hung_up:
        kind = "MQTT" if endpoint.tls is not None else "MQTT without TLS (else use mqtts://)"
        return TransportError(
            f"{where} accepts connections and hangs up: check that it is a broker for {kind}"
        )
    return TransportError(
        f"{where} does not answer as an MQTT broker ({error}): check host and port"
    )


def _explained_connect(error: OSError, where: str) -> TransportError:
    match error:
        case ssl.SSLCertVerificationError():
            return BrokerRefusedError(
                f"{where}: its TLS certificate is not trusted ({error.verify_message}): "
                "set ca_file to the authority that issued it, and use the name in it as host"
            )
        case ssl.SSLError():
            return BrokerRefusedError(
                f"{where}: TLS failed ({error.reason or error}): check that this port speaks TLS "
                "and whether the broker asks for a client certificate (cert_file, key_file)"
            )
        case socket.gaierror():
            return TransportError(f"{where}: the host name is not known: check the broker URL")
        case ConnectionRefusedError():
            return TransportError(
                f"{where}: nothing listens there: start the broker, check the port"
            )
        case TimeoutError():
            return TransportError(f"{where} does not answer: check host, port and firewall")
        case _:
            return TransportError(f"{where} cannot be reached ({error}): check the broker URL")
