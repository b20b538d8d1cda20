"""What is said again each period, and who repeats headers of others (rule P35)."""

from dataclasses import replace

import pytest

from consensus.effects import Publish, Started, TimerKind
from consensus.messages import ProposalMessage
from consensus.rebroadcast import REPEATERS, has_turn
from ledger.records import NIL, block_id
from tests.support.consensus.bench import COMMIT, NOTHING, PREPARE, Bench


@pytest.mark.parametrize("count", [1, 4, 5, 7, 10, 31, 256])
def test_few_repeat_a_header_in_a_period_and_everybody_does_in_turn(count: int) -> None:
    periods = -(-count // REPEATERS)

    for trainer in {0, 1, count - 1, count + 3}:
        turns = [
            {each for each in range(count) if has_turn(each, count, trainer=trainer, period=period)}
            for period in range(periods)
        ]
        assert {len(each) for each in turns} == {min(count, REPEATERS)}
        assert set.union(*turns) == set(range(count))


def test_headers_of_different_trainers_are_repeated_by_different_validators() -> None:
    turns = {
        trainer: tuple(each for each in range(31) if has_turn(each, 31, trainer=trainer, period=2))
        for trainer in range(31)
    }

    assert len(set(turns.values())) == 31


def test_a_proposal_that_peers_had_to_show_is_said_again_with_the_block_and_its_certificate() -> (
    None
):
    """Rules P20, P35, P60: its folder was lost; others may have got the proposal of nobody else."""
    bench = Bench(leads=1)
    bench.step(Started())
    a = bench.block("A")
    prepared = bench.certificate(PREPARE, 0, block_id(a.header))
    own = bench.signed_proposal(a, 1, prepared)
    bench.propose(a, 0)
    bench.votes(COMMIT, 0, NIL)
    bench.answer(shown=replace(NOTHING, proposals=(own,), certificates=(prepared,)))
    bench.check(a)

    bench.fire(TimerKind.REBROADCAST)
    bench.fire(TimerKind.REBROADCAST)

    said = [each.message for each in bench.effects if isinstance(each, Publish)]
    (offer,) = [each for each in said if isinstance(each, ProposalMessage)]
    assert offer.proposal == own
    assert offer.block == a
    assert [each.vote for each in offer.certificate] == [prepared.vote]
