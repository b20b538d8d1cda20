"""Members that come, go and change keys and terms while everything else goes wrong too (P81).

Operations happen at random times of the faulty phase; each kind is on or off by a coin of its own
per seed. Honest members approve whatever they hear of. A newcomer starts from nothing at some time
after its JOIN was applied.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from typing_extensions import override

from consensus.change_inputs import KeepOperations, KeyMade, OperationApproved, OperationOffered
from consensus.effects import CommitBlock, Stored
from ledger.genesis import Contract, Role
from ledger.inclusion import opens_for_training
from ledger.keys import Key
from ledger.membership import Standing, contract_in_force
from ledger.operations import (
    NO_SIGNATURE,
    ChangeTerms,
    Evict,
    Join,
    Leave,
    Operation,
    Rotate,
    Terms,
    contract_hash,
    operation_id,
    terms_of,
    with_possession,
)
from ledger.powers import cap_budget
from ledger.state import State
from tests.simulation.chance import make_random
from tests.simulation.node import Node
from tests.simulation.packets import ViolationError
from tests.simulation.scheme import make_key
from tests.simulation.settings import Settings
from tests.simulation.sharing import shared_results
from tests.simulation.world import Outcome, World

EXPIRY_HEIGHTS: Final = 300
APPROVE_MS_MAX: Final = 2_000
NEWCOMER_MS_MAX: Final = 3_000
RETRY_MS: Final = 2_000
"""A person who sees that an operation did not come about asks for it again."""
KINDS: Final = ("join", "leave", "evict", "rotate", "terms")


class ChangingNode(Node):
    """A node whose member approves everything, and may have a second key."""

    next_key: Key | None = None

    @override
    def start(self) -> None:
        keys = self.disk.state.membership.public_keys
        in_force = keys[self.member] if self.member < len(keys) else None
        if self.next_key is not None and self.next_key.public_key == in_force:
            self.key, self.next_key = self.next_key, None
        super().start()
        if self.next_key is not None:
            self.feed(KeyMade(key=self.next_key))
        self.approve()

    @override
    def store(self, effect: Stored) -> None:
        super().store(effect)
        match effect:
            case KeepOperations():
                self.approve()
            case CommitBlock():
                world = self.world
                assert isinstance(world, ChangingWorld)
                world.after_commit(effect.state)
            case _:
                pass

    def approve(self) -> None:
        """Approve, some time later, every pending operation that this member has not approved."""
        for agreed in self.disk.operations:
            if all(each.signer != self.member for each in agreed.approvals):
                wanted = operation_id(agreed.operation, self.world.chain_id)
                delay = 1 + int(self.world.rng.random() * APPROVE_MS_MAX)
                self.later(delay, self.feed, OperationApproved(operation_id=wanted))


class Plan:
    """One operation that somebody wants; it is asked for again until it came about.

    Args:
        kind: What it is, for the counts.
        make: Returns it for a state; None once there is nothing left to do.
    """

    def __init__(self, kind: str, make: Callable[[State], Operation | None], sponsor: int) -> None:
        self.kind = kind
        self.make = make
        self.sponsor = sponsor


class ChangingWorld(World):
    """A world whose members change."""

    def __init__(
        self,
        settings: Settings,
        *,
        trace: Callable[[str], None] | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(settings, node_class=ChangingNode, trace=trace, folder=folder)
        self.plans: list[Plan] = []
        self.newcomers: dict[bytes, Key] = {}
        self._plan_operations()

    # --- what is wanted -------------------------------------------------------------------------

    def _plan_operations(self) -> None:
        chance = make_random(f"membership/{self.settings.seed}")
        liars = [member for member, _ in self.settings.byzantine]
        for kind in KINDS:
            if chance.random() < 0.5:
                continue
            sponsor = chance.choice(self.honest)
            match kind:
                case "join":
                    for number in range(chance.randint(1, 2)):
                        self._want(chance.randrange(self.settings.faulty_ms), self._join(number))
                case "leave" if not liars:
                    self._want(chance.randrange(self.settings.faulty_ms), _leave(sponsor))
                case "evict":
                    target = chance.choice(liars or list(self.honest))
                    others = [each for each in self.honest if each != target]
                    plan = _evict(target, chance.choice(others))
                    self._want(chance.randrange(self.settings.faulty_ms), plan)
                case "rotate":
                    self._want(chance.randrange(self.settings.faulty_ms), self._rotate(sponsor))
                case "terms":
                    self._want(chance.randrange(self.settings.faulty_ms), self._terms(sponsor))
                case _:
                    pass

    def _want(self, delay_ms: int, plan: Plan) -> None:
        self.plans.append(plan)
        self.at(delay_ms, self._pursue, plan)

    def _pursue(self, plan: Plan) -> None:
        """Offer an operation; look again later, until it came about."""
        if plan not in self.plans:
            return
        operation = plan.make(self.checkers.state)
        if operation is None:
            self.counts[plan.kind] += 1
            self.plans.remove(plan)
            return
        sponsor = self._sponsor(plan, operation)
        self.at(RETRY_MS, self._pursue, plan)
        if sponsor.engine is None:
            return
        if isinstance(operation, Rotate):
            assert isinstance(sponsor, ChangingNode)
            if sponsor.next_key is None:
                sponsor.next_key = self._key("rotated", plan.sponsor)
            sponsor.feed(KeyMade(key=sponsor.next_key))
        sponsor.feed(OperationOffered(operation=operation))

    def _sponsor(self, plan: Plan, operation: Operation) -> Node:
        """Its member's own node for a LEAVE or ROTATE, else anybody who still takes part."""
        if isinstance(operation, Leave | Rotate):
            return self.nodes[plan.sponsor]
        members = self.checkers.state.membership.members
        able = [each for each in self.honest if members[each].standing is Standing.ACTIVE]
        return self.nodes[plan.sponsor if plan.sponsor in able else able[0]]

    def _key(self, what: str, number: int) -> Key:
        seed = sha256(f"{what} {self.settings.seed} {number}".encode()).digest()
        return make_key(seed, is_real=self.settings.is_real)

    def _join(self, number: int) -> Plan:
        key = self._key("newcomer", number)
        self.newcomers[key.public_key] = key

        def make(state: State) -> Operation | None:
            if key.public_key in state.membership.public_keys:
                return None
            join = Join(
                public_key=key.public_key,
                name=f"newcomer-{number}",
                roles=int(Role.TRAINER | Role.VALIDATOR),
                samples=100,
                expiry=EXPIRY_HEIGHTS,
                possession=NO_SIGNATURE,
            )
            return with_possession(join, key, self.chain_id)

        return Plan("joins", make, self.honest[number % len(self.honest)])

    def _rotate(self, member: int) -> Plan:
        key = self._key("rotated", member)

        def make(state: State) -> Operation | None:
            record = state.membership.members[member]
            if record.standing is not Standing.ACTIVE or key.public_key == record.member.public_key:
                return None
            rotate = Rotate(
                member=member,
                admitted=record.admitted,
                public_key=key.public_key,
                expiry=EXPIRY_HEIGHTS,
                possession=NO_SIGNATURE,
            )
            return with_possession(rotate, key, self.chain_id)

        return Plan("rotations", make, member)

    def _terms(self, sponsor: int) -> Plan:
        wanted = 1_200

        def make(state: State) -> Operation | None:
            contract = contract_in_force(self.contract, state)
            terms = terms_of(contract)
            if terms.timeouts.collect_ms == wanted:
                return None
            return ChangeTerms(
                contract_hash=contract_hash(contract),
                terms=_fitting(contract, terms, collect_ms=wanted),
                expiry=EXPIRY_HEIGHTS,
            )

        return Plan("changes", make, sponsor)

    # --- what comes about -----------------------------------------------------------------------

    def after_commit(self, state: State) -> None:
        """Make the node of a newcomer, under the number that the chain reserved for its key."""
        for number, record in enumerate(state.membership.members):
            if number < len(self.nodes):
                continue
            node = ChangingNode(self, number, self._make_disk(number))
            node.key = self.newcomers[record.member.public_key]
            self.nodes.append(node)
            self.honest = (*self.honest, number)
            self.checkers.admit(number)
            self.at(1 + int(self.rng.random() * NEWCOMER_MS_MAX), self._arrive, node)

    def _arrive(self, node: Node) -> None:
        if node.engine is None and not node.is_gone:
            self.counts["newcomers"] += 1
            node.start()

    @override
    def is_done(self) -> bool:
        """Whether all that was wanted came about, and whoever joined takes part."""
        state = self.checkers.state
        contract = contract_in_force(self.contract, state)
        if self.healed_at is None or self.plans:
            return False
        # Where too few trainers are left, nothing but operations makes heights (rule P15).
        is_over = not opens_for_training(contract, state)
        goal = min(self.goal, state.height) if is_over else self.goal
        if any(self.nodes[member].height < goal for member in self.honest):
            return False
        members = state.membership.members
        return all(each.standing is not Standing.PENDING for each in members)

    @override
    def end(self) -> Outcome:
        """Every newcomer was admitted, and everybody signs with the key in force."""
        members = self.checkers.state.membership.members
        for number, record in enumerate(members):
            if number >= self.settings.members and record.standing is not Standing.ACTIVE:
                raise ViolationError(f"member {number} joined and is {record.standing.name}")
        self.counts["departures"] = sum(each.standing is Standing.GONE for each in members)
        return super().end()


def _fitting(contract: Contract, terms: Terms, *, collect_ms: int) -> Terms:
    """Terms with another wait, and with budgets that the members who are left can have."""
    validators = sum(each.is_validator for each in contract.members)
    trainers = sum(each.is_trainer for each in contract.members)
    budget = cap_budget(terms.byzantine_budget, validators)
    return replace(
        terms,
        timeouts=replace(terms.timeouts, collect_ms=collect_ms),
        byzantine_budget=budget,
        trainer_budget=min(terms.trainer_budget, budget, (trainers - 1) // 3),
    )


def _leave(member: int) -> Plan:
    def make(state: State) -> Operation | None:
        record = state.membership.members[member]
        if record.standing is not Standing.ACTIVE:
            return None
        return Leave(member=member, admitted=record.admitted, expiry=EXPIRY_HEIGHTS)

    return Plan("departed", make, member)


def _evict(member: int, sponsor: int) -> Plan:
    def make(state: State) -> Operation | None:
        record = state.membership.members[member]
        if record.standing is not Standing.ACTIVE:
            return None
        return Evict(member=member, admitted=record.admitted, expiry=EXPIRY_HEIGHTS)

    return Plan("evictions", make, sponsor)


def simulate_changes(settings: Settings, *, trace: Callable[[str], None] | None = None) -> Outcome:
    """Run one world whose members change."""
    with shared_results():
        return ChangingWorld(settings, trace=trace).run()
