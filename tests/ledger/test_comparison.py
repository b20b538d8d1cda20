"""Two ledgers side by side: the first difference, and who signed both ways (P28, P34, P45)."""

from dataclasses import replace
from itertools import combinations

import pytest

from ledger.comparison import first_difference, fork_evidence
from ledger.powers import is_blocking
from tests.support.ledger import Chain, contract, empty_chain, stub_chain, stub_keys


def fork(
    below: int, *, n: int = 4, view: int = 0, signing: tuple[int, ...] | None = None, late: int = 0
) -> Chain:
    """A chain whose last block was created in a view and decided `late` views after it."""
    made = stub_chain(below, n=n)
    made.add(made.build(view=view, outliers=(0,)), signing=signing, view=view + late)
    return made


def test_equal_ledgers_do_not_differ() -> None:
    assert first_difference(stub_chain(3).blocks, stub_chain(3).blocks) is None
    assert first_difference([], []) is None


@pytest.mark.parametrize("height", [1, 2, 3])
def test_the_first_height_that_differs_is_named_with_its_fields(height: int) -> None:
    left, right = stub_chain(3), stub_chain(height - 1)
    for _ in range(height, 4):
        right.add(right.build(view=1, listing=(0, 1, 2)))

    found = first_difference(left.blocks, right.blocks)

    assert found is not None
    assert found.is_fork
    assert found.height == height
    fields = {each.field: (each.left, each.right) for each in found.fields}
    assert fields["created_view"] == ("0", "1")
    assert fields["haves_root"] == tuple(
        made.blocks[height - 1].header.haves_root.hex() for made in (left, right)
    )
    assert fields["haves of members"] == ("0 1 2 3", "0 1 2")
    assert "block id" in fields
    assert "parent_id" not in fields
    assert "height" not in fields
    assert "updates of members" not in fields


def test_flags_and_last_certificates_are_compared() -> None:
    left, right = stub_chain(1), stub_chain(1)
    left.add(left.build(outliers=(2,)))
    right.certificates[-1] = replace(
        right.certificates[-1], bitmap=b"\x07", signatures=right.certificates[-1].signatures[:3]
    )
    right.add(right.build())

    found = first_difference(left.blocks, right.blocks)

    assert found is not None
    fields = {each.field: (each.left, each.right) for each in found.fields}
    assert "results" not in fields
    assert "2:" in fields["results.contributions"][0]
    assert "!" in fields["results.contributions"][0]
    assert "!" not in fields["results.contributions"][1]
    assert fields["last certificate"] == (
        "view 0, positions 0 1 2 3",
        "view 0, positions 0 1 2",
    )


def test_a_ledger_that_ends_earlier_is_no_fork() -> None:
    found = first_difference(stub_chain(2).blocks, stub_chain(4).blocks)

    assert found is not None
    assert not found.is_fork
    assert (found.height, found.left_height, found.right_height) == (3, 2, 4)


def test_what_no_field_shows_is_still_a_difference() -> None:
    (block,) = stub_chain(1).blocks
    first = replace(block.haves[0], signature=bytes(64))
    other = replace(block, haves=(first, *block.haves[1:]))

    found = first_difference([block], [other])

    assert found is not None
    assert [each.field for each in found.fields] == ["bytes"]


def test_members_in_both_certificates_of_one_view_are_named() -> None:
    left = fork(2, signing=(0, 1, 2))
    right = stub_chain(2)
    right.add(right.build(), signing=(1, 2, 3))

    found = fork_evidence(
        left.contract, left.blocks[:2], left.certificates[-1], right.certificates[-1]
    )

    assert found.height == 3
    assert found.left_id != found.right_id
    assert [each.member for each in found.both] == [1, 2]
    assert found.total_power == left.states[2].validators.total
    assert found.power == sum(left.states[2].validators.power_of(each) for each in (1, 2))
    assert found.is_a_third
    assert found.is_conclusive


def test_certificates_of_different_views_do_not_convict_alone() -> None:
    left, right = fork(1), fork(1, view=1, late=2)

    found = fork_evidence(
        left.contract, left.blocks[:1], left.certificates[-1], right.certificates[-1]
    )

    assert (found.left_view, found.right_view) == (0, 3)
    assert not found.is_conclusive
    assert [each.member for each in found.both] == [0, 1, 2, 3]


def test_any_two_quorums_share_a_third_of_the_power() -> None:
    """Brute force over all quorums of seven members whose powers moved."""
    terms = contract(7)
    made = empty_chain(terms, stub_keys(terms))
    for _ in range(30):
        made.add(made.build(), signing=(0, 1, 2, 3, 4))
    validators, block = made.state.validators, made.build()
    quorums = [
        members
        for size in range(1, 8)
        for members in combinations(range(7), size)
        if validators.has_quorum(sum(map(validators.power_of, members)))
    ]
    assert len({each.power for each in validators.validators}) > 1

    for left, right in zip(quorums, reversed(quorums), strict=True):
        grown = [empty_chain(terms, made.keys) for _ in range(2)]
        for each, members in zip(grown, (left, right), strict=True):
            each.states.append(made.state)
            each.add(block, signing=members)
        found = fork_evidence(
            terms, made.blocks, grown[0].certificates[-1], grown[1].certificates[-1]
        )
        assert [each.member for each in found.both] == sorted(set(left) & set(right))
        assert found.is_a_third == is_blocking(found.power, validators.total)
        assert found.is_a_third, (left, right)
