"""Print as JSON the processor time that a node spends on a received body, part by part.

From sealed packets, as a connection hands them over, to a body that is checked, durable and in
memory for the aggregate. One process, no broker; the time of all its threads counts.

Example: scripts/bench/received_body.py --parameters 1000000 --bodies 24
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fednode.blockwork import check_update_body, load_update
from fednode.clock import SystemClock
from fednode.exchange import BodyExchange, ExchangeParts, Wanted
from fednode.inbox import ArrivedPacket, MessageInbox
from fednode.roster import Roster
from fednode.transport.base import PAYLOAD_BYTES_WISH
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.bodies import ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.envelope import Keyring, NetworkKey, seal
from fednode.wire.line import Line
from fednode.wire.packets import cut, encode_packet, leaf_hashes, packet_granules
from fednode.wire.pull import PullLimits
from fednode.wire.sender_keys import SenderKeys
from fednode.wire.topics import topics_of
from ledger.blobs import Blobs
from ledger.bodies import body_id, encode_update_body
from ledger.genesis import Contract
from ledger.keys import sign
from ledger.state import initial_state
from ledger.tensors import TensorSpec
from tests.support.ledger import contract, keys, model_terms, update
from tests.support.sender_keys import acquainted

OWN, OTHER, MEMBERS = 0, 1, 4
KEYS = keys(MEMBERS)
NETWORK_KEY = Keyring(NetworkKey(key=bytes(32)))


class Stages:
    """Adds up processor time by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = 0.0

    def begin(self) -> None:
        """Count from here."""
        self._since = time.process_time()

    def end(self, name: str) -> None:
        """Count what passed for this stage, and go on."""
        now = time.process_time()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def main() -> int:
    """Receive bodies and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=int, default=1_000_000, help="size of the model")
    parser.add_argument("--bodies", type=int, default=24, help="how many are received")
    options = parser.parse_args()
    tensors = (TensorSpec(name="values", shape=(options.parameters,), exponent=20),)
    terms = replace(contract(MEMBERS), model=model_terms(tensors))
    stages = Stages()
    with tempfile.TemporaryDirectory(prefix="fednode-bench-") as folder:
        asyncio.run(receive(terms, Blobs(Path(folder)), stages, options.bodies))
    each = {name: round(1000 * s / options.bodies, 2) for name, s in stages.seconds.items()}
    report = {"parameters": options.parameters, "ms_per_body": each}
    print(json.dumps({**report, "sum_ms": round(sum(each.values()), 2)}))
    return 0


async def receive(terms: Contract, blobs: Blobs, stages: Stages, number: int) -> None:
    """Receive, store and check that many bodies, one after the other."""
    state, members = initial_state(terms), acquainted(MEMBERS)
    counters = Counters()
    inbox = MessageInbox(
        roster=Roster(terms, state),
        keyring=NETWORK_KEY,
        sender_keys=members[OWN],
        counters=counters,
    )
    exchange, tasks = make_exchange(blobs, counters, state.chain_id)
    for _ in range(number):
        body = random_body(terms)
        header = update(terms, state, OTHER, KEYS[OTHER]).statement
        header = replace(header, update_id=body_id(body))
        packets = sealed_packets(body, header.update_id, members[OTHER])
        holding = asyncio.create_task(exchange.hold(wanted(header.update_id, len(body))))
        await asyncio.sleep(0)
        stages.begin()
        for packet in packets:
            arrival = inbox.open(packet)
            stages.end("open")
            assert isinstance(arrival, ArrivedPacket), arrival
            exchange.on_packet(arrival.packet, sender=arrival.sender)
            stages.end("put together")
        arrived = await holding
        stages.end("store")
        if arrived is None:
            load_update(terms, header, blobs)
        else:
            check_update_body(terms, header, arrived)
        stages.end("check")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def random_body(terms: Contract) -> bytes:
    """Return the body of an update with random values within the bounds of rule P5."""
    values = bytearray(os.urandom(4 * terms.model.n_elements))
    values[3::4] = bytes(len(values) // 4)  # the highest bytes
    return encode_update_body(os.urandom(32), terms.model.tensors, bytes(values))


def sealed_packets(body: bytes, update_id: bytes, keys_of_sender: SenderKeys) -> list[bytes]:
    """Return a body as its trainer pushes it."""
    granules = packet_granules(PAYLOAD_BYTES_WISH)
    return [
        seal(keys_of_sender.seal_push(encode_packet(each)), NETWORK_KEY, nonce_source=os.urandom)
        for each in cut(body, update_id, granules=granules, leaves=leaf_hashes(body))
    ]


def wanted(update_id: bytes, total_bytes: int) -> Wanted:
    """Return what a node wants when a header announced a body."""
    return Wanted(
        body_id=update_id,
        origin=OTHER,
        total_bytes=total_bytes,
        height=1,
        responders=(OTHER,),
        is_pushed=True,
    )


def make_exchange(
    blobs: Blobs, counters: Counters, chain: bytes
) -> tuple[BodyExchange, list[asyncio.Task[None]]]:
    """Return a running exchange that asks nobody, and its tasks."""
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return tasks[-1]

    transport = MemoryTransport(MemoryHub(), name="own")
    line = Line(own=OWN, transport=transport, topics=topics_of(chain), seal=lambda data: data)
    parts = ExchangeParts(
        line=line,
        blobs=blobs,
        sign=lambda request: sign(request, KEYS[OWN], signer=OWN, chain_id=chain),
        can_read=range(MEMBERS).__contains__,
        clock=SystemClock(),
        first_counter=0,
        counters=counters,
        receiver_limits=ReceiverLimits,
        pull_limits=PullLimits(),
    )
    exchange = BodyExchange(parts)
    exchange.start(spawn)
    return exchange, tasks


if __name__ == "__main__":
    sys.exit(main())
