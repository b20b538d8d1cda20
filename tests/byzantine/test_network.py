"""Cuts, silences and power cuts that stopped earlier drafts of the protocol."""

from itertools import cycle

import pytest
from typing_extensions import override

from consensus.messages import (
    CertificateMessage,
    EntryProofMessage,
    Message,
    UpdateMessage,
    VoteMessage,
)
from ledger.election import schedule
from ledger.records import NIL, BlockKind, Phase, Vote, block_id
from ledger.state import initial_state
from tests.byzantine.actors.actor import Actor
from tests.byzantine.test_proposers import settings_with_first_proposer
from tests.simulation.byzantine import ByzantineNode
from tests.simulation.contracts import TIMEOUTS, make_contract
from tests.simulation.disk import Disk
from tests.simulation.mutants import no_entry_proof
from tests.simulation.node import Node
from tests.simulation.packets import ViolationError
from tests.simulation.settings import Settings
from tests.simulation.world import World

DECIDE_MS = 60_000
MINUTE_MS = 60_000
FIRST_WAITS = 2
"""Waits that are shorter than the longest, before the doubling ends."""
PREPARE = Phase.PREPARE


def deadlocked(*, is_restarted: bool = False) -> World:
    """Member 0 left view 0 by COMMITs of 1, 2 and a liar that now is silent; 1 and 2 lack one.

    The liar leads view 0, offers nothing and tells its votes to member 0 alone, whose links from 1
    and 2 lose PREPAREs. So member 0 sees three COMMITs before it could send its own. It may then
    crash after it voted in view 1, all that it said of these COMMITs being lost.
    """
    settings = settings_with_first_proposer("whisperer")
    liar = settings.byzantine[0][0]
    world = World(settings, node_class=PrepareDropper)
    whisperer = world.nodes[liar]
    assert isinstance(whisperer, ByzantineNode)
    favourite = world.nodes[world.honest[0]]
    whisperer.favourite = favourite.member
    PrepareDropper.deaf = favourite.member
    world.start()
    world.run_until(lambda: favourite.view > 0, within_ms=DECIDE_MS)
    if is_restarted:
        entered = favourite.disk
        world.run_until(lambda: entered.load_record().view > 0, within_ms=DECIDE_MS)
        favourite.crash()
    whisperer.leave()
    PrepareDropper.deaf = None
    world.heal()
    return world


class PrepareDropper(Node):
    """Its PREPAREs never reach the member that is `deaf`, whose entry proofs reach nobody."""

    deaf: int | None = None

    @override
    def emit(self, target: int, message: Message) -> None:
        is_prepare = isinstance(message, VoteMessage) and message.vote.statement.phase is PREPARE
        is_proof = isinstance(message, EntryProofMessage)
        if not (is_prepare and target == self.deaf) and not (is_proof and self.member == self.deaf):
            super().emit(target, message)


def test_three_of_four_go_on_after_one_of_them_left_a_view_by_a_liars_vote() -> None:
    """Rule P35: the entry proof gives the others the vote that only one of them was told."""
    world = deadlocked()
    honest = [world.nodes[member] for member in world.honest]
    assert [node.view for node in honest].count(0) == 2

    world.run_until(lambda: all(node.height >= 3 for node in honest), within_ms=DECIDE_MS)

    world.end()


def test_a_restart_keeps_the_vote_by_which_only_one_of_three_left_a_view() -> None:
    """Rules P35, P60: the entry proof is durable, as nobody else may ever say it again."""
    world = deadlocked(is_restarted=True)
    honest = [world.nodes[member] for member in world.honest]

    world.run_until(lambda: all(node.height >= 1 for node in honest), within_ms=DECIDE_MS)

    world.end()


def test_without_entry_proofs_the_three_would_wait_for_ever() -> None:
    world = deadlocked()
    honest = [world.nodes[member] for member in world.honest]

    with no_entry_proof(), pytest.raises(ViolationError, match="liveness"):
        world.run_until(lambda: all(node.height >= 1 for node in honest), within_ms=DECIDE_MS)


def test_a_cut_link_among_three_of_four_is_harmless_once_the_network_is_perfect() -> None:
    """Rule P35: two members that hear each other through a third only lose nothing for good."""
    world = World(Settings(seed=21, byzantine=((3, "silent"),), faulty_ms=1))
    world.start()
    world.network.cut(1, frozenset({(0, 1), (1, 0)}))
    world.run_until(lambda: world.now >= 20_000, within_ms=30_000)
    before = max(node.height for node in world.nodes)

    world.network.join(1)
    honest = [world.nodes[member] for member in world.honest]
    world.run_until(lambda: all(node.height >= before + 3 for node in honest), within_ms=DECIDE_MS)

    world.end()


def test_short_one_way_partitions_never_stop_the_heights() -> None:
    """Rules P29, P35: who missed the votes of a view catches up from what is said again."""
    world = World(Settings(seed=22, faulty_ms=1))
    world.start()
    links = cycle(
        frozenset((source, target) for target in range(4) if target != source)
        for source in range(4)
    )

    def cut() -> None:
        world.network.cut(1, next(links))
        world.at(700, join)

    def join() -> None:
        world.network.join(1)
        world.at(700, cut)

    world.at(0, cut)
    world.run_until(lambda: all(node.height >= 5 for node in world.nodes), within_ms=4 * DECIDE_MS)

    world.end()


def test_a_power_cut_after_three_commits_keeps_the_block_although_its_proposer_is_gone() -> None:
    """Rule P60: block and bodies are durable before a vote, so three of four can finish."""
    settings = Settings(seed=23, faulty_ms=1)
    contract = make_contract(settings)
    proposer = schedule(contract, initial_state(contract))[0]
    world = World(settings, node_class=CommitKeeper)
    keepers = [node for node in world.nodes if isinstance(node, CommitKeeper)]
    others = [node for node in keepers if node.member != proposer]
    world.start()
    world.run_until(lambda: all(node.kept for node in others), within_ms=DECIDE_MS)
    locked = {vote.block_id for node in others for vote in node.kept}
    for node in keepers:
        node.is_keeping = False
        node.crash()
    world.nodes[proposer].leave()

    world.run_until(lambda: all(node.height >= 1 for node in others), within_ms=DECIDE_MS)

    assert {block_id(node.disk.block_at(1).header) for node in others} == locked
    assert len(locked) == 1


class CommitKeeper(Node):
    """Its COMMITs for a block are signed, but until the power cut nobody receives them."""

    def __init__(self, world: World, member: int, disk: Disk) -> None:
        super().__init__(world, member, disk)
        self.is_keeping = True
        self.kept: list[Vote] = []

    @override
    def emit(self, target: int, message: Message) -> None:
        if self.is_keeping and isinstance(message, CertificateMessage):
            return
        if self.is_keeping and isinstance(message, VoteMessage):
            vote = message.vote.statement
            if vote.phase is Phase.COMMIT and vote.block_id != NIL:
                self.kept.append(vote)
                return
        super().emit(target, message)


class Quitter(Actor):
    """Votes like everybody, but offers no update any more."""

    name = "quitter"

    @override
    def publish(self, message: Message) -> None:
        if not isinstance(message, UpdateMessage):
            self.stage.say(message)


def test_trainers_that_end_one_after_another_leave_few_blocks_per_minute() -> None:
    """Rule P15: the wait doubles with each EMPTY block, so that ledgers do not fill with them."""
    ends = {0: 3, 1: 5, 2: 7}
    parts = tuple((member, f"silent:heights={height}-") for member, height in ends.items())
    world = World(Settings(seed=24, byzantine=parts, faulty_ms=1))
    for member in ends:
        node = world.nodes[member]
        assert isinstance(node, ByzantineNode)
        node.actor = Quitter(node)
    world.start()

    world.run_until(lambda: world.nodes[3].height >= ends[1], within_ms=DECIDE_MS)
    before, began_ms = world.nodes[3].height, world.now
    world.run_until(lambda: world.now >= began_ms + MINUTE_MS, within_ms=2 * MINUTE_MS)

    blocks = [world.nodes[3].disk.block_at(h) for h in range(before + 1, world.nodes[3].height + 1)]
    assert {block.header.kind for block in blocks} == {BlockKind.EMPTY}
    assert 1 <= len(blocks) <= FIRST_WAITS + MINUTE_MS // TIMEOUTS.collect_max_ms
