"""Where the broker is and how to log in."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from typing_extensions import override

from fednode.transport.base import PAYLOAD_BYTES_WISH
from fednode.transport.errors import BrokerRefusedError

DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
HANDSHAKE_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """One broker as a node's configuration names it.

    Attributes:
        url: `mqtt://host:port`, or `mqtts://host:port` for TLS; the port may be left out.
        username: Login name, empty for none.
        password: Password, empty for none; never shown.
        password_file: File whose first line is the password, instead of `password`.
        ca_file: PEM file of the authorities that may vouch for the broker; the system's if None.
        cert_file: PEM file with this node's certificate, if the broker asks for one.
        key_file: PEM file with its key.
        keepalive_s: Seconds of silence after which a ping is sent; after twice that the
            connection counts as lost.
        answer_timeout_ms: Longest wait for one answer of the broker.
        first_connect_ms: Longest wait for the first connection.
        keep_trying: Whether to start although the broker cannot be reached yet. A refusal, such
            as a wrong password, ends the start in any case.
        payload_bytes_wish: Payload size from which the search for the broker's limit starts.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 20
    answer_timeout_ms: int = 10_000
    first_connect_ms: int = 30_000
    keep_trying: bool = False
    payload_bytes_wish: int = PAYLOAD_BYTES_WISH


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Host and port of a broker, and the TLS context if it speaks TLS."""

    host: str
    port: int
    tls: ssl.SSLContext | None


class ClosingSocket(ssl.SSLSocket):
    """A TLS socket that gives up in bounded time and closes itself when the handshake fails.

    The MQTT library leaves it open then, and waits as long as a keepalive.
    """

    @override
    def do_handshake(self, block: bool = False) -> None:
        """Shake hands within `HANDSHAKE_TIMEOUT_S`."""
        self.settimeout(HANDSHAKE_TIMEOUT_S)
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def endpoint_of(settings: BrokerSettings) -> Endpoint:
    """Return where to connect to.

    Raises:
        BrokerRefusedError: If the URL or a TLS file is wrong; the user's fault.
    """
    url = settings.url
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BrokerRefusedError(
            f"broker URL {_shown(url)}: {error}: write mqtt://host:port"
        ) from None
    if parts.username is not None or parts.password is not None:
        raise BrokerRefusedError(
            "broker URL: expected no user name or password in it: use username and password_file"
        )
    if parts.scheme not in DEFAULT_PORTS or not host or parts.path.strip("/") or port == 0:
        raise BrokerRefusedError(
            f"broker URL: expected mqtt://host:port or mqtts://host:port, got {_shown(url)}"
        )
    is_tls = parts.scheme == "mqtts"
    if not is_tls and (settings.ca_file or settings.cert_file or settings.key_file):
        raise BrokerRefusedError(
            f"broker URL {_shown(url)}: TLS files are given, so write mqtts:// or remove them"
        )
    return Endpoint(
        host=host,
        port=port or DEFAULT_PORTS[parts.scheme],
        tls=_tls_context(settings) if is_tls else None,
    )


def password_of(settings: BrokerSettings) -> str | None:
    """Return the password, read from its file if one is named; None for none.

    Raises:
        BrokerRefusedError: If the file cannot be read, or both ways are used.
    """
    if settings.password_file is None:
        return settings.password or None
    if settings.password:
        raise BrokerRefusedError("broker login: expected password or password_file, got both")
    try:
        lines = settings.password_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerRefusedError(
            f"broker login: cannot read the password file {settings.password_file}: {error}"
        ) from None
    if not lines or not lines[0]:
        raise BrokerRefusedError(
            f"broker login: expected the password in the first line of {settings.password_file}, "
            "got an empty line"
        )
    return lines[0]


def _tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.sslsocket_class = ClosingSocket
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        elif settings.key_file is not None:
            raise BrokerRefusedError("TLS: key_file is given without cert_file: give both or none")
    except (OSError, ssl.SSLError) as error:
        names = [settings.ca_file, settings.cert_file, settings.key_file]
        shown = ", ".join(str(name) for name in names if name is not None)
        raise BrokerRefusedError(
            f"TLS: cannot use {shown or 'the authorities of this system'}: {error}: "
            "expected readable PEM files"
        ) from None
    return context


def _shown(url: str) -> str:
    # What stands before an @ may be a password.
    return repr(url.rpartition("@")[2])
