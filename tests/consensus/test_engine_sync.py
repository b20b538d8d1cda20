"""Catching up with others, and answering those that do (rules P33, P37, P80)."""

from dataclasses import replace

import pytest

from consensus.effects import (
    BlocksReceived,
    BlocksRequested,
    CommitBlock,
    EntryProofReceived,
    HaveReceived,
    ProposalRequested,
    StatusReceived,
    TimerKind,
    VoteReceived,
)
from consensus.messages import BlocksRequest, ProposalRequest, Status
from consensus.past import ANSWERS_PER_PERIOD, PROPOSALS_PER_PERIOD
from consensus.sync import DEAF_PERIODS_MAX
from ledger.records import NIL, block_id
from tests.support.consensus.bench import (
    COMMIT,
    PREPARE,
    Bench,
    equal_chain,
    equal_contract,
    started,
)
from tests.support.ledger import certify, digest, have, stub_chain
from tests.support.members import carry, new_key, rotate


def status_of(bench: Bench, member: int, height: int) -> StatusReceived:
    status = Status(height=height, block_id=digest("tip"), sequence=1)
    return StatusReceived(status=bench.verified(bench.sign(status, member)))


def test_a_member_far_ahead_is_asked_for_blocks_at_once() -> None:
    """Rule P80."""
    bench = started()
    one = bench.others[0]

    lines = bench.step(status_of(bench, one, 5))

    assert lines == (f"to {one}: ask {one} for blocks from 1",)
    assert (TimerKind.FETCH, 0) in bench.timers()


def test_a_member_one_block_ahead_is_asked_only_after_a_wait() -> None:
    """Usually the decision is on its way."""
    bench = started()
    one = bench.others[0]

    first = bench.step(status_of(bench, one, 1))
    later = bench.fire(TimerKind.FETCH)

    assert first == ()
    assert later == (f"to {one}: ask {one} for blocks from 1",)


def test_who_does_not_answer_is_replaced_and_forgotten_until_it_speaks() -> None:
    """Rule P80: from any peer."""
    bench = started()
    one, two, _ = bench.others
    bench.step(status_of(bench, one, 5))
    bench.step(status_of(bench, two, 5))

    second = bench.fire(TimerKind.FETCH)
    third = bench.fire(TimerKind.FETCH)
    again = bench.step(status_of(bench, one, 5))

    assert second == (f"to {two}: ask {two} for blocks from 1",)
    assert third == ()
    assert again == (f"to {one}: ask {one} for blocks from 1",)


def test_received_blocks_are_committed_with_the_certificate_that_follows_each() -> None:
    """Rule P80: the next block's, and for the last one the one that came along."""
    bench = started(chain=equal_chain(0))
    source = equal_chain(5, silent=(bench.member,))

    bench.step(BlocksReceived(blocks=tuple(source.blocks), certificate=source.certificates[-1]))

    committed = [effect for effect in bench.effects if isinstance(effect, CommitBlock)]
    assert [each.block for each in committed] == source.blocks
    assert [each.state for each in committed] == source.states[1:]
    assert bench.engine.height == 6


def test_blocks_after_one_with_a_bad_certificate_are_dropped() -> None:
    """Rule P80: each is checked like one that was voted on here."""
    bench = started(chain=equal_chain(0))
    source = equal_chain(3, silent=(bench.member,))
    forged = replace(source.certificates[-1], signatures=(bytes(64),) * 3)

    lines = bench.step(BlocksReceived(blocks=tuple(source.blocks), certificate=forged))

    assert [line.split()[0] for line in lines][:3] == ["commit", "commit", "notice"]
    assert bench.engine.height == 3


def test_nothing_is_made_of_an_answer_without_blocks_or_of_other_heights() -> None:
    source = equal_chain(3)
    bench = started(chain=equal_chain(0))
    last = source.certificates[-1]

    assert bench.step(BlocksReceived(blocks=(), certificate=last)) == ()
    assert bench.step(BlocksReceived(blocks=(source.blocks[2],), certificate=last)) == ()


def test_a_decided_block_that_is_invalid_here_stops_the_process() -> None:
    """Rules P28 and P80."""
    bench = started()
    block = bench.block("A")
    bad = replace(block, header=replace(block.header, state_root=bytes(32)))
    certificate = bench.certificate(COMMIT, 0, block_id(bad.header))

    lines = bench.step(BlocksReceived(blocks=(bad,), certificate=certificate))

    assert lines == ("halt",)


def test_requests_are_answered_once_per_counter_and_only_by_whom_they_name() -> None:
    """Rules P33 and P80."""
    bench = started(chain=equal_chain(3))
    one = bench.others[0]

    def ask(responder: int, height: int, counter: int) -> tuple[str, ...]:
        request = BlocksRequest(responder=responder, from_height=height, counter=counter)
        return bench.step(BlocksRequested(request=bench.verified(bench.sign(request, one))))

    assert ask(bench.member, 2, 7) == (f"answer blocks to {one} from 2",)
    assert ask(bench.member, 2, 7) == ()
    assert ask(bench.member, 1, 8) == (f"answer blocks to {one} from 1",)
    assert ask(one, 1, 9) == ()
    assert ask(bench.member, 4, 10) == ()


def test_a_member_that_asks_on_and_on_gets_boundedly_many_answers_a_period() -> None:
    """Rule P37: each answer may be 64 blocks."""
    bench = started(chain=equal_chain(3))
    one, two = bench.others[:2]

    def ask(member: int, counter: int) -> tuple[str, ...]:
        request = BlocksRequest(responder=bench.member, from_height=1, counter=counter)
        return bench.step(BlocksRequested(request=bench.verified(bench.sign(request, member))))

    answers = [ask(one, counter) for counter in range(1, 10 * ANSWERS_PER_PERIOD)]
    other = ask(two, 1)
    bench.fire(TimerKind.REBROADCAST)
    next_period = ask(one, 10 * ANSWERS_PER_PERIOD)

    assert len([each for each in answers if each]) == ANSWERS_PER_PERIOD
    assert other == (f"answer blocks to {two} from 1",)
    assert next_period == (f"answer blocks to {one} from 1",)


def test_a_request_for_a_block_is_answered_with_its_proposal_or_with_decided_blocks() -> None:
    """Rules P33 and P35: a block always travels with the proposal by which it came."""
    bench = started(chain=equal_chain(2))
    one = bench.others[0]
    a = bench.block("A")
    bench.propose(a, 0)

    def ask(height: int, wanted: bytes, counter: int) -> tuple[str, ...]:
        request = ProposalRequest(
            responder=bench.member, height=height, block_id=wanted, counter=counter
        )
        return bench.step(ProposalRequested(request=bench.verified(bench.sign(request, one))))

    assert ask(3, block_id(a.header), 1) == (f"to {one}: PROPOSAL 0 A",)
    assert ask(3, block_id(a.header), 1) == ()
    assert ask(3, digest("unknown"), 2) == ()
    assert ask(2, digest("unknown"), 3) == (f"answer blocks to {one} from 2",)


def test_the_block_of_the_open_height_is_answered_boundedly_and_apart_from_decided_ones() -> None:
    """Rules P33 and P37: a member that catches up asks for both, and so does a liar."""
    bench = started(chain=equal_chain(3))
    one = bench.others[0]
    a = bench.block("A")
    bench.propose(a, 0)
    wanted = block_id(a.header)

    def ask_blocks(counter: int) -> tuple[str, ...]:
        request = BlocksRequest(responder=bench.member, from_height=1, counter=counter)
        return bench.step(BlocksRequested(request=bench.verified(bench.sign(request, one))))

    def ask_proposal(counter: int) -> tuple[str, ...]:
        request = ProposalRequest(
            responder=bench.member, height=4, block_id=wanted, counter=counter
        )
        return bench.step(ProposalRequested(request=bench.verified(bench.sign(request, one))))

    answered = [ask_blocks(counter) for counter in range(1, 2 * ANSWERS_PER_PERIOD)]
    offered = [ask_proposal(counter) for counter in range(1, 3 * PROPOSALS_PER_PERIOD)]
    bench.fire(TimerKind.REBROADCAST)
    next_period = ask_proposal(100), ask_blocks(100)

    assert len([each for each in answered if each]) == ANSWERS_PER_PERIOD
    assert len([each for each in offered if each]) == PROPOSALS_PER_PERIOD
    assert offered[0] == next_period[0] == (f"to {one}: PROPOSAL 0 A",)
    assert next_period[1] == (f"answer blocks to {one} from 1",)


@pytest.mark.parametrize("is_rotated", [False, True])
def test_what_came_early_under_a_key_that_the_block_before_replaced_is_dropped(
    *, is_rotated: bool
) -> None:
    """Rules P3, P81: a liar in the middle of its rotation would make blocks and locks of no use."""
    liar = 3
    bench = Bench(chain=stub_chain(2, of=equal_contract()), member=0)
    bench.start()
    ahead = stub_chain(2, of=equal_contract())
    operations = [rotate(ahead, liar, new_key("next", ahead.keys[liar]))] if is_rotated else []
    carry(ahead, *operations)
    early = have(ahead.state, liar, bench.keys[liar], ())
    votes = [
        bench.sign(replace(bench.signed_vote(liar, PREPARE, view, NIL).statement, height=4), liar)
        for view in (0, 1)
    ]
    proof = tuple(bench.verified(each) for each in votes[1:])

    bench.step(HaveReceived(have=bench.verified(early)))
    bench.step(VoteReceived(vote=bench.verified(votes[0])))
    bench.step(EntryProofReceived(height=4, view=2, votes=proof))
    bench.step(BlocksReceived(blocks=(ahead.blocks[-1],), certificate=ahead.certificates[-1]))

    height = bench.engine._height
    assert height is not None
    assert height.facts.height == 4
    counted = [
        liar in height.facts.collection.haves,
        bool(height.facts.tally.votes(PREPARE, 0)),
        bool(height.facts.tally.votes(PREPARE, 1)),
    ]
    assert counted == [not is_rotated] * 3


def test_a_certificate_of_another_block_than_it_came_with_is_dropped() -> None:
    """Rule P80: a COMMIT certificate of this very block, and not a PREPARE certificate."""
    a_bench = started()
    a, b = a_bench.block("A"), a_bench.block("B", is_other=True)
    prepared = a_bench.certificate(PREPARE, 0, block_id(a.header))
    foreign = a_bench.certificate(COMMIT, 0, block_id(b.header))

    for certificate in (prepared, foreign):
        assert a_bench.step(BlocksReceived(blocks=(a,), certificate=certificate)) == ("notice",)
    assert a_bench.engine.height == 1


def test_a_request_that_names_another_member_is_not_answered() -> None:
    """Rule P33: else everybody would send the block."""
    bench = started(chain=equal_chain(1))
    one, two, _ = bench.others
    request = ProposalRequest(responder=two, height=1, block_id=digest("any"), counter=1)

    assert bench.step(ProposalRequested(request=bench.verified(bench.sign(request, one)))) == ()


@pytest.mark.parametrize("periods", [DEAF_PERIODS_MAX, DEAF_PERIODS_MAX + 1])
def test_who_hears_nobody_for_long_asks_members_in_turn(periods: int) -> None:
    """Rules P80, P81: all others may have changed their keys meanwhile."""
    bench = started()

    lines = [bench.fire(TimerKind.REBROADCAST) for _ in range(periods)]

    asked = [f"to {bench.others[0]}: ask {bench.others[0]} for blocks from 1"]
    assert [line for line in lines[-1] if "for blocks" in line] == asked[: periods - 4]


def test_who_is_alone_asks_nobody_however_long_it_hears_nobody() -> None:
    """Rule P80."""
    bench = Bench(chain=stub_chain(0, of=equal_contract(1)), member=0)
    bench.start()

    lines = [bench.fire(TimerKind.REBROADCAST) for _ in range(DEAF_PERIODS_MAX + 2)]

    assert not any("for blocks" in line for each in lines for line in each)


def test_a_forged_certificate_of_the_last_block_adds_nothing_to_the_own_one() -> None:
    """Rule P40: whose COMMIT is missing would be counted as present."""
    built = equal_chain(1)
    whole = built.certificates[0]
    built.certificates[0] = replace(whole, bitmap=bytes([0b0111]), signatures=whole.signatures[:3])
    bench = started(chain=built)
    forged = replace(whole, signatures=(*whole.signatures[:3], bytes(64)))

    lines = bench.certify(forged)

    assert lines == ("notice",)
    assert bench.engine._desk.tip_certificate == built.certificates[0]


def test_commits_of_another_view_are_not_mixed_into_the_certificate_of_the_last_block() -> None:
    """Rules P28, P40: both are quorums, but of different votes; one certificate is of one vote."""
    built = equal_chain(1)
    whole = built.certificates[0]
    built.certificates[0] = replace(whole, bitmap=bytes([0b0111]), signatures=whole.signatures[:3])
    bench = started(chain=built)
    later = certify(
        built.blocks[0], built.states[0].validators, dict(enumerate(built.keys)), view=1
    )

    lines = bench.certify(later)

    assert lines == ()
    assert bench.engine._desk.tip_certificate == built.certificates[0]


def test_a_certificate_of_height_0_is_nothing() -> None:
    """Rule P40: before block 1 there is no last block that it could be of."""
    bench = started()
    forged = replace(bench.certificate(COMMIT, 0, digest("genesis")), height=0)

    assert bench.certify(forged) == ()
