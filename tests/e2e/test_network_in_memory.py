"""Four hospitals in one process: real training, votes, ledgers; what a broker sees of it."""

from dataclasses import replace
from pathlib import Path

from consensus.messages import Status, StatusMessage
from fednode.founding.contracts import ContractOptions
from fednode.inbox import MessageInbox
from fednode.learning.data_spec import DataSpec
from fednode.roster import Roster
from fednode.transport.memory import Link, MemoryHub, MemoryTransport
from fednode.wire.counters import Counters
from fednode.wire.envelope import Keyring, NetworkKey, seal
from fednode.wire.messages import encode_plaintext
from ledger.audit import audit
from ledger.encoding import encode
from ledger.genesis import chain_id
from ledger.keys import sign
from ledger.records import BlockKind, block_id
from ledger.state import initial_state
from tests.support.network import TEST_TIMEOUTS, Peer, found_network, run_network
from tests.support.sender_keys import not_entered

TRAINING_ROUNDS = 4
SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(name="four hospitals", training_rounds=TRAINING_ROUNDS)
PATIENT = replace(TEST_TIMEOUTS, collect_ms=30_000, collect_max_ms=30_000)
"""Nobody is left out for being slow, whatever else the machine does."""


class Capture:
    """Everything that a broker which reads everything has read."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.payloads: set[bytes] = set()

    def __call__(self, link: Link) -> tuple[int, ...]:
        self.topics.add(link.packet.topic)
        self.payloads.add(link.packet.payload)
        return (0,)


def transports(hub: MemoryHub, peers: tuple[Peer, ...]) -> list[MemoryTransport]:
    return [MemoryTransport(hub, name=f"node-{number}") for number in range(len(peers))]


def model_ids(peer: Peer) -> list[bytes]:
    with peer.ledger() as ledger:
        return [block.header.results.model_id for block in ledger.blocks(1, ledger.head)]


async def test_four_hospitals_train_vote_and_keep_ledgers_that_audit(tmp_path: Path) -> None:
    peers = found_network(tmp_path, SPEC, OPTIONS, timeouts=PATIENT)

    await run_network(peers, TRAINING_ROUNDS, transports(MemoryHub(), peers))

    ids = []
    for peer in peers:
        with peer.ledger() as ledger:
            blocks = tuple(ledger.blocks(1, ledger.head))
            report = audit(peer.membership.genesis, blocks, ledger.certificate_at(ledger.head))
            assert report.findings == ()
            assert all(block.header.kind is BlockKind.AGGREGATE for block in blocks)
            ids.append([block_id(block.header) for block in blocks])
    assert len(ids[0]) == TRAINING_ROUNDS
    assert all(each == ids[0] for each in ids)


async def test_the_same_seed_gives_the_same_chain_of_models(tmp_path: Path) -> None:
    chains = []
    for attempt in ("first", "second"):
        peers = found_network(tmp_path / attempt, SPEC, OPTIONS, timeouts=PATIENT)
        await run_network(peers, TRAINING_ROUNDS, transports(MemoryHub(), peers))
        chains.append(model_ids(peers[0]))
    other_seed = replace(OPTIONS, seed=1)
    peers = found_network(tmp_path / "other", SPEC, other_seed, timeouts=PATIENT)
    await run_network(peers, TRAINING_ROUNDS, transports(MemoryHub(), peers))

    assert chains[0] == chains[1]
    assert model_ids(peers[0]) != chains[0]


async def test_a_broker_that_reads_everything_learns_no_name_field_header_or_parameter(
    tmp_path: Path,
) -> None:
    capture = Capture()
    peers = found_network(tmp_path, SPEC, OPTIONS)

    await run_network(peers, TRAINING_ROUNDS, transports(MemoryHub(hook=capture), peers))

    everything = b"\n".join([*capture.payloads, *(topic.encode() for topic in capture.topics)])
    contract = peers[0].membership.genesis.contract
    secrets = {
        "chain id": chain_id(contract),
        "chain id in hexadecimal": chain_id(contract).hex().encode(),
        "rule": contract.aggregation.rule_id.encode(),
        "network key": peers[0].membership.network_key.key,
    }
    for member in contract.members:
        secrets[member.name] = member.name.encode()
    for feature in contract.data.features:
        secrets[f"feature {feature.name}"] = feature.name.encode()
    with peers[0].ledger() as ledger:
        for block in ledger.blocks(1, ledger.head):
            where = f"of height {block.header.height}"
            secrets[f"block id {where}"] = block_id(block.header)
            secrets[f"header {where}"] = encode(block.header)[:64]
            secrets[f"model id {where}"] = block.header.results.model_id
            secrets[f"update id {where}"] = block.updates[0].statement.update_id
            secrets[f"signature {where}"] = block.updates[0].signature
            body = peers[0].folder / "blobs" / block.updates[0].statement.update_id.hex()
            secrets[f"parameters {where}"] = body.read_bytes()[-64:]
    assert len(capture.payloads) > TRAINING_ROUNDS * len(peers)
    for what, secret in secrets.items():
        assert secret not in everything, f"the broker can read the {what}"
    assert all(topic.startswith("fednode/") for topic in capture.topics)


def test_a_message_sealed_under_another_key_is_dropped_and_counted(tmp_path: Path) -> None:
    membership = found_network(tmp_path, SPEC, OPTIONS)[0].membership
    contract = membership.genesis.contract
    counters = Counters()
    inbox = MessageInbox(
        roster=Roster(contract, initial_state(contract)),
        keyring=Keyring(membership.network_key),
        sender_keys=not_entered(0),
        counters=counters,
    )
    status = Status(height=0, block_id=bytes(32), sequence=1)
    signed = sign(status, membership.key, signer=0, chain_id=chain_id(contract))
    plaintext = encode_plaintext(StatusMessage(status=signed))
    stranger = NetworkKey(key=bytes(32))

    heard = inbox.open(seal(plaintext, Keyring(membership.network_key), nonce_source=bytes))
    dropped = inbox.open(seal(plaintext, Keyring(stranger), nonce_source=bytes))

    assert heard is not None
    assert dropped is None
    assert counters.of("envelope") == 1
