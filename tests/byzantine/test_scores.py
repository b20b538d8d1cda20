"""Attacks on election and weights: grinding, samples at the bound, a quality of nothing."""

from typing import TypeAlias

import pytest

from ledger.building import Draft, build_block, unchanged_results
from ledger.certificates import make_certificate
from ledger.election import proposer_of
from ledger.genesis import Contract
from ledger.genesis_rules import SAMPLES_MAX
from ledger.keys import Signed, sign
from ledger.powers import cap_budget
from ledger.records import FRESH, Block, BlockKind, Phase, Vote, block_id
from ledger.reputation import SCALE, contribution_weights
from ledger.state import State, apply, initial_state
from tests.simulation.chance import make_random
from tests.simulation.contracts import make_contract, member_key
from tests.simulation.settings import Settings
from tests.simulation.world import simulate

Commits: TypeAlias = tuple[Signed[Vote], ...]
GRINDER = 3
HEIGHTS = 240
U32_MAX = 2**32 - 1


def test_a_proposer_that_tries_many_blocks_leads_no_more_than_a_third_of_the_heights() -> None:
    """Rule P44: neither time nor the choice of certificate steers the election for long."""
    settings = Settings(seed=1)
    contract = make_contract(settings)
    state, led = initial_state(contract), 0
    votes: Commits = ()

    for _ in range(HEIGHTS):
        proposer = proposer_of(contract, state, 0)
        led += proposer == GRINDER
        tries = candidates(contract, state, votes, is_grinding=proposer == GRINDER)
        outcomes = [(block, apply(contract, state, block)) for block in tries]
        block, state = next(
            (each for each in outcomes if proposer_of(contract, each[1], 0) == GRINDER),
            outcomes[0],
        )
        votes = commits(settings, state, block)

    # A third, and three standard deviations of so many fair draws with a quarter.
    noise = 3 * (HEIGHTS * 3 / 16) ** 0.5
    assert led <= HEIGHTS / 3 + noise


def candidates(
    contract: Contract, state: State, votes: Commits, *, is_grinding: bool
) -> list[Block]:
    """Blocks that a proposer may choose from: ten times, and each COMMIT left out or not."""
    times = range(1, 11) if is_grinding else (1,)
    subsets = [votes]
    if is_grinding and votes:
        subsets += [votes[:k] + votes[k + 1 :] for k in range(len(votes))]
    return [
        late_block(contract, state, state.time_ms + ms, kept) for ms in times for kept in subsets
    ]


def late_block(
    contract: Contract, state: State, time_ms: int, votes: tuple[Signed[Vote], ...]
) -> Block:
    certificate = make_certificate(votes, state.previous_validators) if votes else None
    return build_block(
        contract,
        state,
        Draft(
            view=0,
            kind=BlockKind.EMPTY,
            time_ms=time_ms,
            haves=(),
            updates=(),
            last_certificate=certificate,
            results=unchanged_results(state),
        ),
    )


def commits(settings: Settings, state: State, block: Block) -> Commits:
    vote = Vote(
        phase=Phase.COMMIT,
        height=state.height,
        view=0,
        valid_view=FRESH,
        block_id=block_id(block.header),
    )
    return tuple(
        sign(vote, member_key(settings, number), signer=number, chain_id=state.chain_id)
        for number in range(settings.members)
    )


@pytest.mark.parametrize("budget", [0, 1, 2])
def test_contribution_weights_at_the_overflow_bound_fit_their_field(budget: int) -> None:
    """Rule P42: the largest sample counts and quality stay within 32 bits."""
    samples = [SAMPLES_MAX] * 7

    weights = contribution_weights(
        samples, [SCALE] * 7, [0] * 7, clip=4 * SAMPLES_MAX, trainer_budget=budget
    )

    assert weights == (SAMPLES_MAX,) * 7
    assert max(weights) <= U32_MAX


def test_a_network_with_the_largest_sample_counts_decides() -> None:
    settings = Settings(seed=5, samples=(SAMPLES_MAX, SAMPLES_MAX, 1, SAMPLES_MAX), faulty_ms=500)

    outcome = simulate(settings)

    assert outcome.counts["blocks_aggregate"] >= settings.heights


def test_a_quality_of_nothing_leaves_the_cap_whole(seed: int) -> None:
    """Rule P42: weight 1 is the floor, and the heaviest within the budget stay below a third."""
    rng = make_random(f"quality/{seed}")

    for _ in range(300):
        count, budget = rng.randint(3, 10), rng.randint(1, 3)
        qualities = [rng.choice((0, 1, SCALE)) for _ in range(count)]
        weights = contribution_weights(
            [rng.choice((1, 100, SAMPLES_MAX)) for _ in range(count)],
            qualities,
            [rng.randint(0, 8) for _ in range(count)],
            clip=SAMPLES_MAX,
            trainer_budget=budget,
        )
        held = cap_budget(budget, count)
        heaviest = sum(sorted(weights)[count - held :])

        assert min(weights) >= 1
        assert 3 * heaviest < sum(weights) if held else set(weights) == {1}
