"""Building: what a proposer does not choose follows from the rest (rule P13)."""

from dataclasses import replace

import pytest

from ledger.building import (
    Draft,
    aggregate_results,
    build_block,
    expected_weights,
    rule_parameters_hash,
    unchanged_results,
)
from ledger.election import proposer_of
from ledger.genesis import RuleParameter
from ledger.powers import is_blocking
from ledger.records import Block, BlockKind, Flag
from ledger.reputation import contribution_weights, sample_clip
from ledger.validity import check_block
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    contract,
    digest,
    have,
    stub_chain,
    update,
)


def draft_of(made: Chain, block: Block) -> Draft:
    """What the proposer of a built block must have brought."""
    return Draft(
        view=block.header.created_view,
        kind=block.header.kind,
        time_ms=block.header.time_ms,
        haves=block.haves,
        updates=block.updates,
        last_certificate=made.certificate,
        results=block.header.results,
    )


def test_order_of_haves_and_further_headers_do_not_change_the_block() -> None:
    made = stub_chain(2)
    block = made.build()
    draft = draft_of(made, block)
    stray = update(made.contract, made.states[0], 2, made.keys[2])

    shuffled = replace(draft, haves=block.haves[::-1], updates=(stray, *block.updates[::-1], stray))

    assert build_block(made.contract, made.state, draft) == block
    assert build_block(made.contract, made.state, shuffled) == block


def test_every_view_has_its_own_block_by_its_own_proposer() -> None:
    made = stub_chain(2)

    blocks = [made.build(view=view) for view in range(4)]

    proposers = [block.header.proposer for block in blocks]
    assert proposers == [proposer_of(made.contract, made.state, view) for view in range(4)]
    assert sorted(proposers) == [0, 1, 2, 3]
    assert len({block.header.state_root for block in blocks}) == 4


def test_weights_are_those_of_the_included_updates_only() -> None:
    """Rules P12 and P42: the one that a single validator lists does not count."""
    terms = contract(4, samples=[100, 100, 100, 5_000])
    made = stub_chain(0, of=terms)
    state, keys = made.state, made.keys
    updates = tuple(update(terms, state, i, keys[i]) for i in range(4))
    haves = tuple(have(state, i, keys[i], updates[: 3 + (i == 0)]) for i in range(4))

    weighted = expected_weights(terms, state, haves, updates)

    assert [each.statement.trainer for each, _ in weighted] == [0, 1, 2]
    assert [weight for _, weight in weighted] == [1, 1, 1]


def test_weights_of_a_full_block_keep_the_largest_trainer_below_a_third() -> None:
    """Rule P42."""
    made = stub_chain(1, of=contract(4, samples=[100, 100, 100, 5_000]))
    block = made.build()

    weights = [each.weight for each in block.header.results.contributions]

    assert weights == list(
        contribution_weights(
            [100, 100, 100, 5_000],
            [each.quality for each in made.state.scores],
            [0] * 4,
            clip=sample_clip([100, 100, 100, 5_000]),
            trainer_budget=1,
        )
    )
    assert weights[3] > weights[0]
    assert not is_blocking(weights[3], sum(weights))


def test_results_pair_flags_with_updates_in_order() -> None:
    made = stub_chain(0)
    block = made.build()
    weighted = expected_weights(made.contract, made.state, block.haves, block.updates)
    flags = [Flag.REGULAR, Flag.OUTLIER, Flag.REGULAR, Flag.OUTLIER]

    results = aggregate_results(
        weighted, flags, model_id=digest("model"), optimizer_id=digest("optimizer")
    )

    assert [(each.trainer, each.flagged) for each in results.contributions] == list(
        enumerate(flags)
    )
    with pytest.raises(ValueError, match="zip"):
        aggregate_results(weighted, flags[1:], model_id=b"", optimizer_id=b"")


def test_an_empty_block_leaves_everything_as_it_was() -> None:
    """Rule P15."""
    made = stub_chain(2)
    block = made.build(view=4)

    assert block.header.kind is BlockKind.EMPTY
    assert (block.haves, block.updates) == ((), ())
    assert block.header.results == unchanged_results(made.state)
    assert check_block(made.contract, made.state, block, scheme=STUB_SCHEME) == ()


def test_a_draft_without_a_vouched_header_makes_a_block_that_is_refused() -> None:
    made = stub_chain(2)
    draft = draft_of(made, made.build())

    block = build_block(made.contract, made.state, replace(draft, updates=draft.updates[1:]))

    found = check_block(made.contract, made.state, block, scheme=STUB_SCHEME)
    assert "updates" in [each.field for each in found]


def test_rule_parameters_hash_covers_mode_rule_and_parameters() -> None:
    terms = contract(4).aggregation
    others = (
        replace(terms, mode="other"),
        replace(terms, rule_id="median"),
        replace(terms, parameters=(RuleParameter(name="iterations", value=9),)),
    )

    assert len({rule_parameters_hash(each) for each in (terms, *others)}) == 4
