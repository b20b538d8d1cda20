"""What every part of the engine shares: terms, state, the signer, and the effects of this step."""

from dataclasses import replace
from typing import Final, TypeAlias

from consensus.accusations import Accusations
from consensus.effects import (
    Effect,
    Halt,
    Notice,
    Persist,
    Publish,
    ReportContradiction,
    SaveEvidence,
    Send,
)
from consensus.errors import SigningRefusedError
from consensus.messages import (
    EvidenceMessage,
    HaveMessage,
    Message,
    MetricsMessage,
    ProposalMessage,
    UpdateMessage,
    VoteMessage,
)
from consensus.metrics_pool import MetricsPool
from consensus.pace import Pace
from consensus.pending import Pending
from consensus.record import INITIAL_RECORD, SafetyRecord, SlotKind, at_height
from consensus.signer import RequestT, Signer, SlotStatement, SlotStatementT, slot_of
from ledger.encoding import encode
from ledger.evidence import Accusable, evidence_key, evidence_text, make_evidence
from ledger.genesis import Contract, public_keys
from ledger.keys import Key, SignatureScheme, Signed, StatementT, signing_bytes
from ledger.membership import Standing, contract_in_force
from ledger.metrics import MetricsReport
from ledger.records import Evidence, Phase, QuorumCertificate, UpdateHeader
from ledger.state import State

Accusing: TypeAlias = UpdateMessage | HaveMessage | ProposalMessage | VoteMessage
"""Messages of which two different ones of one kind, height and view are evidence."""
Contradicting: TypeAlias = Accusing | MetricsMessage
"""Messages of which a member sends one per kind, height and view."""
CONTRADICTIONS_MAX: Final = 1024
"""Contradictions reported in one height; one per member, kind and view."""
NOTICES_MAX: Final = 256
"""Notices per height that are no errors of this node."""


class Desk:
    """Where statements are signed and effects are collected.

    Whatever is published goes through here, so that a record which is not durable yet is made so
    before it (rule P60).

    Attributes:
        state: The state after the last committed block.
        height: The height in work.
        contract: The contract in force for the height in work.
        public_keys: The members' keys in force, by number.
        tip_certificate: That block's certificate, with late COMMITs merged in (rule P40).
        now_ms: The host's clock at this step.
        accusations: Evidence for the next block (rule P45).
        metrics: METRICS for the next block (rule P16).
        pending: Operations and READYs for the next block (rule P81).
        pace: How long to wait in views (rule P36).
        is_asking: Whether this node still waits for its own newest statements (rule P60).
        lost_updates: Own updates that were signed and whose bodies are not here.
        is_signing: Whether the signer may sign at the height in work. It may not while it asks, nor
            when its record is ahead of the ledger, nor while its key is not in force: then the node
            follows until it has caught up.
    """

    def __init__(
        self,
        *,
        contract: Contract,
        state: State,
        tip_certificate: QuorumCertificate | None,
        member: int | None,
        signer: Signer | None,
        scheme: SignatureScheme,
    ) -> None:
        self._founders = contract
        self._keys = {} if signer is None else {signer.key.public_key: signer.key}
        self.member = member
        self.signer = signer
        self.follow(state)
        self.tip_certificate = tip_certificate
        self.scheme = scheme
        self.now_ms = 0
        self.accusations = Accusations()
        self.is_asking = signer is not None and len(self.contract.members) > 1
        self.metrics = MetricsPool(scheme)
        self.pending = Pending(scheme)
        self.pace = Pace(self.contract.timeouts, state.validators)
        self.is_signing = False
        self.effects: list[Effect] = []
        self._counter = 0
        self.lost_updates: set[bytes] = set()
        self._is_behind = False
        self._raised: set[SlotKind] = set()
        self._notices = 0
        self._follower = INITIAL_RECORD
        self._durable = None if signer is None else signer.record.slots
        self._reported: set[tuple[int, SlotKind, int]] = set()

    @property
    def record(self) -> SafetyRecord:
        """The record of the height in work; that of a node which only follows is never signed."""
        return self.signer.record if self.signer and self.is_signing else self._follower

    def follow(self, state: State) -> None:
        """Take over the state after a block, and the contract that is in force then (rule P81)."""
        self.state = state
        self.height = state.height + 1
        self.contract = contract_in_force(self._founders, state)
        self.public_keys = public_keys(self.contract)
        self._take_key_in_force()

    def add_key(self, key: Key) -> bool:
        """Take another key of the own member; return whether it may sign with it already."""
        before = self.signer
        self._keys[key.public_key] = key
        self._take_key_in_force()
        if self.signer is before:
            return False
        self.begin_height()
        return self.is_signing

    @property
    def standing(self) -> Standing | None:
        """Where the own member number stands; None while the chain does not know it."""
        members = self.state.membership.members
        if self.member is None or self.member >= len(members):
            return None
        return members[self.member].standing

    @property
    def has_key_in_force(self) -> bool:
        """Whether the signer's key is the one that the chain knows of the own active member."""
        key = None if self.signer is None else self.signer.key.public_key
        return self.member is not None and key == self.public_keys[self.member]

    @property
    def may_sign(self) -> bool:
        """Whether the own member takes part with the signer's key (rule P81)."""
        return self.standing is Standing.ACTIVE and self.has_key_in_force

    def is_signed(self, signed: Signed[StatementT]) -> bool:
        """Return whether a statement carries the signature of its signer's key in force."""
        if signed.signer >= len(self.public_keys):
            return False
        message = signing_bytes(signed.statement, self.state.chain_id)
        return self.scheme.is_valid(self.public_keys[signed.signer], message, signed.signature)

    def _take_key_in_force(self) -> None:
        if self.signer is None or self.member is None or self.member >= len(self.public_keys):
            return
        key = self._keys.get(self.public_keys[self.member])
        if key is not None and key is not self.signer.key:
            self.signer = replace(self.signer, key=key)

    def move(self, record: SafetyRecord) -> None:
        """Take over a record that changed without a signature; the next one makes it durable."""
        if self.signer is not None and self.is_signing:
            self.signer = self.signer.with_record(record)
        else:
            self._follower = record

    def begin_height(self) -> None:
        """Bring the record to the height in work."""
        self._reported.clear()
        self._notices = 0
        self.accusations.forget(self.contract, self.state)
        self.metrics.begin_height(self.contract, self.state)
        self.pace.begin_height(self.contract.timeouts, self.state.validators)
        ahead = 0 if self.signer is None else self.signer.record.height
        self.is_signing = self.may_sign and not self.is_asking and ahead <= self.height
        self._follower = at_height(self._follower, self.height)
        if self.is_signing:
            self.move(at_height(self.record, self.height))
        elif ahead > self.height and not self.is_asking and not self._is_behind:
            self._is_behind = True
            text = f"height={self.height}: signed at height {ahead} before; this node only follows"
            self.notice(f"{text} until its ledger is there (rule P60)", is_error=True)

    def end_asking(self) -> None:
        """Begin to sign, from a record raised to what peers showed of this node (rule P60)."""
        self.is_asking = False
        self._persist()
        if self._raised:
            kinds = ", ".join(kind.name for kind in sorted(self._raised))
            text = f"height={self.height}: peers showed statements of this node ({kinds}) that its"
            self.notice(
                f"{text} record lacked: its folder was lost, or is an old copy. It signs nothing "
                "at those places again; what no peer showed it may still contradict (rule P60)",
                is_error=True,
            )
        self.begin_height()

    def sign(
        self, statement: SlotStatementT, *, is_optional: bool = False
    ) -> Signed[SlotStatementT] | None:
        """Return the signed statement, or None when the record does not allow it."""
        if self.signer is None or not self.is_signing:
            return None
        try:
            record, signed = self.signer.sign(statement)
        except SigningRefusedError as refusal:
            if not is_optional:
                self.notice(f"height={self.height}: not signed: {refusal}", is_error=False)
            return None
        self.move(record)
        return signed

    def sign_request(self, statement: RequestT) -> Signed[RequestT] | None:
        """Return a signed request or status, None for a node without a key."""
        return None if self.signer is None else self.signer.sign_request(statement)

    def next_counter(self) -> int:
        """Return a counter for a request or status that this node has not used before.

        It starts from the clock, so that it goes on after a restart without being kept.
        """
        self._counter = max(self._counter + 1, self.now_ms)
        return self._counter

    def take_own(self, signed: Signed[SlotStatement]) -> None:
        """Stop at a verified statement under the own key that this node never signed (rule P60).

        Somebody else signs with this key, or the record is an old copy. While the node asks, what
        is beyond the record raises it instead.
        """
        problem = self._foreign(signed)
        if problem is not None:
            self.emit(Halt(reason=problem))

    def _foreign(self, signed: Signed[SlotStatement]) -> str | None:
        if self.signer is None or signed.signer != self.signer.member:
            return None
        kind, view = slot_of(signed.statement)
        position = signed.statement.height, view
        slot = self.signer.record.slot(kind)
        if slot is not None and position < slot.position:
            return None
        if (
            slot is not None
            and position == slot.position
            and slot.statement == encode(signed.statement)
        ):
            return None
        if self.is_asking and (slot is None or position > slot.position):
            self.signer = self.signer.raised(signed)
            self._raised.add(kind)
            if isinstance(signed.statement, UpdateHeader):
                self.lost_updates.add(signed.statement.update_id)
            return None
        return (
            f"{kind.name} of height {position[0]} view {view} is signed with this node's key, but "
            "not by this node: the key is used twice, or the node's folder was restored from an "
            "old copy (rule P60)"
        )

    def emit(self, effect: Effect) -> None:
        """Want an effect after those wanted before."""
        self.effects.append(effect)

    def publish(self, message: Message) -> None:
        """Tell all members, after what this node signed so far is durable."""
        self._persist()
        self.emit(Publish(message=message))

    def send(self, member: int, message: Message) -> None:
        """Tell one member, after what this node signed so far is durable."""
        self._persist()
        self.emit(Send(member=member, message=message))

    def notice(self, text: str, *, is_error: bool) -> None:
        """Tell a person; about what peers do wrong only `NOTICES_MAX` times per height."""
        if not is_error:
            self._notices += 1
            if self._notices > NOTICES_MAX:
                return
        self.emit(Notice(is_error=is_error, text=text))

    def report(
        self,
        kind: SlotKind,
        view: int,
        *,
        member: int,
        first: Contradicting,
        second: Contradicting,
    ) -> None:
        """Report two different statements of a member, once per kind and view (P34, P45)."""
        key = member, kind, view
        if key in self._reported or len(self._reported) >= CONTRADICTIONS_MAX:
            return
        self._reported.add(key)
        self.emit(ReportContradiction(member=member, first=first, second=second))
        if isinstance(first, MetricsMessage) or isinstance(second, MetricsMessage):
            return  # shown, and no ground for a ban (rule P45)
        evidence = make_evidence(_statement_of(first), _statement_of(second))
        if self.hear_evidence(evidence):
            self.publish(EvidenceMessage(evidence=evidence))

    def hear_evidence(self, evidence: Evidence) -> bool:
        """Keep evidence for a block; stop if it is against the own key (rules P45, P60).

        Its two statements must have been verified, whatever way they came.

        Returns:
            Whether it accuses a member that was not accused before.
        """
        if self.signer is not None and evidence_key(evidence)[0] == self.signer.member:
            text = f"{evidence_text(evidence)} are signed with this node's key: the key is used"
            self.emit(
                Halt(
                    reason=f"{text} twice, or the node's folder was restored from an old copy; the "
                    "other members ban the key (rule P45)"
                )
            )
            return False
        is_new = self.accusations.add(self.contract, self.state, evidence)
        if is_new:
            self.emit(SaveEvidence(member=evidence_key(evidence)[0], evidence=evidence))
        return is_new

    def hear_metrics(self, metrics: Signed[MetricsReport]) -> None:
        """Keep METRICS for a block, by whatever way they came; report a contradiction (P16, P34).

        Their signature must have been checked.
        """
        first = self.metrics.add(self.contract, self.state, metrics)
        if first is not None:
            one, other = MetricsMessage(metrics=first), MetricsMessage(metrics=metrics)
            height = metrics.statement.height
            self.report(SlotKind.METRICS, height, member=metrics.signer, first=one, second=other)

    def take(self) -> tuple[Effect, ...]:
        """Return the effects of this step and forget them."""
        if not self.effects:
            return ()
        taken = tuple(self.effects)
        self.effects.clear()
        return taken

    def _persist(self) -> None:
        """Make the record durable if it holds a signature that is not durable yet.

        What changed without a signature (view, `valid`, entry proof) becomes durable with the next
        one: until then nobody has seen anything that depends on it.
        """
        if self.signer is not None and self.signer.record.slots is not self._durable:
            self._durable = self.signer.record.slots
            self.emit(Persist(record=self.signer.record))


def _statement_of(message: Accusing) -> Signed[Accusable]:
    match message:
        case UpdateMessage():
            return message.update
        case HaveMessage():
            return message.have
        case ProposalMessage():
            return message.proposal
        case VoteMessage():
            return message.vote


SLOT_OF_PHASE: Final = {Phase.PREPARE: SlotKind.PREPARE, Phase.COMMIT: SlotKind.COMMIT}
