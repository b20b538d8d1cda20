"""Numbered checks: each finds a forgery that no other check finds (tests.support.bad_blocks)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.findings import Finding
from ledger.records import (
    Block,
    BlockHeader,
    BlockKind,
    Flag,
)
from ledger.validity import CHECKS, Check, check_block
from tests.support.bad_blocks import BAD_BLOCKS, BadBlock, forgers_network, overwritten
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    chain,
    digest,
)


def findings(made: Chain, block: Block, checks: tuple[Check, ...] = CHECKS) -> tuple[Finding, ...]:
    return check_block(made.contract, made.state, block, scheme=STUB_SCHEME, checks=checks)


@pytest.mark.parametrize("bad_block", BAD_BLOCKS, ids=lambda each: f"C{each.check} {each.desc}")
def test_a_forgery_is_found_by_its_check_and_by_no_other(bad_block: BadBlock) -> None:
    made = forgers_network()
    block = bad_block.forge(made)
    others = tuple(check for check in CHECKS if check.number != bad_block.check)

    found = findings(made, block)

    assert {each.rule for each in found} == {CHECKS[bad_block.check - 1].rule}
    assert {each.height for each in found} == {made.state.height + 1}
    assert findings(made, block, others) == ()


def test_every_check_has_a_forgery_and_its_number_is_its_place() -> None:
    assert {each.check for each in BAD_BLOCKS} == {check.number for check in CHECKS}
    assert [check.number for check in CHECKS] == list(range(1, len(CHECKS) + 1))
    assert [check.name for check in CHECKS[:2]] == ["C1", "C2"]


def test_built_blocks_of_every_kind_are_valid() -> None:
    made = forgers_network()

    options: dict[str, Any]
    for options in (
        {},
        {"view": 3},
        {"view": 4},
        {"view": 11},
        {"trainers": [0, 1]},
        {"trainers": []},
        {"trainers": range(4), "outliers": [2]},
        {"listing": [0, 1, 3]},
    ):
        block = made.build(**options)
        assert (findings(made, block), options) == ((), options)


def test_thirty_blocks_with_passed_views_absent_trainers_and_late_signers_are_valid() -> None:
    made = chain(0, n=4)
    for h in range(30):
        block = made.build(
            view=(0, 0, 1, 0, 5, 2)[h % 6],
            trainers=[i for i in range(4) if (h + i) % 5],
            outliers=[h % 4] if h % 3 == 0 else [],
            listing=[i for i in range(4) if i != h % 7],
        )
        assert check_block(made.contract, made.state, block) == ()
        made.add(
            block,
            signing=[i for i in range(4) if i != h % 5],
            view=block.header.created_view + h % 2,
        )

    kinds = {block.header.kind for block in made.blocks}
    assert kinds == {BlockKind.AGGREGATE, BlockKind.EMPTY}
    assert all(decode(Block, encode(block)) == block for block in made.blocks)


def test_all_contradictions_are_reported_not_only_the_first() -> None:
    made = forgers_network()
    block = overwritten(made.build(), version=9, time_ms=1, log_root=digest("log"))

    found = findings(made, block)

    assert [each.field for each in found] == ["version", "time_ms", "state_root", "log_root"]
    assert found[0].line == "height 4, version (rule P50): expected 1, got 9"
    assert found[1].text == "expected more than 3000, got 1"


def test_a_header_field_that_changes_alone_is_always_found() -> None:
    made = forgers_network()
    block = made.build()
    results = block.header.results
    changes: dict[str, object] = {
        "kind": BlockKind.EMPTY,
        "rule_id": "other",
        "results": replace(results, model_id=digest("another model")),
    }
    unnoticed = []
    for name in BlockHeader.__slots__:
        value = getattr(block.header, name)
        other = value + 1 if isinstance(value, int) else digest("other")
        if not findings(made, overwritten(block, **{name: changes.get(name, other)})):
            unnoticed.append(name)

    assert unnoticed == []


def test_a_flipped_outlier_flag_is_found_by_the_state_root() -> None:
    made = forgers_network()
    block = made.build()
    results = block.header.results
    flipped = tuple(replace(each, flagged=Flag.OUTLIER) for each in results.contributions)

    found = findings(made, overwritten(block, results=replace(results, contributions=flipped)))

    assert [each.field for each in found] == ["state_root"]


MADE = forgers_network()
ENCODED = encode(MADE.build())


@settings(max_examples=400)
@given(st.integers(0, len(ENCODED) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_block_is_accepted_and_none_makes_a_check_fail(
    index: int, change: int
) -> None:
    data = bytearray(ENCODED)
    data[index] ^= change

    try:
        block = decode(Block, bytes(data))
    except DecodeError:
        return
    assert findings(MADE, block) != ()
