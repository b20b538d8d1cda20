"""Which updates count: a function of the HAVE lists, not the proposer's choice (P12, P12a, P15).

Theorem A: an update that every honest validator listed is included whatever quorum Q a proposer
picks. Theorem B: every included update was listed by an honest validator, who has the body.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from ledger.evidence import accused
from ledger.feedback import hold_out_powers
from ledger.genesis import Contract, updates_needed
from ledger.keys import Signed
from ledger.powers import ValidatorSet
from ledger.records import BlockKind, Evidence, HaveList, UpdateHeader, header_digest
from ledger.reputation import contribution_weights, sample_clip

if TYPE_CHECKING:
    from ledger.state import State, TrainingBlock  # which asks here whether its height was open

EMPTY_VIEW_MIN: Final = 4
"""Earliest view in which a proposer gives up on the updates of a height (rule P15)."""

Vouched: TypeAlias = tuple[int, bytes]
"""A trainer and the digest of its header."""


def vouched(haves: Iterable[Signed[HaveList]], validators: ValidatorSet) -> tuple[Vouched, ...]:
    """Return what blocking power lists, ascending by (trainer, digest) (rule P12)."""
    powers: Counter[Vouched] = Counter()
    for have in haves:
        power = validators.power_of(have.signer)
        for entry in have.statement.entries:
            powers[entry.trainer, entry.header_digest] += power
    return tuple(sorted(key for key, power in powers.items() if validators.is_blocked_by(power)))


def listing_problem(contract: Contract, have: HaveList) -> str | None:
    """Return why no block can carry a HAVE list: more updates than there can be (rule P11).

    Without a bound the lists of a few liars would make every proposal too large for a packet.
    """
    most = contract.n_trainers
    if len(have.entries) <= most:
        return None
    return f"expected at most one update of each of {most} trainers, got {len(have.entries)}"


def has_have_quorum(haves: Iterable[Signed[HaveList]], validators: ValidatorSet) -> bool:
    """Return whether the signers of `haves` are a quorum, each counted once."""
    signers = {have.signer for have in haves}
    return validators.has_quorum(sum(validators.power_of(each) for each in signers))


def vouched_headers(
    state: "State", haves: Iterable[Signed[HaveList]], updates: Iterable[Signed[UpdateHeader]]
) -> tuple[Signed[UpdateHeader], ...]:
    """Return the headers that a block with these HAVEs must carry, in the order of `vouched`.

    Args:
        state: The parent state.
        haves: The HAVE lists of Q.
        updates: Any headers for the height; a vouched one that is not among them is left out,
            and a block built without it would be invalid.
    """
    known = {header_key(state, update): update for update in updates}
    keys = vouched(haves, state.validators)
    return tuple(known[key] for key in keys if key in known)


def included(
    contract: Contract,
    state: "State",
    haves: Iterable[Signed[HaveList]],
    updates: Iterable[Signed[UpdateHeader]],
    evidence: Sequence[Evidence] = (),
) -> tuple[Signed[UpdateHeader], ...]:
    """Return the updates that count, ascending by trainer (rule P12).

    Those that blocking power lists, without the disqualified ones, without trainers of whom two
    headers are vouched for (such a trainer signed two updates for one height), and without those
    that the `evidence` of the same block accuses.
    """
    return qualified(contract, state, vouched_headers(state, haves, updates), evidence)


def qualified(
    contract: Contract,
    state: "State",
    headers: Sequence[Signed[UpdateHeader]],
    evidence: Sequence[Evidence] = (),
) -> tuple[Signed[UpdateHeader], ...]:
    """Return those of the vouched `headers` that the filter of rule P12a lets through."""
    convicted = accused(evidence)
    counts = Counter(each.statement.trainer for each in headers)
    return tuple(
        each
        for each in headers
        if counts[each.statement.trainer] == 1
        and each.statement.trainer not in convicted
        and disqualification(contract, state, each.statement) is None
    )


def disqualification(contract: Contract, state: "State", header: UpdateHeader) -> str | None:
    """Return why a header cannot count at the height after `state`, None when it can (P12a).

    A filter, never a reason to refuse a block: one bad update must not stop the others.
    """
    trainer = header.trainer
    if state.training_round >= contract.training_rounds:
        return f"training round {state.training_round} was the last"
    if trainer >= len(contract.members) or not contract.members[trainer].is_trainer:
        return f"member {trainer} is no trainer"
    if trainer in state.banned:
        return f"member {trainer} is banned"
    if header.n_elements != contract.model.n_elements:
        return f"{header.n_elements} elements, expected {contract.model.n_elements}"
    if any(_is_in(header, block) for block in state.recent_training):
        return "the same body was included before"
    return _misplacement(contract, state, header)


def _is_in(header: UpdateHeader, block: "TrainingBlock") -> bool:
    """Whether a block counted this body as that of this trainer.

    As that of another it may come again: else whoever names the body that somebody announced, and
    gets it counted first, would shut its trainer out.
    """
    if header.update_id not in block.update_ids:
        return False
    counted = zip(block.trainers, block.update_ids, strict=False)  # `apply` never fails (P52)
    return (header.trainer, header.update_id) in counted


def _misplacement(contract: Contract, state: "State", header: UpdateHeader) -> str | None:
    """Why a header belongs to another place in the chain, or comes too late (rule P10)."""
    if header.height != state.height + 1:
        return f"for height {header.height}, expected {state.height + 1}"
    late, latest = staleness(state, header), state.training_round + 1
    latest_late = min(contract.max_staleness, len(state.earlier_models))
    if not 0 <= late <= latest_late:
        expected = f"{latest - latest_late} to {latest}" if latest_late else str(latest)
        return f"for training round {header.training_round}, expected {expected}"
    if (*state.earlier_models, state.model_id)[-1 - late] != header.base_model_id:
        return "trained from another model than that of its training round"
    return None


def staleness(state: "State", header: UpdateHeader) -> int:
    """Return how many training rounds a header's base is behind the state's (rules P10, P42)."""
    return state.training_round + 1 - header.training_round


def weighted_contributions(
    contract: Contract, state: "State", included_updates: Sequence[Signed[UpdateHeader]]
) -> tuple[int, ...]:
    """Return the contribution weights of included updates, in their order (rule P42)."""
    trainers = [each.statement.trainer for each in included_updates]
    return contribution_weights(
        [contract.members[each].samples for each in trainers],
        [state.scores[each].quality for each in trainers],
        [staleness(state, each.statement) for each in included_updates],
        clip=sample_clip([each.samples for each in contract.members]),
        trainer_budget=contract.trainer_budget,
    )


def need(contract: Contract, state: "State") -> int:
    """Return how many included updates an AGGREGATE block after `state` takes (rule P15).

    The same at every height: it follows from the terms, not from who is banned.
    """
    assert len(state.scores) == len(contract.members), "state of another contract"
    return updates_needed(contract)


def opens_for_training(contract: Contract, state: "State") -> bool:
    """Return whether the height after `state` collects updates.

    True while training rounds are left and enough trainers are in role (rule P15).
    """
    in_role = (
        each.is_trainer and number not in state.banned
        for number, each in enumerate(contract.members)
    )
    has_training_left = state.training_round < contract.training_rounds
    return has_training_left and sum(in_role) >= need(contract, state)


def opens_for_feedback(contract: Contract, state: "State") -> bool:
    """Return whether the height after `state` is the one that closes training (rules P15, P16).

    It follows the block with the last model directly, so it opens once; its own block is EMPTY. It
    opens only where somebody may judge that model.
    """
    is_new = bool(state.judged) and state.judged[-1].height == state.height
    has_reporters = bool(hold_out_powers(contract, state.validators))
    return is_new and has_reporters and not opens_for_training(contract, state)


def opens(contract: Contract, state: "State", *, has_changes: bool = False) -> bool:
    """Return whether the height after `state` takes a block at all (rule P15).

    Where it opens neither for training nor for feedback, every block of it must carry an operation,
    a READY or evidence. It is an EMPTY one then, whose HAVE lists name nothing that counts. Nobody
    begins such a height for evidence alone; but evidence may make void the only operation for which
    it was begun, and without a block with that evidence the height could not end.

    Args:
        contract: The contract in force.
        state: The parent state.
        has_changes: Whether an operation with all its approvals, a READY or evidence is at hand.
    """
    return has_changes or opens_for_training(contract, state) or opens_for_feedback(contract, state)


def empty_view(contract: Contract) -> int:
    """Return the first view whose only valid fresh block is EMPTY without HAVEs (rule P15)."""
    return max(EMPTY_VIEW_MIN, contract.byzantine_budget + 1)


def expected_kind(
    contract: Contract,
    state: "State",
    created_view: int,
    haves: Sequence[Signed[HaveList]],
    updates: Sequence[Signed[UpdateHeader]],
    evidence: Sequence[Evidence] = (),
) -> BlockKind:
    """Return the only kind that a fresh block of `created_view` with these HAVEs may have (P15)."""
    if created_view >= empty_view(contract):
        return BlockKind.EMPTY
    counted = included(contract, state, haves, updates, evidence)
    enough = len(counted) >= need(contract, state)
    return BlockKind.AGGREGATE if enough else BlockKind.EMPTY


def header_key(state: "State", update: Signed[UpdateHeader]) -> Vouched:
    """Return the (trainer, digest) by which HAVE lists name a header."""
    return update.statement.trainer, header_digest(update.statement, state.chain_id)
