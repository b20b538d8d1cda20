"""Record a running network from a process of its own: `python -m fednode.testnet.record`.

Prints one line when it is subscribed; writes its report when it gets SIGTERM or SIGINT.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from fednode.clock import SystemClock
from fednode.config import load_config
from fednode.founding.membership import open_membership
from fednode.testnet.observations import Observations
from fednode.testnet.recorder import Recorder, save_report
from fednode.transport.mqtt import MqttTransport
from fednode.wire.envelope import Keyring
from fednode.wire.topics import topics_of
from ledger.genesis import chain_id


def main() -> None:
    """Record until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="node.toml of one member")
    parser.add_argument("--out", type=Path, required=True, help="where the report is written")
    options = parser.parse_args()
    asyncio.run(_record(options.config, options.out))


async def _record(config_path: Path, out: Path) -> None:
    config = load_config(config_path)
    membership = open_membership(config)
    contract = membership.genesis.contract
    topics = topics_of(chain_id(contract))
    recorder = Recorder(
        transport=MqttTransport(config.broker.settings(), member=bytes(32), topic_root=topics.root),
        topics=topics,
        keyring=Keyring(membership.network_key),
        observations=Observations(contract=contract),
        clock=SystemClock(),
    )
    recording = asyncio.create_task(recorder.run(on_ready=_say_ready))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, recording.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await recording
    save_report(out, recorder.report())


def _say_ready() -> None:
    sys.stdout.write("recording\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
