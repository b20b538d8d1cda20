"""Run the nodes of existing member folders, each as a process, against a broker that runs."""

import asyncio
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fednode.config import NodeConfig, load_config, write_config
from fednode.errors import ConfigError
from fednode.founding.members import CONFIG_NAME
from fednode.testnet.children import Child, Command, start_child

LOG_NAME: Final = "node.log"

Say = Callable[[str], None]


async def run_peers(folders: Sequence[Path], say: Say) -> int:
    """Run one node per folder until all ended or somebody interrupts; return how many failed.

    Args:
        folders: Members' folders, each with its `node.toml`.
        say: Takes a line about each committed height and each end.

    Raises:
        OSError: If a log cannot be written.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    peers = [await _start(folder) for folder in folders]
    follow = [
        asyncio.create_task(_follow(folder.name, peer, say, stopping))
        for folder, peer in zip(folders, peers, strict=True)
    ]
    ended = asyncio.gather(*follow)
    interrupted = asyncio.create_task(stopping.wait())
    await asyncio.wait((ended, interrupted), return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*(peer.stop() for peer in peers))
    interrupted.cancel()
    return sum(status != 0 for status in await ended)


def check_folders(folders: Sequence[Path]) -> tuple[NodeConfig, ...]:
    """Return the configurations of members' folders.

    Raises:
        ConfigError: If one is missing or wrong, or two are of one member.
    """
    configs = tuple(load_config(folder / CONFIG_NAME) for folder in folders)
    if len({config.node.key_file.resolve() for config in configs}) < len(configs):
        raise ConfigError("expected different members, got one folder or key twice")
    return configs


def point_peers(folders: Sequence[Path], url: str) -> None:
    """Let every folder's configuration name the broker at `url`.

    Raises:
        ConfigError: If a configuration is missing or wrong.
    """
    for folder, config in zip(folders, check_folders(folders), strict=True):
        broker = config.broker.model_copy(update={"url": url})
        write_config(folder / CONFIG_NAME, config.model_copy(update={"broker": broker}))


async def _start(folder: Path) -> Child:
    arguments = ("-m", "fednode", "run", "--config", str(folder / CONFIG_NAME), "--events", "-")
    return await start_child(Command(arguments=arguments, folder=folder, log=folder / LOG_NAME))


async def _follow(name: str, peer: Child, say: Say, stopping: asyncio.Event) -> int:
    say(f"{name} runs as process {peer.process_id}")
    async for line in peer.lines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "committed":
            say(f"{name} height {event['height']}: {event['kind']}, model {event['model_id'][:8]}")
    status = await peer.wait()
    if stopping.is_set():
        return 0
    say(f"{name} ended: {peer.last_words() or f'exit status {status}'}")
    return status
