"""Random sequences of operations against a dumb twin that keeps plain dictionaries (rule P81)."""

import random
from dataclasses import dataclass, field, replace

from ledger.changes import next_place, operation_problem
from ledger.keys import Key
from ledger.membership import Standing
from ledger.operations import ChangeTerms, Evict, Join, Leave, Operation, Rotate, with_possession
from tests.support.ledger import STUB_SCHEME, Chain, StubKey, contract, stub_chain
from tests.support.members import (
    carry,
    carrying,
    change,
    evict,
    hold,
    join,
    leave,
    new_key,
    problems,
    ready,
    rotate,
)

STEPS = 120
SHORT = 6
"""Heights to the expiry of a JOIN here, so that some lapse."""


BUDGET = 1
KNOWN = 0.2
"""Share of new keys that are none."""


@dataclass
class Twin:
    """What everybody should agree on, without a state: numbers, names, keys, rounds."""

    names: list[str]
    keys: list[bytes]
    standing: list[str]
    admitted: list[int]
    expiry: dict[int, int] = field(default_factory=dict)
    used_keys: set[bytes] = field(default_factory=set)
    carried: list[Operation] = field(default_factory=list)
    rounds: int = 1_000
    changed: int = 0

    def is_valid(self, operation: Operation, *, is_current: bool) -> bool:
        if operation in self.carried:
            return False
        match operation:
            case Join():
                present = {
                    name
                    for name, now in zip(self.names, self.standing, strict=True)
                    if now in ("ACTIVE", "PENDING")
                }
                return operation.name not in present and operation.public_key not in self.used_keys
            case ChangeTerms():
                # Terms are judged as at a founding: one liar of three is too many.
                return is_current and len(self.active()) > 3 * BUDGET
            case Leave() | Evict() | Rotate():
                allowed = ("ACTIVE", "PENDING") if isinstance(operation, Evict) else ("ACTIVE",)
                if (
                    self.standing[operation.member] not in allowed
                    or self.admitted[operation.member] != operation.admitted
                ):
                    return False
                if isinstance(operation, Rotate):
                    return operation.public_key not in self.used_keys
                others = [n for n in self.active() if n != operation.member]
                return bool(others)

    def active(self) -> list[int]:
        return [n for n, now in enumerate(self.standing) if now == "ACTIVE"]

    def carry(self, operation: Operation, height: int) -> None:
        self.carried.append(operation)
        match operation:
            case Join():
                self.names.append(operation.name)
                self.keys.append(operation.public_key)
                self.used_keys.add(operation.public_key)
                self.standing.append("PENDING")
                self.admitted.append(height)
                self.expiry[len(self.names) - 1] = operation.expiry
            case Leave() | Evict():
                was_active = self.standing[operation.member] == "ACTIVE"
                self.standing[operation.member] = "GONE" if was_active else "LAPSED"
            case Rotate():
                self.keys[operation.member] = operation.public_key
                self.used_keys.add(operation.public_key)
            case ChangeTerms():
                self.rounds = operation.terms.training_rounds
                return
        self.changed = height

    def end(self, height: int) -> None:
        for number, expiry in self.expiry.items():
            if self.standing[number] == "PENDING" and expiry <= height:
                self.standing[number] = "LAPSED"
                self.changed = height


def random_operation(made: Chain, rng: random.Random, kept: list[Operation]) -> Operation:
    """Any operation, possible or not: also old ones, known keys and members that are gone."""
    number = rng.randrange(len(made.state.membership.members))
    match rng.randrange(7):
        case 0 | 1:
            name = f"h{rng.randrange(6)}"
            key = random_key(made, number, rng)
            return joined(made, join(made, name, key=key), key)
        case 2:
            return leave(made, number)
        case 3:
            return evict(made, number)
        case 4:
            return rotate(made, number, random_key(made, number, rng))
        case 5:
            return change(made, lambda terms: replace(terms, training_rounds=rng.randint(900, 950)))
        case _:
            return rng.choice(kept) if kept else evict(made, number)


def random_key(made: Chain, number: int, rng: random.Random) -> Key:
    return made.keys[number] if rng.random() < KNOWN else new_key(str(rng.random()), made.keys[0])


def joined(made: Chain, operation: Join, key: Key) -> Join:
    short = replace(operation, expiry=made.state.height + SHORT)
    return with_possession(short, key, made.state.chain_id)


def check_against(made: Chain, twin: Twin) -> None:
    membership = made.state.membership
    assert [each.standing.name for each in membership.members] == twin.standing
    assert [each.member.name for each in membership.members] == twin.names
    assert [each.admitted for each in membership.members] == twin.admitted
    assert list(membership.public_keys) == twin.keys
    assert membership.terms.training_rounds == twin.rounds
    assert membership.changed == twin.changed
    assert list(made.state.validators.members) == twin.active()
    assert len(made.state.scores) == len(twin.names)


def test_random_operations_do_what_the_twin_does(seed: int) -> None:
    rng = random.Random(seed)
    made = stub_chain(
        1, of=contract(5, byzantine_budget=BUDGET, trainer_budget=BUDGET, training_rounds=1_000)
    )
    founders = made.contract.members
    twin = Twin(
        names=[each.name for each in founders],
        keys=[each.public_key for each in founders],
        standing=["ACTIVE"] * 5,
        admitted=[0] * 5,
        used_keys={each.public_key for each in founders},
    )
    seen: list[Operation] = []
    outcomes = []

    for _ in range(STEPS):
        operation = random_operation(made, rng, seen)
        seen.append(operation)
        height = made.state.height + 1
        place = next_place(made.contract, made.state, ())
        is_current = isinstance(operation, ChangeTerms) and (
            operation.contract_hash == change(made, lambda terms: terms).contract_hash
        )
        problem = operation_problem(place, operation, scheme=STUB_SCHEME)
        if operation.expiry < height:
            assert problem is not None
            continue
        assert (problem is None) == twin.is_valid(operation, is_current=is_current), problem
        outcomes.append(problem is None)
        if problem is None:
            carry(made, operation)
            twin.carry(operation, height)
            take_key(made, operation)
            twin.end(height)
        check_against(made, twin)
        pending = made.state.membership.pending
        if pending and rng.random() < 0.4:
            admit_one(made, twin, rng.choice(pending))
        check_against(made, twin)

    assert {True, False} <= set(outcomes)
    assert {Standing.ACTIVE, Standing.GONE} <= {
        each.standing for each in made.state.membership.members
    }


def admit_one(made: Chain, twin: Twin, number: int) -> None:
    block = carrying(made, readies=(ready(made, number),))
    assert problems(made, block) == []
    made.add(block)
    height = made.state.height
    twin.standing[number], twin.admitted[number], twin.changed = "ACTIVE", height, height
    twin.end(height)


def take_key(made: Chain, operation: Operation) -> None:
    if isinstance(operation, Join):
        hold(made, len(made.state.membership.members) - 1, StubKey(operation.public_key))
    elif isinstance(operation, Rotate):
        hold(made, operation.member, StubKey(operation.public_key))
