"""The recorder proves what a run did, and finds a member that says two things at once (P34)."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from consensus.messages import CertificateMessage, VoteMessage
from fednode.clock import SystemClock
from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.testnet.observations import Observations
from fednode.testnet.recorder import Recorder
from fednode.transport.base import Lane
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.envelope import Keyring, seal
from fednode.wire.messages import encode_plaintext
from fednode.wire.topics import topics_of
from ledger.certificates import make_certificate
from ledger.genesis import Contract, chain_id
from ledger.keys import Signed, sign
from ledger.records import FRESH, Phase, Vote
from ledger.state import initial_state
from tests.support.ledger import contract as make_contract
from tests.support.ledger import digest, keys
from tests.support.network import Peer, found_network, run_network

TRAINING_ROUNDS = 2
TURNS = 50
"""Turns of the event loop in which the recorder hears what was published."""
SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(name="recorded", training_rounds=TRAINING_ROUNDS, local_steps=2)
COMMIT = Vote(phase=Phase.COMMIT, height=1, view=0, valid_view=FRESH, block_id=digest("a"))


def recorder_of(peers: tuple[Peer, ...], hub: MemoryHub) -> Recorder:
    membership = peers[0].membership
    contract = membership.genesis.contract
    return Recorder(
        transport=MemoryTransport(hub, name="recorder"),
        topics=topics_of(chain_id(contract)),
        keyring=Keyring(membership.network_key),
        observations=Observations(contract=contract),
        clock=SystemClock(),
    )


async def test_a_run_is_recorded_without_contradiction_and_a_planted_equivocator_is_found(
    tmp_path: Path,
) -> None:
    peers = found_network(tmp_path, SPEC, OPTIONS)
    hub = MemoryHub()
    recorder = recorder_of(peers, hub)
    ready = asyncio.Event()
    recording = asyncio.create_task(recorder.run(on_ready=ready.set))
    await ready.wait()
    nodes = [MemoryTransport(hub, name=f"node-{number}") for number in range(4)]

    await run_network(peers, TRAINING_ROUNDS, nodes)
    honest = recorder.report()
    async with MemoryTransport(hub, name="equivocator") as transport:
        await say_two_things(peers[3], transport)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    recording.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await recording
    after = recorder.report()

    assert honest["heights_certified"] == TRAINING_ROUNDS
    assert honest["heights_certified_twice"] == []
    assert honest["contradictions"] == []
    assert after["contradictions"] == [{"member": 3, "kind": "COMMIT", "height": 9, "view": 1}]


async def say_two_things(peer: Peer, transport: MemoryTransport) -> None:
    membership = peer.membership
    chain = chain_id(membership.genesis.contract)
    for block in (digest("one"), digest("another")):
        vote = replace(COMMIT, height=9, view=1, block_id=block)
        signed = sign(vote, membership.key, signer=membership.member, chain_id=chain)
        plaintext = encode_plaintext(VoteMessage(vote=signed, reason=""))
        payload = seal(plaintext, Keyring(membership.network_key), nonce_source=bytes)
        await transport.publish(topics_of(chain).control, payload, lane=Lane.CONTROL)


def signed_commits(contract: Contract, block: bytes, members: range) -> tuple[Signed[Vote], ...]:
    vote = replace(COMMIT, block_id=block)
    secret = keys(len(contract.members))
    return tuple(
        sign(vote, secret[number], signer=number, chain_id=chain_id(contract)) for number in members
    )


def test_two_certificates_of_one_height_are_found_and_a_fake_one_is_not_believed() -> None:
    contract = make_contract(4)
    validators = initial_state(contract).validators
    certificates = [
        make_certificate(signed_commits(contract, digest(name), range(4)), validators)
        for name in ("a", "b")
    ]
    fake = replace(certificates[1], block_id=digest("c"))
    observations = Observations(contract=contract)

    for certificate in (certificates[0], fake):
        observations.hear(CertificateMessage(certificate=certificate))
    before = observations.heights_certified_twice()
    observations.hear(CertificateMessage(certificate=certificates[1]))

    assert before == ()
    assert observations.heights_certified_twice() == (1,)
