"""Operations, approvals and READYs on a chain of tests, and how it goes on with other keys."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ledger.genesis import Role
from ledger.keys import Key, SecretKey, Signed, sign
from ledger.operations import (
    NO_SIGNATURE,
    Agreed,
    Approval,
    ChangeTerms,
    Evict,
    Join,
    Leave,
    Operation,
    Ready,
    Rotate,
    Terms,
    contract_hash,
    operation_id,
    sorted_operations,
    terms_of,
    with_possession,
)
from ledger.records import Block
from ledger.validity import check_block
from tests.support.ledger import STUB_SCHEME, Chain, StubKey, contract, digest, stub_chain
from tests.support.sealing import reseal

BOTH = int(Role.TRAINER | Role.VALIDATOR)
SOON = 50
"""Heights to the expiry of operations here."""


def new_key(name: str, like: Key) -> Key:
    """A key that nobody had before, of the same kind as `like`."""
    return StubKey(digest(name)) if isinstance(like, StubKey) else SecretKey(digest(name))


def join(
    made: Chain, name: str, *, key: Key | None = None, roles: int = BOTH, samples: int = 100
) -> Join:
    """A JOIN of a new hospital, with the key that `new_key` makes of its name unless told."""
    held = key or new_key(name, made.keys[0])
    operation = Join(
        public_key=held.public_key,
        name=name,
        roles=roles,
        samples=samples,
        expiry=made.state.height + SOON,
        possession=NO_SIGNATURE,
    )
    return with_possession(operation, held, made.state.chain_id)


def leave(made: Chain, member: int) -> Leave:
    """A LEAVE as the member itself would make it now."""
    admitted = made.state.membership.members[member].admitted
    return Leave(member=member, admitted=admitted, expiry=made.state.height + SOON)


def evict(made: Chain, member: int) -> Evict:
    """An EVICT as the others would make it now."""
    admitted = made.state.membership.members[member].admitted
    return Evict(member=member, admitted=admitted, expiry=made.state.height + SOON)


def rotate(made: Chain, member: int, key: Key) -> Rotate:
    """A ROTATE to a key."""
    operation = Rotate(
        member=member,
        admitted=made.state.membership.members[member].admitted,
        public_key=key.public_key,
        expiry=made.state.height + SOON,
        possession=NO_SIGNATURE,
    )
    return with_possession(operation, key, made.state.chain_id)


def change(made: Chain, edit: Callable[[Terms], Terms]) -> ChangeTerms:
    """Other terms than those in force."""
    return ChangeTerms(
        contract_hash=contract_hash(made.in_force),
        terms=edit(terms_of(made.in_force)),
        expiry=made.state.height + SOON,
    )


def approval(made: Chain, operation: Operation, member: int) -> Signed[Approval]:
    """A member's approval of an operation."""
    chain_id = made.state.chain_id
    statement = Approval(operation_id=operation_id(operation, chain_id))
    return sign(statement, made.keys[member], signer=member, chain_id=chain_id)


def agreed(made: Chain, operation: Operation, by: Iterable[int] | None = None) -> Agreed:
    """An operation approved by all validators, a LEAVE by its member, unless told."""
    needed = made.state.validators.members
    if isinstance(operation, Leave):
        needed = (operation.member,)
    signers = needed if by is None else tuple(by)
    return Agreed(
        operation=operation, approvals=tuple(approval(made, operation, each) for each in signers)
    )


def ready(made: Chain, member: int, *, height: int | None = None) -> Signed[Ready]:
    """A pending member's READY, which names the tip unless told."""
    at = made.state.height if height is None else height
    named = made.states[at].tip_id if at < len(made.states) else digest("a block to come")
    statement = Ready(height=at, block_id=named)
    chain_id = made.state.chain_id
    return sign(statement, made.keys[member], signer=member, chain_id=chain_id)


def carrying(
    made: Chain,
    operations: Iterable[Agreed] = (),
    readies: tuple[Signed[Ready], ...] = (),
    *,
    block: Block | None = None,
) -> Block:
    """The next block with operations and READYs: an ordinary one unless told."""
    ordered = sorted_operations(operations, made.state.chain_id)
    plain = made.build() if block is None else block
    return reseal(made.contract, made.state, replace(plain, operations=ordered, readies=readies))


def carry(made: Chain, *operations: Operation, readies: tuple[Signed[Ready], ...] = ()) -> None:
    """Add a block with operations that everybody agreed to."""
    chosen = tuple(agreed(made, each) for each in operations)
    made.add(carrying(made, chosen, readies))


def rotate_key(made: Chain, member: int, name: str) -> None:
    """Carry a ROTATE of a member to the key that `new_key` makes of a name."""
    key = new_key(name, made.keys[0])
    carry(made, rotate(made, member, key))
    hold(made, member, key)


def hold(made: Chain, member: int, key: Key) -> None:
    """Let a member of the chain sign with another key from now on, or a new one with its first."""
    held = list(made.keys)
    held[member : member + 1] = [key]
    made.keys = held


def admit(made: Chain, name: str, *, roles: int = BOTH, samples: int = 100) -> int:
    """Let a hospital join and be ready, in two blocks; return its number."""
    number = pend(made, name, roles=roles, samples=samples)
    carry(made, readies=(ready(made, number),))
    return number


def pend(made: Chain, name: str, *, roles: int = BOTH, samples: int = 100) -> int:
    """Carry a JOIN; return the number of the pending member."""
    number = len(made.state.membership.members)
    carry(made, join(made, name, roles=roles, samples=samples))
    hold(made, number, new_key(name, made.keys[0]))
    return number


def longer(operation: Evict, by: int = 1) -> Evict:
    """The same EVICT with another expiry: another operation."""
    return replace(operation, expiry=operation.expiry + by)


def grown(n: int = 4, *, training_rounds: int = 1_000) -> Chain:
    """Three blocks of AGGREGATE under `STUB_SCHEME`."""
    return stub_chain(3, of=contract(n, training_rounds=training_rounds))


def problems(made: Chain, block: Block) -> list[str]:
    """What is wrong with the next block of a chain under `STUB_SCHEME`."""
    found = check_block(made.contract, made.state, block, scheme=STUB_SCHEME)
    return [each.text for each in found]


def go_on(made: Chain, blocks: int = 2) -> None:
    """Add blocks in which everybody trains and votes, each found valid."""
    for _ in range(blocks):
        block = made.build()
        assert problems(made, block) == []
        made.add(block)


def block_with(
    made: Chain, *operations: Operation, readies: tuple[Signed[Ready], ...] = ()
) -> Block:
    """The next block with operations that everybody agreed to."""
    chosen = tuple(agreed(made, each) for each in operations)
    return carrying(made, chosen, readies)
