"""Operations in the engine: what they open, and what becomes of them (rules P15, P35, P81)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.change_inputs import (
    KeepOperations,
    OperationApproved,
    OperationOffered,
    OperationReceived,
)
from consensus.changes import SAID_AGAIN_MAX, Changes
from consensus.desk import Desk
from consensus.effects import BuildBlock, EvidenceReceived, Notice, Publish, TimerKind
from consensus.messages import OperationMessage, ReadyMessage
from consensus.pending import OPERATIONS_PER_MEMBER
from consensus.record import INITIAL_RECORD
from consensus.signer import Signer
from ledger.building import Draft, build_block, unchanged_results
from ledger.keys import verify
from ledger.operations import Operation, operation_id
from ledger.validity import check_block
from tests.support.consensus.bench import Bench, equal_contract, started
from tests.support.consensus.cluster import Cluster
from tests.support.evidence import proof
from tests.support.ledger import STUB_SCHEME, Chain, stub_chain
from tests.support.members import (
    agreed,
    approval,
    carry,
    change,
    evict,
    go_on,
    grown,
    join,
    leave,
    new_key,
    pend,
    ready,
    rotate,
)

Make = Callable[[Chain, int], Operation]
VOIDED: dict[str, Make] = {
    "LEAVE": leave,
    "ROTATE": lambda made, member: rotate(made, member, new_key("next", made.keys[0])),
}
"""Operations about a member that evidence against it makes void (rule P81)."""


def finished_chain() -> Chain:
    return stub_chain(2, of=equal_contract(training_rounds=2))


def inputs(bench: Bench, operation: Operation) -> list[OperationReceived]:
    """An operation with the approval of each whose approval it needs."""
    approvals = agreed(bench.chain, operation).approvals
    return [
        OperationReceived(operation=operation, approval=bench.verified(each)) for each in approvals
    ]


def built(bench: Bench) -> BuildBlock:
    """What the engine, which leads view 0, has its host build."""
    bench.fire(TimerKind.COLLECT)
    for member in bench.others:
        bench.have(member)
    (order,) = [each for each in bench.history if isinstance(each, BuildBlock)]
    return order


@pytest.mark.parametrize("kind", VOIDED)
def test_a_block_whose_evidence_voids_the_operation_that_opened_its_height_is_valid(
    kind: str,
) -> None:
    """Rules P13, P15: the height has begun and must end with a block that nobody refuses."""
    bench = started(leads=0, chain=finished_chain())
    liar = bench.others[0]
    operation = VOIDED[kind](bench.chain, liar)
    evidence = proof(bench.chain, liar)
    for each in inputs(bench, operation):
        bench.step(each)

    bench.step(EvidenceReceived(evidence=evidence))
    order = built(bench)
    draft = Draft(
        view=order.view,
        kind=order.kind,
        time_ms=order.time_ms,
        haves=order.haves,
        updates=order.updates,
        last_certificate=order.last_certificate,
        results=unchanged_results(bench.state),
        evidence=order.evidence,
        operations=order.operations,
    )
    block = build_block(bench.contract, bench.state, draft)

    assert (order.evidence, order.operations) == ((evidence,), ())
    assert check_block(bench.contract, bench.state, block, scheme=STUB_SCHEME) == ()


@pytest.mark.parametrize("kind", VOIDED)
@pytest.mark.parametrize("knowing", [range(4), range(1)], ids=["all", "one"])
def test_a_finished_network_bans_a_liar_whose_operation_has_opened_a_height(
    kind: str, knowing: range
) -> None:
    """Rules P15, P45: the height ends, and no further one opens for the void operation."""
    cluster = Cluster(equal_contract(training_rounds=2))
    cluster.run_until(2)
    cluster.run_for(5_000)
    host = cluster.hosts[0]
    made = Chain(
        contract=cluster.contract,
        keys=cluster.keys,
        states=host.states,
        blocks=host.blocks,
        certificates=host.certificates,
    )
    liar = 3
    operation = VOIDED[kind](made, liar)
    bench = Bench(chain=made, member=0)
    heard = inputs(bench, operation)
    evidence = proof(made, liar)

    for each in cluster.hosts.values():
        for one in heard:
            cluster.feed(each, one)
    for member in knowing:
        cluster.feed(cluster.hosts[member], EvidenceReceived(evidence=evidence))
    cluster.run_for(120_000)

    honest = [each for each in cluster.hosts.values() if each.member != liar]
    assert {each.states[-1].height for each in honest} == {3}
    assert all(each.engine is not None and each.engine.is_finished for each in honest)
    last, is_banned = honest[0].blocks[-1], honest[0].states[-1].banned == (liar,)
    assert is_banned == bool(last.evidence) == (not last.operations)
    assert is_banned or len(knowing) == 1


def desk_of(made: Chain, member: int | None) -> Desk:
    """What a node shares with its parts; None for an observer."""
    signer = None
    if member is not None:
        signer = Signer(
            key=made.keys[member],
            member=member,
            chain_id=made.state.chain_id,
            record=INITIAL_RECORD,
        )
    return Desk(
        contract=made.contract,
        state=made.state,
        tip_certificate=made.certificate,
        member=member,
        signer=signer,
        scheme=STUB_SCHEME,
    )


def heard(made: Chain, operation: Operation, member: int) -> OperationReceived:
    signed = approval(made, operation, member)
    key, chain_id = made.keys[member].public_key, made.state.chain_id
    verified = verify(signed, key, chain_id=chain_id, scheme=STUB_SCHEME)
    return OperationReceived(operation=operation, approval=verified)


def done(desk: Desk) -> list[object]:
    """What was done: who approved what is published, READYs, what is kept, what is told."""
    found: list[object] = []
    for effect in desk.take():
        match effect:
            case Publish(message=OperationMessage() as message):
                found.append(message.approval.signer)
            case Publish(message=ReadyMessage() as message):
                found.append(f"READY of {message.ready.signer}")
            case KeepOperations():
                found.append(
                    [tuple(one.signer for one in each.approvals) for each in effect.operations]
                )
            case Notice():
                found.append(effect.is_error)
            case _:
                pass
    return found


def test_what_is_new_is_kept_and_what_is_said_again_changes_nothing() -> None:
    made = grown()
    desk = desk_of(made, 0)
    changes = Changes(desk, ())
    operation = evict(made, 3)

    for member in (1, 1, 2):
        changes.take(heard(made, operation, member))

    assert done(desk) == [[(1,)], [(1, 2)]]


def test_what_was_kept_is_taken_up_unless_its_signature_is_not_good_any_more() -> None:
    made = grown()
    good, bad = agreed(made, evict(made, 3), by=(0, 1)), agreed(made, evict(made, 2), by=(0,))
    forged = replace(bad.approvals[0], signature=bytes(64))
    desk = desk_of(made, 0)

    Changes(desk, (good, replace(bad, approvals=(forged,))))

    assert desk.pending.agreed() == (good,)


def test_what_the_own_member_wants_is_approved_kept_and_said() -> None:
    made = grown()
    desk = desk_of(made, 0)

    Changes(desk, ()).take(OperationOffered(operation=evict(made, 3)))

    assert done(desk) == [[(0,)], 0]


def test_what_no_block_could_carry_is_told_and_not_said() -> None:
    made = grown()
    desk = desk_of(made, 0)

    Changes(desk, ()).take(OperationOffered(operation=replace(evict(made, 3), member=9)))

    assert done(desk) == [True]
    assert desk.pending.agreed() == ()


def test_an_approval_of_what_is_here_is_given_at_once() -> None:
    made = grown()
    desk = desk_of(made, 0)
    changes, operation = Changes(desk, ()), evict(made, 3)
    changes.take(heard(made, operation, 1))
    done(desk)

    changes.take(OperationApproved(operation_id=operation_id(operation, made.state.chain_id)))

    assert done(desk) == [[(0, 1)], 0]


def test_an_approval_of_what_is_not_here_is_given_once_it_is_heard_of() -> None:
    made = grown()
    desk = desk_of(made, 0)
    changes, operation = Changes(desk, ()), evict(made, 3)

    changes.take(OperationApproved(operation_id=operation_id(operation, made.state.chain_id)))
    told = done(desk)
    for member in (1, 2):
        changes.take(heard(made, operation, member))

    assert told == [False]
    assert done(desk) == [[(1,)], [(0, 1)], 0, [(0, 1, 2)]]


@pytest.mark.parametrize("is_observer", [True, False])
def test_who_does_not_take_part_approves_nothing(*, is_observer: bool) -> None:
    made = grown()
    carry(made, leave(made, 3))
    desk = desk_of(made, None if is_observer else 3)

    Changes(desk, ()).take(OperationOffered(operation=evict(made, 2)))

    assert done(desk) == [True]


def test_an_operation_that_a_block_carried_is_kept_no_longer() -> None:
    made = grown()
    desk = desk_of(made, 0)
    changes = Changes(desk, (agreed(made, evict(made, 3)), agreed(made, leave(made, 2))))
    carry(made, evict(made, 3))
    desk.follow(made.state)

    changes.begin_height(is_behind=False)
    once = done(desk)
    changes.begin_height(is_behind=False)

    assert once == [[(2,)]]
    assert done(desk) == []


def test_who_is_pending_says_ready_at_each_height_and_period_while_it_is_not_behind() -> None:
    """Rule P81."""
    made = grown()
    number = pend(made, "new")
    desk = desk_of(made, number)
    changes = Changes(desk, ())
    ready_said = f"READY of {number}"

    found = []
    for is_behind in (True, False):
        changes.begin_height(is_behind=is_behind)
        changes.republish(is_behind=is_behind)
        found.append(done(desk))
    go_on(made, 1)
    desk.follow(made.state)
    changes.begin_height(is_behind=False)
    (said,) = desk.pending.readies()

    assert found == [[], [ready_said, ready_said]]
    assert done(desk) == [ready_said]
    assert said.statement.height == made.state.height


def test_whose_node_takes_part_says_no_ready_and_repeats_those_of_others() -> None:
    """Rule P35."""
    made = grown()
    number = pend(made, "new")
    desk = desk_of(made, 0)
    changes = Changes(desk, ())
    desk.pending.hear_ready(made.state, ready(made, number))

    changes.begin_height(is_behind=False)
    begun = done(desk)
    changes.republish(is_behind=False)

    assert begun == []
    assert done(desk) == [f"READY of {number}"]


def test_approvals_are_said_again_by_turns() -> None:
    """Rule P35: as many as are allowed in one period, the next ones in the next."""
    made = grown()
    per_member = OPERATIONS_PER_MEMBER
    kept = [
        agreed(made, join(made, f"new {opener} {each}"), by=[opener, *set(range(4)) - {opener}])
        for opener in range(4)
        for each in range(per_member)
    ]
    desk = desk_of(made, 0)
    changes = Changes(desk, kept)
    total = sum(len(each.approvals) for each in desk.pending.agreed())

    periods: list[list[object]] = []
    for _ in range(3):
        changes.republish(is_behind=False)
        periods.append([each.message for each in desk.take() if isinstance(each, Publish)])

    assert total == 2 * SAID_AGAIN_MAX
    assert [len(each) for each in periods] == [SAID_AGAIN_MAX] * 3
    assert len({repr(each) for each in periods[0] + periods[1]}) == total
    assert periods[2] == periods[0]


@pytest.mark.parametrize(
    ("rounds", "approving", "expected"),
    [(3, 2, False), (3, 3, True), (4, 0, True)],
    ids=["too few", "a quorum", "training goes on"],
)
def test_a_height_opens_for_training_or_for_what_enough_have_approved(
    *, rounds: int, approving: int, expected: bool
) -> None:
    """Rule P15."""
    made = grown(training_rounds=rounds)
    waiting = agreed(made, change(made, lambda terms: replace(terms, training_rounds=9)))

    changes = Changes(
        desk_of(made, 0), (replace(waiting, approvals=waiting.approvals[:approving]),)
    )

    assert changes.opens_height() is expected
