"""`fednode run`: one peer."""

from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednode.config import NodeConfig
    from fednode.events import EventSink
    from fednode.founding.membership import Membership

STANDARD_OUTPUT = "-"


class LogLevel(StrEnum):
    """How severe something must be to be logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def run(
    *,
    config: Annotated[Path, typer.Option(help="The member's node.toml.", metavar="FILE")] = Path(
        "node.toml"
    ),
    events: Annotated[
        str,
        typer.Option(help="Write one JSON object per event; - is standard output.", metavar="FILE"),
    ] = "",
    log_level: Annotated[
        LogLevel, typer.Option(help="Least severity that is logged on standard error.")
    ] = LogLevel.INFO,
) -> None:
    """Run this member's node until it is stopped by Ctrl-C or SIGTERM; it may be started again.

    Refuses to start when the contract is not what this member's settings and data say.

    Example: fednode run --config north/node.toml --events north/events.jsonl
    """
    import asyncio
    import logging

    from fednode.config import load_config
    from fednode.founding.membership import open_membership
    from fednode.member import run_member
    from ledger.genesis import chain_id

    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = load_config(config)
    membership = open_membership(settings)
    logging.getLogger(__name__).info(
        "member=%d name=%s chain=%s network_key=%s",
        membership.member,
        settings.node.name,
        chain_id(membership.genesis.contract).hex(),
        membership.network_key.key_id.hex(),
    )
    with _surroundings(settings, membership, events) as sink:
        asyncio.run(run_member(settings, membership, sink))


@contextmanager
def _surroundings(
    settings: "NodeConfig", membership: "Membership", events: str
) -> "Iterator[EventSink]":
    """Hold the lock of the key's folder, and yield where events go."""
    import logging

    from fednode.clock import SystemClock
    from fednode.errors import ConfigError
    from fednode.events import Fanout
    from fednode.founding.membership import known_state, settle_keys
    from fednode.status import STATUS_NAME, LastError, StatusBoard
    from ledger.lock import FolderLock

    folder = settings.node.folder
    with ExitStack() as stack:
        key_folder = settings.node.key_file.parent
        if key_folder.resolve() == folder.resolve():
            raise ConfigError(
                f"expected node.folder to be another folder than that of the key, got {folder} "
                "for both; set node.folder to a folder below it"
            )
        # Rule P60: two nodes with one key would contradict each other, whatever their folders.
        stack.enter_context(FolderLock(key_folder))
        settle_keys(settings, known_state(folder, membership.genesis.contract))
        folder.mkdir(parents=True, exist_ok=True)
        board = StatusBoard(folder / STATUS_NAME, SystemClock())
        logging.getLogger().addHandler(LastError(board))
        sinks: list[EventSink] = [board]
        if events:
            sinks.append(stack.enter_context(_json_lines(events, membership.member)))
        reason = "failed"
        try:
            yield Fanout(*sinks)
            reason = "stopped by a signal"
        except Exception as error:
            reason = str(error)
            raise
        finally:
            board.close(reason)


@contextmanager
def _json_lines(events: str, member: int) -> "Iterator[EventSink]":
    import sys

    from fednode.clock import SystemClock
    from fednode.errors import ConfigError
    from fednode.events import JsonLines, VotesOnce

    if events == STANDARD_OUTPUT:
        with JsonLines(sys.stdout.fileno(), member=member, clock=SystemClock()) as lines:
            yield VotesOnce(lines)
        return
    try:
        stream = Path(events).open("a", encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as error:
        raise ConfigError(
            f"expected --events to name a file that can be written, got {events}: {error.strerror}"
        ) from None
    with stream, JsonLines(stream.fileno(), member=member, clock=SystemClock()) as lines:
        # The status board hears all of them: whoever says its votes again is there.
        yield VotesOnce(lines)
