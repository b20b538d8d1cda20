"""What a proposer offers: a fresh block, or again what a quorum prepared (rules P12-P20, P33)."""

from dataclasses import replace

import pytest

from consensus.effects import (
    BlockBuilt,
    BuildBlock,
    Publish,
    TimerKind,
)
from consensus.messages import ProposalMessage
from ledger.records import NIL, Block, block_id
from tests.support.consensus.bench import COMMIT, NOW_MS, PREPARE, Bench, equal_chain, started


def test_the_proposer_offers_a_fresh_block_of_the_haves_of_a_quorum() -> None:
    """Rules P20 and P12: it waits a little for more HAVEs, then builds and proposes."""
    bench = started(leads=0)
    trainers = (0, 1, 2, 3)
    one, two, three = bench.others
    bench.hold(*bench.others)

    first = bench.have(one, trainers)
    second = bench.have(two, trainers)
    quorum = bench.hold(bench.member)
    timers = bench.timers()
    over = bench.fire(TimerKind.HAVE_GRACE)
    build = bench.effects[0]
    assert isinstance(build, BuildBlock)
    a = bench.block("A")
    built = bench.step(built_from(bench, a))

    assert (first, second) == ((), ())
    assert quorum == ("persist", "UPDATE 1", "persist", "HAVE 4")
    assert timers[TimerKind.HAVE_GRACE, 0] == bench.contract.timeouts.have_grace_ms
    assert over == ("build AGGREGATE 0",)
    assert [have.signer for have in build.haves] == sorted([bench.member, one, two])
    assert [each.signer for each in build.updates] == list(trainers)
    assert build.time_ms == NOW_MS
    assert built == ("save A", "persist", "PROPOSAL 0 A", "persist", "PREPARE 0 A")
    assert three not in {have.signer for have in build.haves}


def built_from(bench: Bench, block: Block) -> BlockBuilt:
    return BlockBuilt(height=bench.height, view=block.header.created_view, block=block)


def test_with_the_haves_of_all_there_is_nothing_to_wait_for() -> None:
    """Rule P12: the grace is for more HAVEs; when all are held it is over."""
    bench = started(leads=0)
    bench.hold(0, 1, 2, 3)

    lines = tuple(line for each in bench.others for line in bench.have(each, (0, 1, 2, 3)))

    assert lines == ("build AGGREGATE 0",)


def test_the_proposer_offers_what_is_valid_with_its_certificate() -> None:
    """Rules P20 and P33: `valid`, once it is held and checked, goes before anything fresh."""
    bench = started(leads=1)
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))

    lines = bench.votes(COMMIT, 0, NIL)

    assert lines == (
        "persist",
        "PROPOSAL 1 A",
        "persist",
        "PREPARE 1 A valid 0",
    )
    proposal = next(each for each in bench.effects if isinstance(each, Publish))
    assert isinstance(proposal.message, ProposalMessage)
    assert proposal.message.certificate[0].view == 0


def test_a_block_proposed_again_is_said_again_with_the_certificate_of_its_valid_view() -> None:
    """Rules P23 and P35: whoever missed both could not use it with a later certificate."""
    bench = started(leads=1)
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.certify(bench.certificate(PREPARE, 0, block_id(a.header)))
    bench.votes(COMMIT, 0, NIL)
    bench.votes(PREPARE, 1, block_id(a.header), valid_view=0)

    bench.fire(TimerKind.REBROADCAST)
    bench.fire(TimerKind.REBROADCAST)

    messages = [each.message for each in bench.effects if isinstance(each, Publish)]
    (again,) = [each for each in messages if isinstance(each, ProposalMessage)]
    assert again.proposal.statement.valid_view == 0
    assert [each.view for each in again.certificate] == [0]


def test_a_valid_block_that_is_not_held_is_fetched_and_a_fresh_one_is_offered_until_then() -> None:
    """Rule P33: pulled from the certificate's signers, one after another."""
    bench = started(leads=1)
    bench.hold(0, 1, 2, 3)
    for other in bench.others:
        bench.have(other, (0, 1, 2, 3))
    a = bench.block("A")
    certificate = bench.certificate(PREPARE, 0, block_id(a.header))

    asked = bench.certify(certificate)
    again = bench.fire(TimerKind.FETCH, 1)
    fresh = bench.votes(COMMIT, 0, NIL)
    answer = bench.propose(a, 0)
    over = bench.fire(TimerKind.FETCH, 1)

    first, second = bench.others[0], bench.others[1]
    assert asked == (f"to {first}: ask {first} for a block",)
    assert again == (f"to {second}: ask {second} for a block",)
    assert fresh == ("build AGGREGATE 1",)
    assert answer == ("check A",)
    assert over == ()


def test_from_view_four_on_the_proposer_offers_an_empty_block_without_haves() -> None:
    """Rule P15 (b): so a height always ends."""
    bench = started(leads=0)
    for view in range(4):
        bench.votes(COMMIT, view, NIL)

    builds = [each for each in bench.history if isinstance(each, BuildBlock)]

    assert [(each.kind.name, each.view, each.haves) for each in builds] == [("EMPTY", 4, ())]


def test_with_too_few_updates_the_block_is_empty_and_carries_the_haves() -> None:
    """Rule P15 (a): fewer than `need` included, in any view."""
    bench = started(leads=0)
    bench.hold(*bench.others[:2])
    bench.fire(TimerKind.COLLECT)
    for other in bench.others:
        bench.have(other, bench.others[:2])

    builds = [each for each in bench.history if isinstance(each, BuildBlock)]

    assert [(each.kind.name, len(each.haves)) for each in builds] == [("EMPTY", 4)]


def test_a_valid_block_that_arrives_while_a_fresh_one_is_built_is_offered_instead() -> None:
    """Rules P20 and P33."""
    bench = started(leads=1)
    a, b = bench.block("A"), bench.block("B", view=1)
    bench.hold(0, 1, 2, 3)
    for other in bench.others:
        bench.have(other, (0, 1, 2, 3))
    bench.votes(COMMIT, 0, NIL)
    bench.certify(bench.certificate(PREPARE, 0, block_id(a.header)))
    bench.propose_and_check(a)

    lines = bench.step(built_from(bench, b))

    assert "PROPOSAL 1 A" in lines
    assert "PROPOSAL 1 B" not in lines


def test_a_certificate_of_the_very_view_is_no_reason_to_offer_its_block_in_it() -> None:
    """Rule P20: the valid view of a proposal is before its view."""
    bench = started(leads=1)
    b = bench.block("B", view=1)
    bench.votes(COMMIT, 0, NIL)
    bench.certify(bench.certificate(PREPARE, 1, block_id(b.header)))
    bench.hold(0, 1, 2, 3)
    for other in bench.others:
        bench.have(other, (0, 1, 2, 3))
    bench.fire(TimerKind.HAVE_GRACE)

    lines = bench.step(built_from(bench, b))

    assert bench.engine.view == 1
    assert "PROPOSAL 1 B" in lines


def test_a_held_block_is_not_offered_with_a_certificate_of_the_view_itself() -> None:
    """Rule P20: even when the proposer, for whatever reason, finds one before it proposed."""
    bench = started(leads=1)
    a = bench.block("A", is_other=True)
    bench.propose_and_check(a)
    bench.votes(COMMIT, 0, NIL)

    lines = bench.certify(bench.certificate(PREPARE, 1, block_id(a.header)))

    assert lines == ()


def test_a_block_that_was_built_for_a_view_that_is_over_is_not_proposed() -> None:
    """Rule P20."""
    bench = started(leads=0)
    a = bench.block("A")
    bench.hold(*bench.others)
    for other in bench.others:
        bench.have(other, bench.others)
    bench.fire(TimerKind.HAVE_GRACE)
    bench.votes(COMMIT, 0, NIL)

    assert bench.step(built_from(bench, a)) == ()


@pytest.mark.parametrize("change", [{"height": 9}, {"created_view": 1}])
def test_a_block_that_the_host_built_for_another_place_is_an_error_and_not_proposed(
    change: dict[str, int],
) -> None:
    """Rule P20: a fresh proposal is of a block created in its view."""
    bench = started(leads=0)
    a = bench.block("A")
    header = replace(a.header, **change)  # type: ignore[arg-type]  # by name

    lines = bench.step(BlockBuilt(height=bench.height, view=0, block=replace(a, header=header)))

    assert lines == ("error",)


def test_a_block_that_was_built_for_a_height_that_is_over_is_not_proposed_and_no_error() -> None:
    """Rule P20: the others decided while it was built."""
    made = equal_chain(1)
    bench = started(leads=0, chain=made)

    lines = bench.step(BlockBuilt(height=1, view=0, block=made.blocks[0]))

    assert lines == ()


@pytest.mark.parametrize("leads", [0, 3])
def test_a_block_that_nobody_asked_for_is_not_proposed(leads: int) -> None:
    """Rules P20, P44: least of all by a member that does not lead the view."""
    bench = started(leads=leads)
    a = bench.block("A")

    assert bench.step(BlockBuilt(height=1, view=0, block=a)) == ()
