"""`fednode broker`: the embedded broker alone."""

from typing import Annotated

import typer


def broker(
    *,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 1883,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="Listen beyond this computer, without passwords."),
    ] = False,
) -> None:
    """Run an MQTT broker for trying things out, until Ctrl-C; hospitals use one with passwords.

    Example: fednode broker --port 1883
    """
    import asyncio

    asyncio.run(_serve(host, port, allow_remote=allow_remote))


async def _serve(host: str, port: int, *, allow_remote: bool) -> None:
    import asyncio
    import signal

    from fednode.transport.broker import serve_broker

    def say_ready(number: int) -> None:
        print(f"listening at mqtt://{host}:{number}", flush=True)

    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await serve_broker(host, port, stop=stop, on_ready=say_ready, allow_remote=allow_remote)
