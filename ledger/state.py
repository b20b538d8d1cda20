"""The state after a block, and the one function that makes it: `apply` (rules P40, P50-P52).

The same code proposes, validates, synchronises and audits. `apply` needs neither bodies nor
signatures, and never fails: whether a block is valid is the question of `ledger.validity`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated, Final

from ledger.certificates import signers
from ledger.changes import membership_after, next_place
from ledger.election import schedule
from ledger.encoding import U16, U32, U64, Digest, Items, domain_tag, encode
from ledger.evidence import banned_after, validators_left
from ledger.feedback import JUDGED_MAX, BestModel, JudgedModel, judge, judged_after
from ledger.genesis import STALENESS_MAX, Contract, chain_id
from ledger.inclusion import opens_for_training
from ledger.kinds import MEMBERS_MAX
from ledger.membership import (
    Membership,
    Standing,
    contract_in_force,
    initial_membership,
    with_membership,
)
from ledger.merkle import EMPTY_RANGE, EMPTY_ROOT, CompactRange
from ledger.operations import READY_WINDOW
from ledger.powers import Validator, ValidatorSet
from ledger.records import ZERO_DIGEST, Block, BlockKind, Flag, block_id
from ledger.reputation import (
    NO_SCORES,
    PROPOSING_RATE,
    QUALITY_RATE,
    SCALE,
    Scores,
    ema,
    first_scores,
    initial_participation,
    participated,
    voting_powers,
)
from ledger.slots import slotted

RECENT_TRAINING_BLOCKS: Final = 2
"""Training blocks whose trainers are expected again (rule P11); their bodies may not return."""


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBlock:
    """What one AGGREGATE block included: trainers, ascending, and the bodies that they sent."""

    height: U64
    trainers: Annotated[tuple[U16, ...], Items(MEMBERS_MAX)]
    update_ids: Annotated[tuple[Digest, ...], Items(MEMBERS_MAX)]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that the next block is checked against and computed from.

    Attributes:
        chain_id: The chain.
        height: Height of the last block, 0 before the first.
        tip_id: Id of the last block, before the first the chain id. Not in the state root: the
            block's id covers that root.
        time_ms: Time of the last block, 0 before the first.
        created_view: View in which the last block was created.
        training_round: Number of AGGREGATE blocks so far.
        model_id: The current model, from which trainers go on.
        optimizer_id: The current state of the server optimizer.
        best: The best model by the members' figures (rule P16); the initial one at first.
        judged: Models that may still become the best one or be regretted, oldest first.
        returns: How often the base returned to the best model.
        empties_in_row: EMPTY blocks since the last AGGREGATE block, at heights that were open for
            training (rule P15).
        scores: One per member, by number.
        validators: The set of the next height.
        previous_validators: The set of the last block's height, which signs its certificate.
        earlier_models: Models before the current one on which a late update may be based, oldest
            first (rule P10).
        recent_training: The last AGGREGATE blocks, oldest first; no body of theirs may return.
        membership: Members and terms; the contract in force follows from it (rule P81).
        recent_ids: Ids of the blocks before the tip that a READY may name, oldest first; empty
            while no key is pending.
        banned: Members convicted by evidence, ascending: no power, no update (rule P45).
        log: The log of block ids without the last one's: block h commits to those below h.
    """

    chain_id: Digest
    height: U64
    tip_id: Digest
    time_ms: U64
    created_view: U32
    training_round: U32
    model_id: Digest
    optimizer_id: Digest
    best: BestModel
    judged: Annotated[tuple[JudgedModel, ...], Items(JUDGED_MAX)]
    returns: U32
    empties_in_row: U32
    scores: Annotated[tuple[Scores, ...], Items(MEMBERS_MAX)]
    validators: ValidatorSet
    previous_validators: ValidatorSet
    earlier_models: Annotated[tuple[Digest, ...], Items(STALENESS_MAX)]
    recent_training: Annotated[tuple[TrainingBlock, ...], Items(STALENESS_MAX)]
    banned: Annotated[tuple[U16, ...], Items(MEMBERS_MAX)]
    membership: Membership
    recent_ids: Annotated[tuple[Digest, ...], Items(READY_WINDOW - 1)]
    log: CompactRange

    @property
    def membership_epoch(self) -> int:
        """Height of the last block that changed members, roles or keys, 0 at first (rule P90)."""
        return self.membership.changed


DECODABLE: Final[tuple[object, ...]] = (State,)


def initial_state(contract: Contract) -> State:
    """Return the state before block 1 of the chain that `contract` founds."""
    participation = initial_participation([member.samples for member in contract.members])
    scores = tuple(first_scores(each) for each in participation)
    founded = chain_id(contract)
    return State(
        chain_id=founded,
        height=0,
        tip_id=founded,
        time_ms=0,
        created_view=0,
        training_round=0,
        model_id=contract.model.initial_model_id,
        optimizer_id=EMPTY_ROOT,
        best=BestModel(height=0, model_id=contract.model.initial_model_id, optimizer_id=EMPTY_ROOT),
        judged=(),
        returns=0,
        empties_in_row=0,
        scores=scores,
        validators=_validators(contract, scores, banned=()),
        previous_validators=ValidatorSet(validators=()),
        earlier_models=(),
        recent_training=(),
        banned=(),
        membership=initial_membership(contract),
        recent_ids=(),
        log=EMPTY_RANGE,
    )


def apply(contract: Contract, state: State, block: Block) -> State:
    """Return the state after `block`, in the order of rule P52.

    Pure, deterministic and total for every decoded block; meaningful for those that
    `ledger.validity.check_block` finds nothing wrong with. Numbers that the block merely repeats
    (height, training round) are taken from `state`.

    Args:
        contract: That of the genesis or of any height: what is in force follows from `state`.
        state: The state after the parent.
        block: The block; of its updates only the ids are read.
    """
    header = block.header
    is_training = header.kind is BlockKind.AGGREGATE
    contract = contract_in_force(contract, state)
    banned = banned_after(contract, state.banned, block.evidence)
    verdict = judge(contract, state, block.metrics, banned)
    # A model that a quorum regrets goes; the one of this block is recorded and not used.
    base = verdict.best if verdict.is_regretted else header.results
    membership = _membership_after(contract, state, block, banned)
    scores = _scores_after(contract, state, block, banned)
    scores = _scores_with_newcomers(state.membership, membership, scores)
    return replace(
        state,
        height=state.height + 1,
        tip_id=block_id(header),
        time_ms=header.time_ms,
        created_view=header.created_view,
        training_round=state.training_round + is_training,
        model_id=base.model_id,
        optimizer_id=base.optimizer_id,
        best=verdict.best,
        judged=judged_after(contract, block, state.height + 1, verdict),
        returns=state.returns + verdict.is_regretted,
        empties_in_row=_empties_in_row(contract, state, block),
        scores=scores,
        validators=_validators(with_membership(contract, membership), scores, banned),
        previous_validators=state.validators,
        earlier_models=_earlier_models(
            contract, state, is_training=is_training, is_back=verdict.is_regretted
        ),
        recent_training=_recent_training(contract, state, block),
        banned=banned,
        membership=membership,
        recent_ids=_recent_ids(state),
        log=state.log.append(state.tip_id) if state.height else state.log,
    )


def replay(contract: Contract, blocks: Iterable[Block]) -> State:
    """Return the state after the first blocks of the chain that `contract` founds."""
    state = initial_state(contract)
    for block in blocks:
        state = apply(contract, state, block)
    return state


def state_root(state: State) -> bytes:
    """Return the 32-byte hash of a state without the id of its own block (rule P52)."""
    return sha256(domain_tag("state/1") + encode(replace(state, tip_id=ZERO_DIGEST))).digest()


def block_time(state: State, clock_ms: int) -> int:
    """Return the time of a block on `state` when its proposer's clock shows `clock_ms` (P14)."""
    return max(clock_ms, state.time_ms + 1)


def _scores_after(
    contract: Contract, state: State, block: Block, banned: tuple[int, ...]
) -> tuple[Scores, ...]:
    """Rule P40: each of the three scores moves at most once per block, a banned member's never."""
    participation = _participation_after(state, block)
    proposing = _proposing_after(contract, state, block)
    flags = {each.trainer: each.flagged for each in block.header.results.contributions}
    after = []
    for member, old in enumerate(state.scores):
        if member in banned:
            after.append(old)
            continue
        share, absences = participation.get(member, (old.participation, old.absences))
        quality = old.quality
        if member in flags:
            target = SCALE if flags[member] is Flag.REGULAR else 0
            quality = ema(quality, target, 1, QUALITY_RATE)
        after.append(
            Scores(
                participation=share,
                proposing=proposing.get(member, old.proposing),
                quality=quality,
                absences=absences,
            )
        )
    return tuple(after)


def _participation_after(state: State, block: Block) -> Mapping[int, tuple[int, int]]:
    """(participation, absences) of those that could have signed the last certificate."""
    if not block.last_certificate:
        return {}
    present = set(signers(block.last_certificate[0], state.previous_validators))
    return {
        member: participated(state.scores[member], is_present=member in present)
        for member in state.previous_validators.members
    }


def _proposing_after(contract: Contract, state: State, block: Block) -> Mapping[int, int]:
    """Proposing of the creator and of those whose views passed without a decision."""
    order = schedule(contract, state)
    creator = block.header.proposer
    targets = dict.fromkeys(order[: block.header.created_view], 0)
    if creator < len(state.scores):
        targets[creator] = SCALE
    return {
        member: ema(state.scores[member].proposing, target, 1, PROPOSING_RATE)
        for member, target in targets.items()
    }


def _validators(
    contract: Contract, scores: tuple[Scores, ...], banned: tuple[int, ...]
) -> ValidatorSet:
    """The set of the next height: members with the role, with powers by rule P41."""
    members = validators_left(contract, banned)
    powers = voting_powers(
        [scores[member].participation for member in members], contract.byzantine_budget
    )
    pairs = zip(members, powers, strict=True)
    return ValidatorSet(
        validators=tuple(Validator(member=member, power=power) for member, power in pairs)
    )


def _empties_in_row(contract: Contract, state: State, block: Block) -> int:
    """Rule P15: a height that awaited no update says nothing about how long to wait for them."""
    if block.header.kind is BlockKind.AGGREGATE:
        return 0
    return state.empties_in_row + opens_for_training(contract, state)


def _earlier_models(
    contract: Contract, state: State, *, is_training: bool, is_back: bool
) -> tuple[bytes, ...]:
    """Rule P10: the window of models for late updates; a return to the best model empties it."""
    if is_back or not contract.max_staleness:
        return ()
    models = (*state.earlier_models, state.model_id) if is_training else state.earlier_models
    return models[-min(contract.max_staleness, STALENESS_MAX) :]


def _membership_after(
    contract: Contract, state: State, block: Block, banned: tuple[int, ...]
) -> Membership:
    """Rule P81; whoever is banned is out, so that keys for its like are made anew (rule P90)."""
    place = next_place(contract, state, banned)
    after = membership_after(place, block.operations, block.readies)
    is_changed = after.members != state.membership.members or banned != state.banned
    return replace(after, changed=place.height) if is_changed else after


def _scores_with_newcomers(
    before: Membership, after: Membership, scores: tuple[Scores, ...]
) -> tuple[Scores, ...]:
    """Rule P43: places for new numbers, and first scores for whoever this block admits.

    An organisation that comes back keeps what it lost under its former numbers.
    """
    if after.members is before.members:
        return scores
    grown = [*scores, *(NO_SCORES for _ in after.members[len(scores) :])]
    samples = [each.samples for each in after.in_force]
    for number, record in enumerate(after.members):
        was_active = (
            number < len(before.members) and before.members[number].standing is Standing.ACTIVE
        )
        if record.standing is Standing.ACTIVE and not was_active:
            former = [
                grown[other]
                for other, each in enumerate(after.members)
                if each.member.name == record.member.name and other < number and each.was_admitted
            ]
            grown[number] = first_scores(initial_participation(samples)[number], former)
    return tuple(grown)


def _recent_ids(state: State) -> tuple[bytes, ...]:
    """Ids that a READY of the next blocks may name besides the tip, while a key is pending."""
    if not state.membership.pending:
        return ()
    return (*state.recent_ids, state.tip_id)[1 - READY_WINDOW :]


def _recent_training(contract: Contract, state: State, block: Block) -> tuple[TrainingBlock, ...]:
    if block.header.kind is not BlockKind.AGGREGATE:
        return state.recent_training
    trainers = tuple(each.trainer for each in block.header.results.contributions)
    bodies = {each.statement.trainer: each.statement.update_id for each in block.updates}
    newest = TrainingBlock(
        height=state.height + 1,
        trainers=trainers,
        update_ids=tuple(bodies[each] for each in trainers if each in bodies),
    )
    kept = max(RECENT_TRAINING_BLOCKS, min(contract.max_staleness, STALENESS_MAX))
    return (*state.recent_training, newest)[-kept:]
