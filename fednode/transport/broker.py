"""An embedded broker (amqtt, MQTT 3.1.1), so that trying fednode needs no other software.

`python -m fednode.transport.broker --port 0` prints one line `{"port": N}` when it is ready. It
belongs in a process of its own: it holds what a stopped subscriber has not read in memory, and
its work would delay a node's votes. For hospitals use mosquitto or another broker with passwords.
"""

import argparse
import asyncio
import ctypes
import errno
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fednode.transport.errors import BrokerRefusedError, TransportError

if TYPE_CHECKING:
    from amqtt.broker import Broker

LOCAL_HOST = "127.0.0.1"
FREE_PORT_ATTEMPTS = 5
EXIT_REFUSED = 2
_PR_SET_PDEATHSIG = 1


@asynccontextmanager
async def embedded_broker(
    host: str = LOCAL_HOST, port: int = 0, *, allow_remote: bool = False
) -> AsyncIterator[int]:
    """Run a broker in this event loop and yield its port.

    Args:
        host: Address to listen at.
        port: Port, or 0 for a free one.
        allow_remote: Whether an address other than loopback is meant. Anybody who reaches it can
            use the broker: envelopes keep contents secret, but nothing stops a flood.

    Raises:
        BrokerRefusedError: If the port is taken or the address is not allowed.
    """
    _check_host(host, allow_remote=allow_remote)
    for name in ("amqtt", "transitions"):
        # It reports ordinary events, a client that hangs up for example, as errors.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    broker, number = await _start(host, port)
    try:
        yield number
    finally:
        await broker.shutdown()


async def serve_broker(
    host: str,
    port: int,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[int], None],
    allow_remote: bool = False,
) -> None:
    """Run a broker until `stop` is set; `on_ready` gets the port once clients can connect.

    Raises:
        BrokerRefusedError: If the port is taken or the address is not allowed.
    """
    async with embedded_broker(host, port, allow_remote=allow_remote) as number:
        on_ready(number)
        await stop.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run the broker as a process and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m fednode.transport.broker", description=__doc__)
    parser.add_argument("--host", default=LOCAL_HOST)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--allow-remote", action="store_true", help="listen beyond this computer, without passwords"
    )
    parser.add_argument(
        "--stop-with-parent",
        action="store_true",
        help="stop when standard input is closed or the parent dies",
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_serve_process(options))
    except TransportError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    return 0


async def _serve_process(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.stop_with_parent:
        _stop_with_parent(stop)
    await serve_broker(
        options.host,
        options.port,
        stop=stop,
        on_ready=_print_port,
        allow_remote=options.allow_remote,
    )


def _print_port(port: int) -> None:
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()


def _stop_with_parent(stop: asyncio.Event) -> None:
    def read_input() -> None:
        if not os.read(descriptor, 4096):
            asyncio.get_running_loop().remove_reader(descriptor)
            stop.set()

    descriptor = sys.stdin.fileno()
    try:
        asyncio.get_running_loop().add_reader(descriptor, read_input)
    except PermissionError:
        raise BrokerRefusedError(
            "--stop-with-parent: expected a pipe as standard input, got a file or nothing"
        ) from None
    if sys.platform == "linux":
        # The closed input is the rule; this covers a parent whose input another child inherited.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _start(host: str, port: int) -> "tuple[Broker, int]":
    # Imported here: a node that uses another broker needs none of it.
    from amqtt.broker import Broker  # noqa: PLC0415
    from amqtt.contexts import BrokerConfig, ListenerConfig  # noqa: PLC0415
    from amqtt.errors import BrokerError  # noqa: PLC0415

    last_error = ""
    # A free port may be taken by somebody else before the broker has it: then choose another.
    for _ in range(FREE_PORT_ATTEMPTS if port == 0 else 1):
        number = _checked_port(host, port)
        config = BrokerConfig(
            listeners={"default": ListenerConfig(bind=f"{host}:{number}")},
            # Exactly this plugin: with none amqtt refuses every client, with its defaults it logs
            # each packet and publishes $SYS topics.
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
        broker = Broker(config)
        try:
            await broker.start()
        except BrokerError as error:
            last_error = str(error)
        else:
            return broker, number
    raise BrokerRefusedError(f"broker at {host}:{port} did not start: {last_error}")


def _check_host(host: str, *, allow_remote: bool) -> None:
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local and not allow_remote:
        raise BrokerRefusedError(
            f"the embedded broker has no passwords: expected a loopback address, got {host!r}: "
            "use a broker with passwords, or say that everybody may connect (--allow-remote)"
        )


def _checked_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0, after a trial: amqtt reports a taken one poorly."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            trial.listen()
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "something else listens there" if taken else str(error)
            raise BrokerRefusedError(
                f"broker cannot listen at {host}:{port}: {why}: choose another port"
            ) from None
        return int(trial.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
