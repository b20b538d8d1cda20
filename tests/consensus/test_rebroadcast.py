"""Who repeats headers of others: few in each period, everybody in turn (rule P35)."""

import pytest

from consensus.rebroadcast import REPEATERS, has_turn


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
