"""Forged operations and READYs, each of which exactly one check finds (rule P81)."""

from collections.abc import Callable
from dataclasses import replace

from ledger.keys import Signed, sign
from ledger.operations import (
    EXPIRY_AHEAD_MAX,
    READY_WINDOW,
    Agreed,
    Approval,
    Operation,
    Ready,
    Terms,
    operation_id,
    with_possession,
)
from ledger.records import Block, Evidence
from tests.support.evidence import proof
from tests.support.ledger import Chain, digest
from tests.support.members import (
    admit,
    agreed,
    carry,
    carrying,
    change,
    evict,
    join,
    leave,
    longer,
    new_key,
    pend,
    ready,
    rotate,
    rotate_key,
)
from tests.support.sealing import reseal

Carried = tuple[Agreed, ...]
BAD_SIGNATURE = bytes(64)
NEW = "hospital-new"


def with_operations(forge: Callable[[Chain], Carried]) -> Callable[[Chain], Block]:
    """A block that is right in everything but its operations."""

    def forged(made: Chain) -> Block:
        # Made first: some forgeries let the chain grow before.
        operations = forge(made)
        return carrying(made, operations)

    return forged


def with_readies(forge: Callable[[Chain], tuple[Signed[Ready], ...]]) -> Callable[[Chain], Block]:
    """A block that is right in everything but its READYs."""

    def forged(made: Chain) -> Block:
        readies = forge(made)
        return carrying(made, readies=readies)

    return forged


def by_all(make: Callable[[Chain], Operation]) -> Callable[[Chain], Carried]:
    """One operation that all validators approve, or the member for which it is."""

    def forged(made: Chain) -> Carried:
        operation = make(made)
        return (agreed(made, operation),)

    return forged


def out_of_order(made: Chain) -> Block:
    chosen = tuple(agreed(made, each) for each in (evict(made, 4), join(made, NEW)))
    block = carrying(made, chosen)
    return reseal(made.contract, made.state, replace(block, operations=block.operations[::-1]))


def rounds(count: int) -> Callable[[Terms], Terms]:
    return lambda terms: replace(terms, training_rounds=count)


def replayed(made: Chain) -> Operation:
    """There and back, and there again: the contract in force is the one that it names."""
    first = change(made, rounds(50))
    carry(made, first)
    carry(made, change(made, rounds(100)))
    return first


def gone_twice(made: Chain) -> Operation:
    """A replayed EVICT under another expiry, so that it is not the one that was carried."""
    operation = evict(made, 4)
    carry(made, operation)
    return longer(operation)


def stale_terms(made: Chain) -> Operation:
    stale = change(made, rounds(50))
    carry(made, evict(made, 4))
    return stale


def of_a_pending_member(made: Chain) -> Operation:
    number = pend(made, NEW)
    return rotate(made, number, new_key("another", made.keys[0]))


def leave_of_the_banned(made: Chain) -> Operation:
    made.add(made.build(evidence=(proof(made, 1),)))
    return leave(made, 1)


def readmission_of_the_banned(made: Chain) -> Operation:
    made.add(made.build(evidence=(proof(made, 1),)))
    return join(made, NEW, key=made.keys[1])


def key_of_the_gone(made: Chain) -> Operation:
    carry(made, evict(made, 4))
    return join(made, NEW, key=made.keys[4])


def retired_key(made: Chain) -> Operation:
    old = made.keys[1]
    rotate_key(made, 1, "rotated")
    return join(made, NEW, key=old)


def lapsed_key(made: Chain) -> Operation:
    number = pend(made, NEW)
    carry(made, evict(made, number))
    return join(made, "another", key=made.keys[number])


def one_key_twice(made: Chain) -> Carried:
    key = new_key(NEW, made.keys[0])
    return tuple(agreed(made, join(made, name, key=key)) for name in ("one", "another"))


def somebody_elses_proof(made: Chain) -> Operation:
    own = join(made, NEW)
    return replace(own, possession=join(made, "another").possession)


def of_another_chain(made: Chain) -> Operation:
    key = new_key(NEW, made.keys[0])
    return with_possession(join(made, NEW), key, digest("another chain"))


def many_need(made: Chain) -> Operation:
    return change(made, lambda terms: replace(terms, min_updates=9))


def too_large(made: Chain) -> Operation:
    def edit(terms: Terms) -> Terms:
        return replace(terms, limits=replace(terms.limits, block_bytes_max=2_000))

    return change(made, edit)


def unknown_rule(made: Chain) -> Operation:
    def edit(terms: Terms) -> Terms:
        return replace(terms, aggregation=replace(terms.aggregation, rule_id="median"))

    return change(made, edit)


def everybody_goes(made: Chain) -> Carried:
    return tuple(agreed(made, evict(made, each)) for each in range(4))


def ban_and_evictions(made: Chain) -> Block:
    """The evidence leaves three, the operations of the same block none of them."""
    evictions = tuple(agreed(made, evict(made, each)) for each in (0, 2, 3))
    return carrying(made, evictions, block=made.build(evidence=(proof(made, 1),)))


def by_members(*members: int) -> Callable[[Chain], Carried]:
    return lambda made: (agreed(made, evict(made, 4), by=members),)


def approves_another(made: Chain) -> Carried:
    whole, chain_id = agreed(made, evict(made, 4)), made.state.chain_id
    other = Approval(operation_id=operation_id(evict(made, 1), chain_id))
    last = sign(other, made.keys[3], signer=3, chain_id=chain_id)
    return (replace(whole, approvals=(*whole.approvals[:3], last)),)


def unsigned(made: Chain) -> Carried:
    whole = agreed(made, evict(made, 4))
    last = replace(whole.approvals[3], signature=BAD_SIGNATURE)
    return (replace(whole, approvals=(*whole.approvals[:3], last)),)


def with_the_old_key(made: Chain) -> Carried:
    """An approval from before the rotation of its signer."""
    whole = agreed(made, evict(made, 4))
    rotate_key(made, 3, "rotated")
    return (whole,)


def two_pending(made: Chain) -> tuple[Signed[Ready], ...]:
    first, second = pend(made, NEW), pend(made, "another")
    return ready(made, second), ready(made, first)


def twice_ready(made: Chain) -> tuple[Signed[Ready], ...]:
    number = pend(made, NEW)
    return ready(made, number), ready(made, number)


def ready_of_the_lapsed(made: Chain) -> tuple[Signed[Ready], ...]:
    number = pend(made, NEW)
    expiry = made.state.membership.members[number].expiry
    while made.state.height < expiry:
        made.add(made.build())
    return (ready(made, number),)


def ready_and_taken_back(made: Chain) -> Block:
    number = pend(made, NEW)
    taken_back = agreed(made, evict(made, number))
    return carrying(made, (taken_back,), (ready(made, number),))


def too_old(made: Chain) -> tuple[Signed[Ready], ...]:
    number = pend(made, NEW)
    named = made.state.height
    while made.state.height < named + READY_WINDOW:
        made.add(made.build())
    return (ready(made, number, height=named),)


def before_its_join(made: Chain) -> tuple[Signed[Ready], ...]:
    """Another key is pending, so that the state knows the block; the newcomer cannot."""
    pend(made, "another")
    height = made.state.height
    number = pend(made, NEW)
    return (ready(made, number, height=height),)


def of_another_block(made: Chain) -> tuple[Signed[Ready], ...]:
    number = pend(made, NEW)
    statement = Ready(height=made.state.height, block_id=digest("another block"))
    chain_id = made.state.chain_id
    return (sign(statement, made.keys[number], signer=number, chain_id=chain_id),)


def to_come(made: Chain) -> tuple[Signed[Ready], ...]:
    number = pend(made, NEW)
    return (ready(made, number, height=made.state.height + 1),)


def not_signed(made: Chain) -> tuple[Signed[Ready], ...]:
    number = pend(made, NEW)
    return (replace(ready(made, number), signature=BAD_SIGNATURE),)


def before_admission(made: Chain) -> tuple[Evidence, ...]:
    """The newcomer's key signs twice at a height at which it was nobody."""
    number = admit(made, NEW)
    return (proof(made, number, height=made.state.height),)


def expiring(height: Callable[[int], int]) -> Callable[[Chain], Operation]:
    """An EVICT whose expiry is a function of the height that carries it."""
    return lambda made: replace(evict(made, 4), expiry=height(made.state.height + 1))


def joining_until(height: Callable[[int], int]) -> Callable[[Chain], Operation]:
    """A JOIN whose expiry is a function of the height that carries it."""
    return lambda made: joining(expiry=height(made.state.height + 1))(made)


def named(**fields: int) -> Callable[[Chain], Operation]:
    """An EVICT of somebody else than is there."""
    return lambda made: replace(evict(made, 4), **fields)


def joining(**fields: object) -> Callable[[Chain], Operation]:
    """A JOIN of a member that cannot be."""

    def make(made: Chain) -> Operation:
        operation = replace(join(made, NEW), **fields)  # type: ignore[arg-type]  # by name
        return with_possession(operation, new_key(NEW, made.keys[0]), made.state.chain_id)

    return make


BAD_OPERATIONS: tuple[tuple[int, str, Callable[[Chain], Block]], ...] = (
    (45, "out of order", out_of_order),
    *(
        (check, desc, with_operations(by_all(make)))
        for check, desc, make in (
            (46, "expired", expiring(lambda height: height - 1)),
            (46, "JOIN that expires at once", joining_until(lambda height: height)),
            (46, "possible for too long", expiring(lambda height: height + EXPIRY_AHEAD_MAX + 1)),
            (47, "terms there and back and there again", replayed),
            (48, "unknown member", named(member=9)),
            (48, "another admission", named(admitted=1)),
            (48, "member that is gone", gone_twice),
            (48, "terms of another contract", stale_terms),
            (48, "rotation of a pending key", of_a_pending_member),
            (48, "LEAVE of a banned member", leave_of_the_banned),
            (49, "key of a member", lambda made: join(made, NEW, key=made.keys[2])),
            (49, "key of a banned member", readmission_of_the_banned),
            (49, "key of a member that is gone", key_of_the_gone),
            (49, "key that was rotated away", retired_key),
            (49, "key that was pending", lapsed_key),
            (49, "rotation to the same key", lambda made: rotate(made, 1, made.keys[1])),
            (50, "proof of somebody else", somebody_elses_proof),
            (50, "proof for another chain", of_another_chain),
            (51, "no role", joining(roles=0)),
            (51, "no name", joining(name="")),
            (51, "name of a member", joining(name="hospital-2")),
            (51, "trainer without samples", joining(samples=0)),
            (51, "more updates needed than there are trainers", many_need),
            (51, "rule of aggregation that nobody has", unknown_rule),
            (51, "blocks that do not fit", too_large),
        )
    ),
    (49, "one key joins twice", with_operations(one_key_twice)),
    (52, "nobody left", with_operations(everybody_goes)),
    (52, "nobody left beside the banned", ban_and_evictions),
    (53, "approval without power", with_operations(by_members(0, 1, 2, 4))),
    (53, "approvals out of order", with_operations(by_members(0, 2, 1, 3))),
    (53, "approval twice", with_operations(by_members(0, 1, 2, 2))),
    (
        53,
        "LEAVE approved by others",
        with_operations(lambda made: (agreed(made, leave(made, 4), by=range(4)),)),
    ),
    (54, "half the power", with_operations(by_members(0, 1))),
    (54, "no approval", with_operations(by_members())),
    (55, "approval of another operation", with_operations(approves_another)),
    (56, "approval not signed", with_operations(unsigned)),
    (56, "approval with the key before a rotation", with_operations(with_the_old_key)),
    (57, "READYs out of order", with_readies(two_pending)),
    (57, "READY twice", with_readies(twice_ready)),
    (58, "READY of a member", with_readies(lambda made: (ready(made, 1),))),
    (58, "READY of a lapsed key", with_readies(ready_of_the_lapsed)),
    (58, "READY of a JOIN that is taken back", ready_and_taken_back),
    (59, "READY of a block too old", with_readies(too_old)),
    (59, "READY of a block before the JOIN", with_readies(before_its_join)),
    (59, "READY of another block", with_readies(of_another_block)),
    (59, "READY of a block to come", with_readies(to_come)),
    (60, "READY not signed", with_readies(not_signed)),
)
