"""The checkers see a fork, and they see it without the help of one another."""

from contextlib import AbstractContextManager, ExitStack

import pytest

from consensus.desk import Desk
from consensus.messages import CertificateMessage, HaveMessage, Message, UpdateMessage
from ledger.election import schedule
from ledger.keys import Signed
from ledger.powers import Validator, ValidatorSet
from ledger.records import FRESH, NIL, Phase, Vote
from ledger.state import initial_state
from tests.byzantine.actors.equivocator import Equivocator
from tests.simulation import checkers
from tests.simulation.byzantine import ByzantineNode
from tests.simulation.checkers import Checkers
from tests.simulation.contracts import make_contract
from tests.simulation.discipline import Discipline
from tests.simulation.forger import run_forged
from tests.simulation.mutants import MUTANTS, quorum_half
from tests.simulation.packets import ViolationError
from tests.simulation.patching import attribute_replaced
from tests.simulation.settings import Settings
from tests.simulation.world import World

SEEDS = range(12)
FORK_MS = 30_000
CUT_MS = 340
"""By then both parts have all updates, and no vote has been cast."""


def forking_world(seed: int) -> World:
    """Three and two honest members that hear of each other from two liars only; one liar leads."""
    calm = Settings(
        seed=seed,
        validators=7,
        byzantine_budget=2,
        trainer_budget=0,
        samples=(100 + seed,) * 7,  # another chain, where others lead
        skews_ms=(0,) * 7,
    )
    contract = make_contract(calm)
    first, second = schedule(contract, initial_state(contract))[:2]
    world = World(
        Settings(
            seed=calm.seed,
            validators=7,
            byzantine_budget=2,
            trainer_budget=0,
            samples=calm.samples,
            skews_ms=calm.skews_ms,
            byzantine=((first, "equivocator"), (second, "echoer")),
        )
    )
    left, right = world.honest[:3], world.honest[3:]
    for node in world.nodes:
        if isinstance(node, ByzantineNode):
            node.half = frozenset(left)
    links = {(a, b) for a in left for b in right}
    both_ways = frozenset(links | {(b, a) for a, b in links})
    world.at(CUT_MS, world.network.cut, 1, both_ways)
    return world


def single_minded() -> AbstractContextManager[None]:
    """The equivocator lies in proposals and votes only: a second body would delay its own fork."""
    lie = Equivocator.other

    def other(actor: Equivocator, message: Message) -> Message:
        return message if isinstance(message, HaveMessage | UpdateMessage) else lie(actor, message)

    return attribute_replaced(Equivocator, "other", other)


def discreet(world: World) -> AbstractContextManager[None]:
    """The liars show no certificate to the right part: it would end the attack with the truth."""
    right = world.honest[3:]
    emit = ByzantineNode.emit

    def emit_to(node: ByzantineNode, target: int, message: Message) -> None:
        if not (isinstance(message, CertificateMessage) and target in right):
            emit(node, target, message)

    return attribute_replaced(ByzantineNode, "emit", emit_to)


def deaf_to_evidence() -> AbstractContextManager[None]:
    """Nobody takes up evidence: otherwise the liars would be banned before they fork anything."""
    return attribute_replaced(Desk, "hear_evidence", lambda *_: False)


def forks(seed: int) -> bool:
    """Whether two blocks are decided at one height where more than half the power is a quorum."""
    world = forking_world(seed)
    with ExitStack() as patches:
        patches.enter_context(quorum_half())
        patches.enter_context(single_minded())
        patches.enter_context(discreet(world))
        patches.enter_context(deaf_to_evidence())
        # Liars whose own lies do not stop their engines (rule P60).
        patches.enter_context(attribute_replaced(Desk, "take_own", lambda *_: None))
        # The other checkers would find the fault earlier.
        for name in ("_check_lock", "check_entry"):
            patches.enter_context(attribute_replaced(Discipline, name, lambda *_: None))
        patches.enter_context(attribute_replaced(Checkers, "_check_certificate", lambda *_: None))
        for name in ("judge_quorum", "judge_block"):
            patches.enter_context(attribute_replaced(checkers, name, lambda *_: None))
        world.start()
        try:
            world.run_until(lambda: False, within_ms=FORK_MS)
        except ViolationError as error:
            return str(error).startswith("agreement: height")
    raise AssertionError("a world without a goal has no end")


@pytest.fixture(scope="module")
def forked() -> int:
    """The first seed under which the attack forks: a matter of who leads and of delays."""
    return next(seed for seed in SEEDS if forks(seed))


def test_a_quorum_of_half_the_power_decides_two_blocks_at_one_height(forked: int) -> None:
    assert forked in SEEDS


def test_two_thirds_of_the_power_do_not_fork_under_the_same_attack(forked: int) -> None:
    world = forking_world(forked)
    left, right = world.honest[:3], world.honest[3:]

    with deaf_to_evidence(), single_minded(), discreet(world):
        world.start()
        world.run_until(lambda: world.now >= FORK_MS, within_ms=2 * FORK_MS)

    # The right part may only follow, by certificates that the liars hand on.
    world.end()
    ahead = min(world.nodes[member].height for member in left)
    assert ahead > 0
    assert all(world.nodes[member].height <= ahead for member in right)


@pytest.mark.parametrize("mutant", ["certificate_believed", "certificate_without_power"])
def test_a_certificate_by_which_a_block_is_decided_is_verified_again(mutant: str) -> None:
    """The forger's false certificates are refused by honest nodes; here these believe them."""
    with MUTANTS[mutant](), pytest.raises(ViolationError, match=r"^certificate: .*power"):
        run_forged(0)


def test_false_certificates_and_evidence_change_nothing() -> None:
    run_forged(0)


def test_a_view_is_entered_for_a_reason_only() -> None:
    """A quorum of COMMIT in the view before, or blocking power in the view (P27, P29, P32)."""
    validators = ValidatorSet(
        validators=tuple(Validator(member=each, power=1) for each in range(4))
    )
    discipline = Discipline(frozenset({1, 2, 3}), lambda _: validators)

    with pytest.raises(ViolationError, match="without a proof"):
        discipline.check_entry(1, 1, 1)
    for member in (1, 2):
        discipline.on_statement(nil_vote(member, Phase.COMMIT, view=0))
    discipline.check_entry(1, 1, 1)
    with pytest.raises(ViolationError, match="without a proof"):
        discipline.check_entry(1, 1, 2)
    discipline.on_statement(nil_vote(3, Phase.PREPARE, view=2))
    discipline.check_entry(1, 1, 2)


def nil_vote(member: int, phase: Phase, *, view: int) -> Signed[Vote]:
    vote = Vote(phase=phase, height=1, view=view, valid_view=FRESH, block_id=NIL)
    return Signed(statement=vote, signer=member, signature=bytes(64))
