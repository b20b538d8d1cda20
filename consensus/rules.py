"""The state machine of one height: one function per rule P20-P33, in the order they are tried.

A rule looks at the record (immutable) and at the facts of the height, and says what to do next, or
nothing. `consensus.acts` does it, which changes record or facts; then the rules are tried again,
until none applies. So every rule is a plain `if`, and no rule knows what led to it.

The words: *step* PROPOSE means nothing voted in this view yet, PREPARE and COMMIT that this vote is
signed. A node that is no validator has the rules that vote switched off, and follows the others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from consensus.collect import Collection, Proposable
from consensus.effects import Timer, TimerKind
from consensus.messages import ProposalMessage
from consensus.proposals import BlockStatus, HeldBlock, Proposals
from consensus.record import SafetyRecord, Step
from consensus.votes import NIL_VALUE, Tally
from ledger.powers import ValidatorSet
from ledger.records import FRESH, NIL, Phase, QuorumCertificate

# --- What a rule can want -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decide:
    """The height is decided: commit the block of this COMMIT quorum."""

    view: int
    block_id: bytes


@dataclass(frozen=True, slots=True)
class EnterView:
    """Go on in a later view."""

    view: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Start a timer, once per view."""

    kind: TimerKind
    view: int


@dataclass(frozen=True, slots=True)
class Remember:
    """Take over the highest PREPARE certificate as `valid`."""

    view: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Sign PREPARE for a block, or for nil with a reason."""

    block_id: bytes
    valid_view: int
    reason: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Sign COMMIT, for a block (and lock it) or for nil."""

    block_id: bytes


@dataclass(frozen=True, slots=True)
class Examine:
    """Check a block as far as needed: without bodies, and then with them."""

    block_id: bytes
    with_bodies: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the signers of a certificate for its block."""

    certificate: QuorumCertificate


@dataclass(frozen=True, slots=True)
class Reoffer:
    """Propose the block of `valid` again."""

    certificate: QuorumCertificate


@dataclass(frozen=True, slots=True)
class Build:
    """Have a fresh block built, from HAVEs and headers or EMPTY without them."""

    content: Proposable


Act: TypeAlias = EnterView | Wait | Remember | Prepare | Commit | Examine | Fetch | Reoffer | Build
"""What `consensus.acts` carries out."""
Action: TypeAlias = Decide | Act

# --- What a rule can see ------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Facts:
    """Everything a node knows about the height in work, besides its record.

    Attributes:
        proposers: Validators in the order in which they propose (rule P44).
        empty_view: First view whose only fresh block is EMPTY without HAVEs (rule P15).
        latest_ms: Returns the latest block time accepted now in the current view (rule P14).
        waits: Timers started, each once per view.
        asked: Views in which this node proposed or had a block built.
        fetching: Blocks being asked for, by id.
        repeats: Periods in which headers of others were repeated (rule P35).
    """

    height: int
    validators: ValidatorSet
    proposers: tuple[int, ...]
    member: int | None
    is_validator: bool
    empty_view: int
    collection: Collection
    tally: Tally
    latest_ms: Callable[[], int]
    proposals: Proposals = field(default_factory=Proposals)
    waits: set[tuple[TimerKind, int]] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    fetching: dict[bytes, int] = field(default_factory=dict)
    repeats: int = 0

    def proposer(self, view: int) -> int:
        """Return who proposes in a view (rule P44)."""
        return self.proposers[view % len(self.proposers)]

    def block(self, block_id: bytes) -> HeldBlock | None:
        """Return a block that is held."""
        return self.proposals.blocks.get(block_id)

    def is_valid(self, block_id: bytes) -> bool:
        """Return whether a block is held and was found valid, bodies included."""
        held = self.proposals.blocks.get(block_id)
        return held is not None and held.status is BlockStatus.VALID


Rule: TypeAlias = Callable[[SafetyRecord, Facts], Action | None]


def decide(_record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P28: a quorum of COMMIT for a block, in any view, decides; the block suffices."""
    if facts.tally.committed is None:
        return None
    view, (_, block_id) = facts.tally.committed
    held = facts.block(block_id)
    if held is None:
        is_asked = block_id in facts.fetching
        return None if is_asked else Fetch(facts.tally.certificate(Phase.COMMIT, view))
    if held.status is BlockStatus.RECEIVED:
        return Examine(block_id, with_bodies=False)
    return Decide(view, block_id)


def remember(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rules P25 and P33: the highest PREPARE certificate seen is `valid`, held or not."""
    prepared = facts.tally.prepared
    if prepared is None:
        return None
    known = record.certificate
    return Remember(prepared[0]) if known is None or known.view < prepared[0] else None


def leave_nil_view(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P32: a quorum of COMMIT nil, of this view or a later one, ends that view at once."""
    return EnterView(facts.tally.nil_view + 1) if facts.tally.nil_view >= record.view else None


def follow_others(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P29: go to the highest view that blocking power has reached."""
    view = facts.tally.skip_view(record.view)
    return None if view is None else EnterView(view)


def wait_for_commits(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rules P27 and P29: a quorum of mixed COMMIT, of this view or a later one, starts a timer."""
    view = facts.tally.commit_view
    if view < record.view or (TimerKind.COMMIT, view) in facts.waits:
        return None
    return Wait(TimerKind.COMMIT, view)


def obtain_valid(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P33: the block of `valid` is pulled from the certificate's signers, then checked.

    Only by those who vote on it or may offer it: others would fetch every body for nothing.
    """
    certificate = record.certificate
    if certificate is None or not facts.is_validator:
        return None
    held = facts.block(certificate.block_id)
    if held is None:
        return None if certificate.block_id in facts.fetching else Fetch(certificate)
    if held.status < BlockStatus.CHECKING:
        return Examine(certificate.block_id, with_bodies=True)
    return None


def offer(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rules P20, P12, P15: the proposer offers `valid` if it has it, else a fresh block."""
    view = record.view
    may_offer = facts.is_validator and record.step is Step.PROPOSE and view not in facts.asked
    if not may_offer or facts.proposer(view) != facts.member:
        return None
    certificate = record.certificate
    held = facts.block(certificate.block_id) if certificate is not None else None
    if certificate is not None and held is not None and held.status is not BlockStatus.INVALID:
        is_ready = held.status is BlockStatus.VALID and certificate.view < view
        return Reoffer(certificate) if is_ready else None
    if view >= facts.empty_view:
        return Build(((), ()))
    if not facts.collection.is_ready:
        return None
    content = facts.collection.proposable()
    return None if content is None else Build(content)


def prepare(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rules P22 and P23: answer the proposal of this view with PREPARE, for its block or nil."""
    if record.step is not Step.PROPOSE or not facts.is_validator:
        return None
    received = facts.proposals.of_view.get(record.view)
    if received is None:
        return None
    proposal = received.proposal.statement
    lock = record.lock
    is_free = lock is None or lock.block_id == proposal.block_id
    if not is_free and lock is not None and proposal.valid_view < lock.view:
        return _nil(f"locked on another block in view {lock.view}")
    return _answer(received, facts)


def _answer(received: ProposalMessage, facts: Facts) -> Action | None:
    """Rules P22 and P23 for a node whose lock does not stand against the proposal."""
    proposal = received.proposal.statement
    held = facts.proposals.blocks[proposal.block_id]
    if held.status < BlockStatus.CHECKING:
        return Examine(proposal.block_id, with_bodies=True)
    if held.status is BlockStatus.INVALID:
        return _nil(held.reason)
    problem = _fresh_problem(received, facts) if proposal.valid_view == FRESH else ""
    if problem:
        return _nil(problem)
    if held.status is BlockStatus.CHECKING:
        return None
    return Prepare(proposal.block_id, proposal.valid_view, "")


def lock(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P25: a quorum of PREPARE for a valid block held here: lock it and COMMIT.

    `Remember` came before this rule, so that `valid` never is behind the lock. A check that ended
    late still counts, as long as no COMMIT of this view is signed.
    """
    if record.step is not Step.PREPARE:
        return None
    value = facts.tally.quorum(Phase.PREPARE, record.view)
    if value is None or value == NIL_VALUE or not facts.is_valid(value[1]):
        return None
    return Commit(value[1])


def commit_nil(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P26: a quorum of PREPARE nil: COMMIT nil.

    Before its own PREPARE a node signs PREPARE nil first. If it did not, those who miss a vote of a
    faulty member could wait for a quorum of PREPARE for ever.
    """
    if record.step is Step.COMMIT or not facts.is_validator:
        return None
    if facts.tally.quorum(Phase.PREPARE, record.view) != NIL_VALUE:
        return None
    return _nil("a quorum prepared nil") if record.step is Step.PROPOSE else Commit(NIL)


def wait_for_prepares(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P24: a quorum of mixed PREPARE starts a timer once."""
    if record.step is not Step.PREPARE or (TimerKind.PREPARE, record.view) in facts.waits:
        return None
    is_complete = facts.tally.is_complete(Phase.PREPARE, record.view)
    return Wait(TimerKind.PREPARE, record.view) if is_complete else None


def wait_for_proposal(record: SafetyRecord, facts: Facts) -> Action | None:
    """Rules P21 and P11: in view 0 the wait begins when HAVEs of a quorum are held, not before.

    The proposer waits too: building its block may fail.
    """
    if record.step is not Step.PROPOSE or not facts.is_validator:
        return None
    if (TimerKind.PROPOSE, record.view) in facts.waits:
        return None
    can_start = record.view > 0 or facts.collection.has_quorum
    return Wait(TimerKind.PROPOSE, record.view) if can_start else None


def wait_for_haves(_record: SafetyRecord, facts: Facts) -> Action | None:
    """Rule P12: once HAVEs of a quorum are held, a proposer waits a little for more."""
    collection = facts.collection
    is_needless = collection.is_ready or not collection.has_quorum
    if is_needless or not facts.is_validator or (TimerKind.HAVE_GRACE, 0) in facts.waits:
        return None
    return Wait(TimerKind.HAVE_GRACE, 0)


RULES: Final[tuple[Rule, ...]] = (
    decide,
    remember,
    leave_nil_view,
    follow_others,
    wait_for_commits,
    obtain_valid,
    offer,
    prepare,
    lock,
    commit_nil,
    wait_for_prepares,
    wait_for_proposal,
    wait_for_haves,
)


def next_action(
    record: SafetyRecord, facts: Facts, rules: tuple[Rule, ...] = RULES
) -> Action | None:
    """Return what the first rule that applies wants, None when nothing is to be done."""
    for rule in rules:
        action = rule(record, facts)
        if action is not None:
            return action
    return None


def on_timeout(record: SafetyRecord, facts: Facts, timer: Timer) -> Act | None:
    """Rule P30: no proposal, PREPARE nil; no PREPARE quorum, COMMIT nil; else the next view."""
    match timer.kind:
        case TimerKind.PROPOSE if timer.view == record.view and record.step is Step.PROPOSE:
            return _nil("no valid proposal in time") if facts.is_validator else None
        case TimerKind.PREPARE if timer.view == record.view and record.step is Step.PREPARE:
            return Commit(NIL)
        case TimerKind.COMMIT if timer.view >= record.view:
            return EnterView(timer.view + 1)
        case _:
            return None


def _fresh_problem(received: ProposalMessage, facts: Facts) -> str:
    """What only fresh proposals are held to: their view and their time (rules P14, P22)."""
    header = received.block.header
    if header.created_view != received.proposal.statement.view:
        return f"a fresh proposal of a block created in view {header.created_view}"
    ahead_ms = header.time_ms - facts.latest_ms()
    if ahead_ms > 0:
        return f"its time is {ahead_ms} ms beyond what is accepted"
    return ""


def _nil(reason: str) -> Prepare:
    return Prepare(NIL, FRESH, reason)
