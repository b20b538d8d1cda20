"""Members come, change keys, are sent away and leave, on a network that goes on training (P81)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from fednode.changes.mailbox import Approve, Mailbox, Offer, Order
from fednode.changes.next_key import make_next_key
from fednode.founding.contracts import ContractOptions
from fednode.founding.keys import MemberKey, create_key_file
from fednode.founding.membership import Membership, known_state
from fednode.learning.data_spec import DataSpec
from fednode.learning.local_training import LocalTraining
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.registry import build_learner
from fednode.learning.site_data import load_sites, site_datasets
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.audit import audit
from ledger.certificates import signers
from ledger.genesis import Role
from ledger.keys import SecretKey
from ledger.membership import Standing
from ledger.operations import (
    NO_SIGNATURE,
    Evict,
    Join,
    Leave,
    Operation,
    Rotate,
    operation_id,
    with_possession,
)
from ledger.records import block_id
from ledger.state import State
from tests.support.network import HeightWatch, Peer, found_sites

SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=5, test_fraction=0.2)
OPTIONS = ContractOptions(
    name="four hospitals, and more", training_rounds=400, local_steps=2, min_updates=2
)
EXPIRY = 400
TIMEOUT_S = 90.0


@dataclass
class Town:
    """Running members of one network."""

    folder: Path
    peers: list[Peer]
    hub: MemoryHub = field(default_factory=MemoryHub)
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    is_over: bool = False

    def start(self, number: int) -> None:
        transport = MemoryTransport(self.hub, name=f"node-{number}-{len(self.tasks)}")
        peer = self.peers[number]
        run = peer.run_until(transport, lambda: self.is_over)
        self.tasks[number] = asyncio.create_task(run)

    def state(self, number: int = 0) -> State:
        peer = self.peers[number]
        return known_state(peer.folder, peer.membership.genesis.contract)

    def order(self, number: int, order: Order) -> None:
        Mailbox(self.peers[number].folder).put(order, now_ms=0)

    def agree(self, operation: Operation, sponsor: int, *others: int) -> None:
        self.order(sponsor, Offer(operation=operation))
        wanted = operation_id(operation, self.state(sponsor).chain_id)
        for other in others:
            self.order(other, Approve(operation_id=wanted))

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not is_so():
                for task in self.tasks.values():
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        self.is_over = True
        await asyncio.gather(*self.tasks.values())


def found(folder: Path) -> Town:
    """Four members with keys in files."""
    sites = load_sites(SPEC)
    peers = []
    for number, peer in enumerate(found_sites(folder, sites[:4], SPEC, OPTIONS)):
        seed = sha256(f"member {number}".encode()).digest()
        key_file = folder / f"member-{number}.key"
        create_key_file(key_file, seed)
        peers.append(replace(peer, membership=replace(peer.membership, key_file=key_file)))
    return Town(folder=folder, peers=peers)


def newcomer(town: Town, number: int) -> Peer:
    """The fifth site, whose key the chain has taken in under `number`."""
    first = town.peers[0].membership
    contract = first.genesis.contract
    site = load_sites(SPEC)[4]
    settings = town.peers[0].training.settings
    data = site_datasets(site, contract.data.features)
    return Peer(
        membership=Membership(
            genesis=first.genesis, member=number, key=NEW_KEY, network_key=first.network_key
        ),
        folder=town.folder / f"member-{number}",
        training=LocalTraining(
            learner=build_learner(settings, len(contract.data.features), data),
            settings=settings,
            tensors=contract.model.tensors,
            member=number,
            momenta=MomentumMemory(),
            attack=None,
        ),
        watch=HeightWatch(),
    )


NEW_KEY = SecretKey(sha256(b"the newcomer").digest())


def join_of(town: Town) -> Join:
    join = Join(
        public_key=NEW_KEY.public_key,
        name="newcomer",
        roles=int(Role.TRAINER | Role.VALIDATOR),
        samples=len(load_sites(SPEC)[4].training),
        expiry=EXPIRY,
        possession=NO_SIGNATURE,
    )
    return with_possession(join, NEW_KEY, town.state().chain_id)


def standing(town: Town, number: int) -> Standing | None:
    members = town.state().membership.members
    return members[number].standing if number < len(members) else None


def takes_part(town: Town, number: int, *, at: int = 0) -> bool:
    """Whether a member's update and its COMMIT are in the last block of another's ledger."""
    with town.peers[at].ledger() as ledger:
        state = ledger.state
        if not state.height:
            return False
        block = ledger.block_at(state.height)
        signed = signers(ledger.certificate_at(state.height), state.previous_validators)
    included = [each.trainer for each in block.header.results.contributions]
    return number in signed and number in included


async def test_a_member_joins_from_nothing_and_others_rotate_are_evicted_and_leave(
    tmp_path: Path,
) -> None:
    town = found(tmp_path)
    for number in range(4):
        town.start(number)
    await town.until(lambda: town.state().height >= 2)

    town.agree(join_of(town), 0, 1, 2, 3)
    await town.until(lambda: standing(town, 4) is Standing.PENDING)
    town.peers.append(newcomer(town, 4))
    town.start(4)
    await town.until(lambda: takes_part(town, 4))

    key = rotated_key(town, 2)
    town.agree(rotate_of(town, 2, key), 2, 0, 1, 3)
    await town.until(lambda: town.state().membership.public_keys[2] == key.public_key)
    await town.until(lambda: takes_part(town, 2))

    town.agree(Evict(member=3, admitted=0, expiry=EXPIRY), 0, 1, 2, 4)
    await town.until(lambda: standing(town, 3) is Standing.GONE)
    town.agree(Leave(member=1, admitted=0, expiry=EXPIRY), 1)
    await town.until(lambda: standing(town, 1) is Standing.GONE)
    height = town.state().height
    await town.until(lambda: all(town.state(each).height > height + 1 for each in range(5)))
    await town.end()

    check_ledgers(town)
    assert town.state().validators.members == (0, 2, 4)


def rotated_key(town: Town, number: int) -> MemberKey:
    key_file = town.peers[number].membership.key_file
    assert key_file is not None
    return make_next_key(key_file, sha256(b"another key").digest())


def rotate_of(town: Town, number: int, key: MemberKey) -> Rotate:
    rotate = Rotate(
        member=number,
        admitted=town.state().membership.members[number].admitted,
        public_key=key.public_key,
        expiry=EXPIRY,
        possession=NO_SIGNATURE,
    )
    return with_possession(rotate, key.signing, town.state().chain_id)


def check_ledgers(town: Town) -> None:
    """All ledgers audit, and each is a prefix of the longest."""
    chains = []
    for peer in town.peers:
        with peer.ledger() as ledger:
            blocks = tuple(ledger.blocks(1, ledger.head))
            tip = ledger.certificate_at(ledger.head)
            assert audit(peer.membership.genesis, blocks, tip).findings == ()
            chains.append([block_id(block.header) for block in blocks])
    longest = max(chains, key=len)
    assert all(chain == longest[: len(chain)] for chain in chains)
