"""Members, keys and terms in force (rules P1, P81)."""

from dataclasses import fields, replace

import pytest

from ledger.encoding import decode, encode
from ledger.membership import (
    MemberRecord,
    Membership,
    RetiredKey,
    Standing,
    contract_in_force,
    public_keys_at,
    with_membership,
)
from ledger.operations import Terms, contract_hash, terms_of, with_terms
from ledger.state import State, initial_state
from tests.support.ledger import contract, digest


def founded(n: int = 4) -> Membership:
    return initial_state(contract(n)).membership


def standing(of: Membership, number: int, now: Standing) -> Membership:
    records = list(of.members)
    records[number] = replace(records[number], standing=now)
    return replace(of, members=tuple(records))


def test_the_contract_in_force_at_first_is_that_of_the_genesis() -> None:
    founding = contract(4)
    state = initial_state(founding)

    assert contract_in_force(founding, state) == founding
    assert {each.admitted for each in state.membership.members} == {0}
    assert state.membership_epoch == 0


def test_who_is_pending_or_gone_keeps_its_number_without_roles_and_samples() -> None:
    founding = contract(4)
    changed = standing(standing(founded(), 1, Standing.GONE), 2, Standing.PENDING)

    now = with_membership(founding, changed)

    assert [bool(each.roles) for each in now.members] == [True, False, False, True]
    assert [bool(each.samples) for each in now.members] == [True, False, False, True]
    assert [each.public_key for each in now.members] == list(changed.public_keys)
    assert changed.pending == (2,)


def test_terms_of_the_state_replace_those_of_the_contract_and_nothing_else() -> None:
    founding = contract(4)
    other = replace(terms_of(founding), training_rounds=9, min_updates=3)

    now = with_membership(founding, replace(founded(), terms=other))

    assert terms_of(now) == other
    differing = {
        each.name
        for each in fields(founding)
        if getattr(now, each.name) != getattr(founding, each.name)
    }
    assert differing == {"training_rounds", "min_updates"}
    assert with_terms(now, terms_of(founding)) == founding
    assert {each.name for each in fields(Terms)} < {each.name for each in fields(founding)}
    assert contract_hash(now) != contract_hash(founding)


def test_a_contract_in_force_is_made_once_for_each_membership() -> None:
    founding, changed = contract(4), standing(founded(), 1, Standing.GONE)

    now = with_membership(founding, changed)

    assert with_membership(now, changed) is now
    assert with_membership(now, founded()) == founding


@pytest.mark.parametrize(
    ("height", "expected"), [(1, "first"), (5, "first"), (6, "second"), (9, "second"), (10, "now")]
)
def test_each_height_is_checked_with_the_key_that_was_in_force(height: int, expected: str) -> None:
    """Of three keys of member 1 the first signed up to height 5, the second up to 9."""
    first, second, other = digest("first"), digest("second"), digest("other")
    of = replace(
        founded(),
        retired=(
            RetiredKey(member=1, public_key=first, last_height=5),
            RetiredKey(member=2, public_key=other, last_height=5),
            RetiredKey(member=1, public_key=second, last_height=9),
        ),
    )
    named = {"first": first, "second": second, "now": of.public_keys[1]}

    keys = public_keys_at(of, height)

    assert keys[1] == named[expected]
    assert keys[2] == (other if height <= 5 else of.public_keys[2])
    assert keys[0] == of.public_keys[0]


def test_a_membership_is_written_once_and_reads_back() -> None:
    state = initial_state(contract(4))
    record = MemberRecord(
        member=replace(contract(1).members[0], public_key=digest("new"), name="new"),
        standing=Standing.PENDING,
        admitted=3,
        expiry=9,
    )
    before = encode(state)
    grown = replace(
        state,
        membership=replace(state.membership, members=(*state.membership.members, record)),
    )

    assert encode(state) == before
    assert encode(grown) != before
    assert decode(State, encode(grown)) == grown
