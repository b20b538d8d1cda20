"""Members join, leave, are evicted, rotate keys and change terms (rules P43, P45, P81)."""

from dataclasses import replace

import pytest

from ledger.changes import apply_operation, next_place, operation_problem
from ledger.encoding import decode, encode
from ledger.genesis import Role
from ledger.inclusion import disqualification
from ledger.kinds import MEMBERS_MAX
from ledger.membership import RETIRED_MAX, RetiredKey, Standing
from ledger.operations import (
    Operation,
    operation_id,
    operations_root,
)
from ledger.records import Block
from ledger.reputation import SCALE, Scores, first_scores
from ledger.state import State, apply
from tests.support.evidence import proof
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    contract,
    digest,
    stub_chain,
    update,
    with_roles,
)
from tests.support.members import (
    admit,
    agreed,
    block_with,
    carry,
    carrying,
    evict,
    go_on,
    grown,
    hold,
    join,
    leave,
    new_key,
    pend,
    problems,
    ready,
    rotate,
    rotate_key,
)


def standings(made: Chain) -> list[Standing]:
    return [each.standing for each in made.state.membership.members]


def test_a_hospital_joins_is_ready_votes_and_trains() -> None:
    made = grown()

    number = pend(made, "new")
    pending = made.state
    carry(made, readies=(ready(made, number),))
    go_on(made)

    assert pending.membership.pending == (number,) == (4,)
    assert pending.validators.members == (0, 1, 2, 3)
    assert made.state.membership.members[4].admitted == pending.height + 1
    assert made.state.validators.members == (0, 1, 2, 3, 4)
    assert [each.trainer for each in made.blocks[-1].header.results.contributions] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert made.state.membership_epoch == pending.height + 1


def test_a_pending_member_has_no_power_and_its_update_does_not_count() -> None:
    made = grown()
    number = pend(made, "new")

    header = update(made.in_force, made.state, number, made.keys[number]).statement

    assert disqualification(made.in_force, made.state, header) == "member 4 is no trainer"
    assert made.state.validators.power_of(number) == 0


def test_a_pending_key_lapses_and_its_number_stays_dead() -> None:
    made = grown()
    number = pend(made, "new")
    expiry = made.state.membership.members[number].expiry
    while made.state.height < expiry:
        assert made.state.membership.pending == (number,)
        go_on(made, 1)

    again = pend(made, "new again")

    assert standings(made)[number] is Standing.LAPSED
    assert again == number + 1
    assert made.states[expiry].membership_epoch == expiry


def test_four_shrink_to_three_and_the_chain_goes_on() -> None:
    made = grown()

    carry(made, leave(made, 2))
    at_leave = made.state
    go_on(made, 3)

    assert at_leave.previous_validators.members == (0, 1, 2, 3)
    assert made.state.validators.members == (0, 1, 3)
    assert {each.power for each in made.state.validators.validators} == {1}
    assert standings(made)[2] is Standing.GONE


def test_who_leaves_is_heard_once_more_in_the_certificate_of_its_last_height() -> None:
    made = grown()
    carry(made, leave(made, 2))
    block = made.build()

    assert len(block.last_certificate[0].positions) == 4
    assert problems(made, block) == []


def test_a_replayed_eviction_does_not_hit_the_member_that_comes_back() -> None:
    """The EVICT names the admission; the hospital has another number and another one now."""
    made = grown()
    eviction = evict(made, 2)
    approved = agreed(made, eviction)
    made.add(carrying(made, [approved]))
    number = admit(made, "hospital-2")

    replayed = carrying(made, [approved])
    changed = replace(eviction, member=number)

    assert {"member 2 is gone", f"operation {shown(made, eviction)} was carried before"} <= set(
        problems(made, replayed)
    )
    at = made.state.membership.members[number].admitted
    assert f"member {number} was admitted at height {at}, got 0" in problems(
        made, block_with(made, changed)
    )


def shown(made: Chain, operation: Operation) -> str:
    return operation_id(operation, made.state.chain_id).hex()[:8]


def test_numbers_are_never_given_again() -> None:
    made = grown(7)
    for name in ("a", "b", "c"):
        carry(made, evict(made, admit(made, name)))

    assert pend(made, "d") == 10
    assert len(made.state.scores) == len(made.state.membership.members) == 11


def test_a_banned_hospital_comes_back_with_a_new_key_and_with_what_it_lost() -> None:
    """Rules P43 and P45: the key is banned, not the organisation."""
    made = grown(7)
    for _ in range(20):
        made.add(made.build(outliers=[2]))
    made.add(made.build(evidence=(proof(made, 2),)))
    lost = made.state.scores[2]

    number = admit(made, "hospital-2")

    assert made.state.banned == (2,)
    assert number in made.state.validators.members
    assert 2 not in made.state.validators.members
    assert made.state.scores[number].quality == lost.quality < SCALE // 4
    assert made.state.scores[number].absences == 0


def test_first_scores_are_the_least_that_the_hospital_ever_had() -> None:
    former = Scores(participation=5, proposing=SCALE, quality=7, absences=3)

    assert first_scores(9) == Scores(participation=9, proposing=SCALE, quality=SCALE, absences=0)
    assert first_scores(9, [former]) == Scores(
        participation=5, proposing=SCALE, quality=7, absences=0
    )
    assert first_scores(3, [former]).participation == 3


def test_a_newcomer_starts_from_its_sample_count() -> None:
    """Rule P43: between half and three quarters of the scale, no more whatever it claims."""
    made = grown()
    honest, boaster = admit(made, "honest", samples=0, roles=2), admit(made, "b", samples=2**32 - 1)

    assert made.states[5].scores[honest].participation == SCALE // 2
    assert made.state.scores[boaster].participation == SCALE // 2 + SCALE // 4


def test_a_rotated_key_votes_from_the_next_height_on() -> None:
    made = grown()
    old = made.keys[1]

    rotate_key(made, 1, "rotated")
    go_on(made, 3)
    made.keys = [*made.keys[:1], old, *made.keys[2:]]
    block = made.build()

    texts = problems(made, block)
    assert texts
    assert all("the signature is not that of member 1" in each for each in texts)
    assert made.state.membership.retired[0].last_height == 4


def test_evidence_under_the_key_before_a_rotation_bans_the_present_key() -> None:
    """Rule P45."""
    made = grown(7)
    said_before = proof(made, 1, height=4)
    rotate_key(made, 1, "rotated")
    with_new_key = proof(made, 1, height=4)

    assert (
        problems(made, made.build(evidence=(with_new_key,)))
        == ["Vote: the signature is not that of member 1"] * 2
    )
    block = made.build(evidence=(said_before,))
    assert problems(made, block) == []
    made.add(block)
    assert 1 not in made.state.validators.members


def test_who_is_gone_is_not_convicted() -> None:
    made = grown()
    evidence = proof(made, 2, height=4)
    carry(made, leave(made, 2))

    block = made.build(evidence=(evidence,))

    assert problems(made, block) == ["member 2 has no role in which it says COMMIT"]


def test_the_last_validator_cannot_go() -> None:
    of = with_roles(contract(3, byzantine_budget=0), {1: Role.TRAINER, 2: Role.TRAINER})
    made = stub_chain(3, of=of)
    block = block_with(made, leave(made, 0))

    assert "expected at least one validator to be left, got none" in problems(made, block)
    assert apply(made.contract, made.state, block).validators.members == (0,)


def test_a_ready_in_the_block_of_its_own_join_admits_nobody() -> None:
    made = grown()
    hold(made, 4, new_key("new", made.keys[0]))

    block = block_with(made, join(made, "new"), readies=(ready(made, 4),))

    assert "member 4 is not pending" in problems(made, block)


def test_several_changes_in_one_block_are_judged_one_after_another() -> None:
    made = grown(7)
    number = pend(made, "new")
    block = block_with(
        made,
        evict(made, 1),
        leave(made, 2),
        rotate(made, 3, new_key("k", made.keys[0])),
        readies=(ready(made, number),),
    )

    assert problems(made, block) == []
    after = apply(made.contract, made.state, block)
    assert after.validators.members == (0, 3, 4, 5, 6, 7)
    assert len(after.membership.applied) == 4
    assert decode(State, encode(after)) == after
    assert decode(Block, encode(block)) == block


def test_applied_operations_are_remembered_until_they_expire() -> None:
    made = grown()
    operation = replace(evict(made, 2), expiry=made.state.height + 3)
    carry(made, operation)

    heights = []
    while made.state.membership.applied:
        heights.append(made.state.height)
        go_on(made, 1)

    assert heights == [4, 5]
    assert made.state.height == operation.expiry


def test_nothing_changes_while_nothing_is_carried() -> None:
    """The state's largest part is encoded once, not at each height."""
    made = grown()
    before = made.state.membership

    go_on(made, 3)

    assert made.state.membership is before
    assert made.state.recent_ids == ()


def test_operations_and_readies_have_one_root_that_tells_them_apart() -> None:
    made = grown()
    number = pend(made, "new")
    operation, said = agreed(made, evict(made, 2)), ready(made, number)

    roots = {
        operations_root((), ()),
        operations_root((operation,), ()),
        operations_root((), (said,)),
        operations_root((operation,), (said,)),
        operations_root((operation, operation), (said,)),
    }

    assert len(roots) == 5


@pytest.mark.parametrize("power", ["evicted", "banned"])
def test_approvals_of_who_is_out_do_not_count(power: str) -> None:
    made = grown(7)
    if power == "evicted":
        carry(made, evict(made, 6))
    else:
        made.add(made.build(evidence=(proof(made, 6),)))

    block = carrying(made, [agreed(made, evict(made, 1), by=range(7))])

    assert "member 6 is no validator of this height" in problems(made, block)


def test_a_chain_has_only_so_many_member_numbers() -> None:
    """A number is two bytes in a bitmap of at most so many bits: a JOIN beyond it is void."""
    made = grown()
    members = made.state.membership.members
    full = replace(made.state.membership, members=(members * MEMBERS_MAX)[:MEMBERS_MAX])
    place = next_place(made.contract, replace(made.state, membership=full), ())
    operation = join(made, "new")

    after = apply_operation(place, operation)

    problem = operation_problem(place, operation, scheme=STUB_SCHEME)
    assert problem == "expected at most 256 member numbers on one chain"
    assert after.membership.members == full.members


def test_a_chain_has_only_so_many_rotations() -> None:
    """The keys of the past stay in the state, because late statements were signed with them."""
    made = grown()
    old = RetiredKey(member=1, public_key=digest("old"), last_height=1)
    full = replace(made.state.membership, retired=(old,) * RETIRED_MAX)
    place = next_place(made.contract, replace(made.state, membership=full), ())
    operation = rotate(made, 1, new_key("next", made.keys[0]))

    after = apply_operation(place, operation)

    problem = operation_problem(place, operation, scheme=STUB_SCHEME)
    assert problem == f"expected at most {RETIRED_MAX} rotations of keys on one chain"
    assert after.membership.members == full.members
    assert after.membership.retired == full.retired
