"""Who can read bodies on a real network: everything is recorded, then every key is tried (P90)."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fednode.channel_store import FILE_NAME, ChannelStore
from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.transport.memory import Link, MemoryHub, MemoryTransport
from fednode.transport.mqtt import MqttTransport
from fednode.transport.settings import BrokerSettings
from fednode.wire.channels import OwnKeys
from fednode.wire.envelope import Keyring, NetworkKey, open_envelope
from fednode.wire.messages import SenderMessage, decode_plaintext, is_inner_envelope
from fednode.wire.packets import decode_packet
from fednode.wire.sender_keys import SenderKeys
from fednode.wire.topics import topics_of
from ledger.encoding import encode
from ledger.errors import DecodeError
from ledger.genesis import chain_id
from ledger.records import Block, BlockKind
from ledger.state import State
from tests.fednode.transport.mosquitto import Mosquitto
from tests.support.network import (
    NETWORK_KEY,
    TEST_TIMEOUTS,
    Peer,
    found_network,
    run_network,
)

TRAINING_ROUNDS = 4
LAST_OF_EPOCH = 2
SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(name="four hospitals", training_rounds=TRAINING_ROUNDS)
PATIENT = replace(TEST_TIMEOUTS, collect_ms=30_000, collect_max_ms=30_000)


def plaintext(payload: bytes) -> bytes:
    """What whoever has the network key sees."""
    return open_envelope(payload, Keyring(NETWORK_KEY)).plaintext


@dataclass(slots=True)
class Recording:
    """A broker that keeps everything, and loses what `is_lost` names."""

    is_lost: Callable[[Link], bool] = frozenset[Link]().__contains__
    payloads: list[bytes] = field(default_factory=list)

    def __call__(self, link: Link) -> tuple[int, ...]:
        self.payloads.append(link.packet.payload)
        return () if self.is_lost(link) else (0,)

    def inner_envelopes(self) -> list[bytes]:
        opened = [plaintext(each) for each in dict.fromkeys(self.payloads)]
        return [each for each in opened if is_inner_envelope(each)]


@dataclass(slots=True)
class Keys:
    """All keys that any member ever had, by membership epoch."""

    own: dict[int, set[bytes]] = field(default_factory=dict)
    rings: dict[int, list[Keyring]] = field(default_factory=dict)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        enter, rebuild = SenderKeys.enter, SenderKeys._rebuild_keyring

        def entered(
            keys: SenderKeys, own: OwnKeys, members: Collection[int], *, now_ms: int
        ) -> None:
            self.own.setdefault(own.membership_epoch, set()).add(own.seed)
            enter(keys, own, members, now_ms=now_ms)

        def rebuilt(keys: SenderKeys) -> None:
            rebuild(keys)
            rings = self.rings.setdefault(keys.own.membership_epoch, [])
            rings.append(keys._keyring)

        monkeypatch.setattr(SenderKeys, "enter", entered)
        monkeypatch.setattr(SenderKeys, "_rebuild_keyring", rebuilt)

    def opened(self, envelopes: list[bytes], membership_epoch: int) -> set[bytes]:
        """Ids of the bodies of which the keys of an epoch open a packet."""
        keys = {
            each.key_id: each
            for ring in self.rings[membership_epoch]
            for each in (*ring._keys.values(), ring.sealing_key)
        }
        everything = Keyring(NetworkKey(key=bytes(32)))
        for key in keys.values():
            everything.add(key)
        return set(bodies_in(envelopes, everything))


def bodies_in(envelopes: list[bytes], keys: Keyring) -> Iterator[bytes]:
    for each in envelopes:
        try:
            yield decode_packet(open_envelope(each, keys).plaintext).body_id
        except DecodeError:
            continue


def transports(hub: MemoryHub, peers: tuple[Peer, ...]) -> list[MemoryTransport]:
    return [MemoryTransport(hub, name=f"node-{number}") for number in range(len(peers))]


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def bodies_on_disk(peer: Peer) -> list[bytes]:
    return [path.read_bytes() for path in peer.folder.glob("blobs/*")]


def blocks_of(peer: Peer) -> list[Block]:
    with peer.ledger() as ledger:
        return list(ledger.blocks(1, ledger.head))


def update_ids(block: Block) -> set[bytes]:
    return {each.statement.update_id for each in block.updates}


async def test_a_broker_with_the_network_key_reads_votes_and_no_parameters(tmp_path: Path) -> None:
    recording = Recording()
    peers = found_network(tmp_path, SPEC, OPTIONS, timeouts=PATIENT)

    await run_network(peers, TRAINING_ROUNDS, transports(MemoryHub(hook=recording), peers))

    everything = b"".join(plaintext(each) for each in recording.payloads)
    assert encode(blocks_of(peers[0])[0].header)[:64] in everything
    for content in bodies_on_disk(peers[0]):
        for part in (content[:64], content[-64:], content[len(content) // 2 :][:64]):
            assert part not in everything


async def test_keys_of_an_epoch_open_its_bodies_and_none_of_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who left has every key it ever had, the network key, and a recording of all traffic."""
    keys, recording = Keys(), Recording()
    keys.watch(monkeypatch)
    changed = property(lambda state: LAST_OF_EPOCH if state.height >= LAST_OF_EPOCH else 0)
    monkeypatch.setattr(State, "membership_epoch", changed)
    peers = found_network(tmp_path, SPEC, OPTIONS, timeouts=PATIENT)

    await run_network(peers, TRAINING_ROUNDS, transports(MemoryHub(hook=recording), peers))

    blocks, envelopes = blocks_of(peers[0]), recording.inner_envelopes()
    early, late = keys.opened(envelopes, 0), keys.opened(envelopes, LAST_OF_EPOCH)
    assert [block.header.kind for block in blocks] == [BlockKind.AGGREGATE] * TRAINING_ROUNDS
    for block in blocks:
        is_early = block.header.height <= LAST_OF_EPOCH
        assert (update_ids(block) <= early, update_ids(block) <= late) == (is_early, not is_early)
        assert not update_ids(block) & (late if is_early else early)
    on_disk = bytes_below(tmp_path)
    assert {len(seeds) for seeds in keys.own.values()} == {len(peers)}
    assert not any(seed in on_disk for seeds in keys.own.values() for seed in seeds)
    for peer in peers:
        kept = ChannelStore(peer.folder, peer.membership.key).load()
        assert kept is not None
        assert kept.membership_epoch == LAST_OF_EPOCH


async def test_a_trainer_that_gives_a_member_no_key_cannot_keep_it_from_its_update(
    tmp_path: Path,
) -> None:
    """Whoever has the body answers under a key of its own (Theorem B of rule P12)."""
    liar, victims = 3, (0, 1)

    def is_lost(link: Link) -> bool:
        content = plaintext(link.packet.payload)
        if link.sender != f"node-{liar}" or is_inner_envelope(content):
            return False
        is_to_victim = link.receiver in [f"node-{victim}" for victim in victims]
        return is_to_victim and isinstance(decode_plaintext(content), SenderMessage)

    timeouts = replace(TEST_TIMEOUTS, collect_ms=1_000, propose_ms=10_000)
    options = replace(OPTIONS, training_rounds=1)
    peers = found_network(tmp_path, SPEC, options, timeouts=timeouts)

    await run_network(peers, 1, transports(MemoryHub(hook=Recording(is_lost)), peers))

    (block,) = blocks_of(peers[0])
    included = {each.hex() for each in update_ids(block)}
    # No quorum without one of them, and none of them votes for what it did not compute.
    held = [{path.name for path in peers[each].folder.glob("blobs/*")} for each in victims]
    assert len(included) == len(peers)
    assert any(included <= each for each in held)


@pytest.mark.e2e
@pytest.mark.network
async def test_over_mosquitto_too_and_a_restart_keeps_the_keys(
    tmp_path: Path, mosquitto_binary: Path
) -> None:
    peers = found_network(tmp_path, SPEC, OPTIONS, timeouts=PATIENT)
    root = topics_of(chain_id(peers[0].membership.genesis.contract)).root
    kept: list[bytes] = []
    with Mosquitto(mosquitto_binary, tmp_path) as broker:
        for height in (2, TRAINING_ROUNDS):
            nodes = [
                MqttTransport(
                    BrokerSettings(url=f"mqtt://127.0.0.1:{broker.port}"),
                    member=bytes([peer.membership.member]) * 32,
                    topic_root=root,
                )
                for peer in peers
            ]
            await run_network(peers, height, nodes)
            kept += [(peer.folder / FILE_NAME).read_bytes() for peer in peers]

    assert [block.header.kind for block in blocks_of(peers[0])] == [
        BlockKind.AGGREGATE
    ] * TRAINING_ROUNDS
    assert kept[: len(peers)] == kept[len(peers) :]
    assert len(set(kept)) == len(peers)
