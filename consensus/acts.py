"""Doing what a rule wants: sign, publish, set timers, move on (rules P20-P36, P60)."""

from dataclasses import replace
from typing import Final

from consensus import rules
from consensus.desk import SLOT_OF_PHASE, Desk
from consensus.effects import (
    BuildBlock,
    CheckBlock,
    Progress,
    SaveProposal,
    SetTimer,
    Timer,
    TimerKind,
)
from consensus.messages import (
    CertificateMessage,
    HaveMessage,
    ProposalMessage,
    ProposalRequest,
    ProposalRequestMessage,
    UpdateMessage,
    VoteMessage,
)
from consensus.proposals import BlockStatus, HeldBlock
from consensus.record import SlotKind, Step, in_view, with_proof, with_valid
from consensus.rules import Facts
from consensus.timeouts import clock_window_ms, grown_ms
from ledger.certificates import signers
from ledger.inclusion import expected_kind
from ledger.keys import Signed
from ledger.records import (
    FRESH,
    NIL,
    Block,
    HaveList,
    Phase,
    Proposal,
    QuorumCertificate,
    UpdateHeader,
    Vote,
    block_id,
)
from ledger.state import block_time
from ledger.validity import check_block

REASON_BYTES_MAX: Final = 200


def perform(action: rules.Act, facts: Facts, desk: Desk) -> None:
    """Carry out what a rule wants, but for a decision, which is the engine's."""
    match action:
        case rules.EnterView():
            enter_view(action.view, facts, desk)
        case rules.Wait():
            wait(action.kind, action.view, facts, desk)
        case rules.Remember():
            remember(facts.tally.certificate(Phase.PREPARE, action.view), facts, desk)
        case rules.Prepare():
            prepare(action, facts, desk)
        case rules.Commit():
            commit(action.block_id, facts, desk)
        case _:
            _perform_on_block(action, facts, desk)


def _perform_on_block(
    action: rules.Examine | rules.Fetch | rules.Reoffer | rules.Build, facts: Facts, desk: Desk
) -> None:
    match action:
        case rules.Examine():
            examine(action.block_id, facts, desk, with_bodies=action.with_bodies)
        case rules.Fetch():
            fetch(action.certificate, facts, desk)
        case rules.Reoffer():
            reoffer(action.certificate, facts, desk)
        case rules.Build():
            build(action, facts, desk)


def remember(certificate: QuorumCertificate, facts: Facts, desk: Desk) -> None:
    """Take over a PREPARE certificate as `valid`; a block invalid here is an error (rule P33)."""
    desk.move(with_valid(desk.record, certificate))
    held = facts.block(certificate.block_id)
    if held is not None and held.status is BlockStatus.INVALID:
        refuse_block(held, held.reason, facts, desk)


def enter_view(view: int, facts: Facts, desk: Desk) -> None:
    """Go on in a later view, with the votes that led there as entry proof (rules P20, P35)."""
    proof = entry_proof(view, facts)
    desk.move(in_view(desk.record, view, proof))
    facts.tally.forget_before(view)
    facts.proposals.forget_before(view, kept_blocks(facts, desk))
    show_progress("propose", facts, desk)


def entry_proof(view: int, facts: Facts) -> tuple[Signed[Vote], ...]:
    """Return why to be in `view`: the COMMIT quorum before it, or the votes beyond (P35)."""
    if facts.tally.is_complete(Phase.COMMIT, view - 1):
        return facts.tally.votes(Phase.COMMIT, view - 1)
    return facts.tally.leading_votes(view)


def renew_entry_proof(facts: Facts, desk: Desk) -> None:
    """Replace an entry proof by the previous view's COMMIT quorum once that is held (rule P35)."""
    view = desk.record.view
    if view > 0 and facts.tally.is_complete(Phase.COMMIT, view - 1):
        desk.move(with_proof(desk.record, facts.tally.votes(Phase.COMMIT, view - 1)))


def kept_blocks(facts: Facts, desk: Desk) -> frozenset[bytes]:
    """Return the ids of blocks that a lock or a certificate names."""
    record = desk.record
    kept = {each.block_id for each in record.valid} | {each.block_id for each in record.locked}
    if facts.tally.committed is not None:
        kept.add(facts.tally.committed[1][1])
    return frozenset(kept)


def wait(kind: TimerKind, view: int, facts: Facts, desk: Desk) -> None:
    """Start a timer; the waits of voting adapt, and grow with the view (rule P36)."""
    facts.waits.add((kind, view))
    if kind is TimerKind.HAVE_GRACE:
        delay_ms = desk.contract.timeouts.have_grace_ms
    else:
        delay_ms = desk.pace.wait_ms(kind, view, facts.proposer(view))
    if kind is TimerKind.PROPOSE:
        desk.pace.begin(kind, view, desk.now_ms)
    timer = Timer(kind=kind, height=facts.height, view=view)
    desk.emit(SetTimer(timer=timer, delay_ms=delay_ms))


def came(kind: TimerKind, view: int, facts: Facts, desk: Desk) -> None:
    """Measure what was waited for, if it was (rule P36)."""
    desk.pace.came(kind, view, facts.proposer(view), desk.now_ms)


def latest_time_ms(desk: Desk) -> int:
    """Return the latest block time that this node accepts now in a fresh proposal (rule P14)."""
    window_ms = clock_window_ms(desk.contract.timeouts, desk.record.view)
    return max(desk.now_ms + window_ms, desk.state.time_ms + 1)


def prepare(action: rules.Prepare, facts: Facts, desk: Desk) -> None:
    """Sign and publish PREPARE; a block is durable with its proposal before that (rule P60)."""
    vote = Vote(
        phase=Phase.PREPARE,
        height=facts.height,
        view=desk.record.view,
        valid_view=action.valid_view,
        block_id=action.block_id,
    )
    signed = desk.sign(vote)
    if signed is None:
        desk.move(replace(desk.record, step=Step.PREPARE))
        return
    save_block(action.block_id, facts, desk)
    if action.block_id != NIL:
        came(TimerKind.PROPOSE, vote.view, facts, desk)
        desk.pace.begin(TimerKind.PREPARE, vote.view, desk.now_ms)
    reason = action.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
    desk.publish(VoteMessage(vote=signed, reason=reason))
    facts.tally.add(signed, view=desk.record.view)
    show_progress("prepare", facts, desk)


def commit(voted: bytes, facts: Facts, desk: Desk) -> None:
    """Sign and publish COMMIT; the certificate that made the lock goes out with it (rule P35)."""
    vote = Vote(
        phase=Phase.COMMIT,
        height=facts.height,
        view=desk.record.view,
        valid_view=FRESH,
        block_id=voted,
    )
    signed = desk.sign(vote)
    if signed is None:
        desk.move(replace(desk.record, step=Step.COMMIT))
        return
    save_block(voted, facts, desk)
    desk.publish(VoteMessage(vote=signed, reason=""))
    if voted != NIL:
        came(TimerKind.PREPARE, vote.view, facts, desk)
        desk.pace.begin(TimerKind.COMMIT, vote.view, desk.now_ms)
        certificate = facts.tally.certificate(Phase.PREPARE, vote.view)
        desk.publish(CertificateMessage(certificate=certificate))
    facts.tally.add(signed, view=desk.record.view)
    show_progress("commit", facts, desk)


def save_block(voted: bytes, facts: Facts, desk: Desk) -> None:
    """Make a block durable with the proposal by which it came, once (rule P60)."""
    held = facts.block(voted)
    if held is not None and not held.is_saved:
        held.is_saved = True
        desk.emit(SaveProposal(proposal=held.offer.proposal, block=held.block))


def examine(examined: bytes, facts: Facts, desk: Desk, *, with_bodies: bool) -> None:
    """Check a block against the parent state, then have it recomputed (rule P13)."""
    held = facts.proposals.blocks[examined]
    findings = check_block(desk.contract, desk.state, held.block, scheme=desk.scheme)
    if findings:
        refuse_block(held, str(findings[0]), facts, desk)
        return
    held.status = BlockStatus.SOUND
    for have in held.block.haves:
        hear_have(have, facts, desk)
    for update in held.block.updates:
        hear_update(update, facts, desk)
    hear_for_a_block(held.block, desk)
    if with_bodies:
        held.status = BlockStatus.CHECKING
        desk.emit(CheckBlock(block=held.block))


def hear_for_a_block(block: Block, desk: Desk) -> None:
    """Keep what another block would carry if this one is not decided (rules P16, P45, P81)."""
    for evidence in block.evidence:
        desk.hear_evidence(evidence)
    for metrics in block.metrics:
        desk.hear_metrics(metrics)
    for agreed in block.operations:
        for approval in agreed.approvals:
            desk.pending.hear(desk.contract, desk.state, agreed.operation, approval)
    for ready in block.readies:
        desk.pending.hear_ready(desk.state, ready)


def refuse_block(held: HeldBlock, reason: str, facts: Facts, desk: Desk) -> None:
    """Note that a block is invalid; if a quorum prepared it, that is an error (rule P33)."""
    held.status = BlockStatus.INVALID
    held.reason = reason
    proposal = held.offer.proposal
    where = f"height={facts.height} view={proposal.statement.view} member={proposal.signer}"
    block = proposal.statement.block_id
    is_prepared = any(each.block_id == block for each in desk.record.valid)
    weight = "a quorum prepared a block that is" if is_prepared else "proposed block is"
    desk.notice(
        f"{where} block={block.hex()[:8]}: {weight} invalid: {reason}", is_error=is_prepared
    )


def fetch(certificate: QuorumCertificate, facts: Facts, desk: Desk) -> None:
    """Ask the next signer of a certificate for its block (rules P28, P33)."""
    attempt = facts.fetching.get(certificate.block_id, 0)
    facts.fetching[certificate.block_id] = attempt + 1
    members = [each for each in signers(certificate, facts.validators) if each != desk.member]
    if not members:
        return
    responder = members[attempt % len(members)]
    request = desk.sign_request(
        ProposalRequest(
            responder=responder,
            height=facts.height,
            block_id=certificate.block_id,
            counter=desk.next_counter(),
        )
    )
    if request is None:
        return
    desk.send(responder, ProposalRequestMessage(request=request))
    set_fetch_timer(certificate.view + 1, attempt, desk)


def set_fetch_timer(view: int, attempt: int, desk: Desk) -> None:
    """Wait for an answer; view 0 stands for synchronisation, v + 1 for a certificate of view v."""
    timeouts = desk.contract.timeouts
    delay_ms = grown_ms(timeouts.prepare_ms, attempt, timeouts.view_max_ms)
    timer = Timer(kind=TimerKind.FETCH, height=desk.height, view=view)
    desk.emit(SetTimer(timer=timer, delay_ms=delay_ms))


def build(action: rules.Build, facts: Facts, desk: Desk) -> None:
    """Have a fresh block built (rules P12-P15)."""
    haves, updates = action.content
    view = desk.record.view
    evidence = desk.accusations.proposable(desk.contract, desk.state)
    operations, readies = desk.pending.proposable(desk.contract, desk.state, evidence)
    facts.asked.add(view)
    desk.emit(
        BuildBlock(
            height=facts.height,
            view=view,
            kind=expected_kind(desk.contract, desk.state, view, haves, updates, evidence),
            time_ms=block_time(desk.state, desk.now_ms),
            haves=haves,
            updates=updates,
            last_certificate=desk.tip_certificate,
            evidence=evidence,
            metrics=desk.metrics.proposable(),
            operations=operations,
            readies=readies,
        )
    )


def reoffer(certificate: QuorumCertificate, facts: Facts, desk: Desk) -> None:
    """Propose the block of `valid` again, with its certificate (rule P20)."""
    facts.asked.add(desk.record.view)
    proposal = Proposal(
        height=facts.height,
        view=desk.record.view,
        valid_view=certificate.view,
        block_id=certificate.block_id,
    )
    propose(proposal, facts.proposals.blocks[certificate.block_id].block, facts, desk)


def propose_fresh(block: Block, facts: Facts, desk: Desk) -> None:
    """Propose a block that was built here for this view."""
    proposal = Proposal(
        height=facts.height,
        view=desk.record.view,
        valid_view=FRESH,
        block_id=block_id(block.header),
    )
    propose(proposal, block, facts, desk)


def propose(proposal: Proposal, block: Block, facts: Facts, desk: Desk) -> None:
    """Sign and publish a proposal; its block is durable before it leaves (rule P60)."""
    signed = desk.sign(proposal)
    if signed is None:
        return
    certificate = desk.record.valid if proposal.valid_view != FRESH else ()
    offer = ProposalMessage(proposal=signed, block=block, certificate=certificate)
    facts.proposals.add(offer, view=proposal.view, kept=kept_blocks(facts, desk))
    held = facts.proposals.blocks[proposal.block_id]
    held.status = BlockStatus.VALID
    save_block(proposal.block_id, facts, desk)
    desk.publish(offer)


def show_progress(phase: str, facts: Facts, desk: Desk) -> None:
    """Say for people where the node is."""
    view = desk.record.view
    desk.emit(Progress(height=facts.height, view=view, phase=phase, proposer=facts.proposer(view)))


def hear_update(update: Signed[UpdateHeader], facts: Facts, desk: Desk) -> None:
    """Keep a trainer's header, by whatever way it came; report a contradiction (rule P34)."""
    desk.take_own(update)
    first = facts.collection.add_header(update)
    if first is not None:
        one, other = UpdateMessage(update=first), UpdateMessage(update=update)
        desk.report(SlotKind.UPDATE, 0, member=update.signer, first=one, second=other)


def hear_have(have: Signed[HaveList], facts: Facts, desk: Desk) -> None:
    """Keep a HAVE list, by whatever way it came; report a contradiction (rules P11, P34)."""
    desk.take_own(have)
    first = facts.collection.add_have(have)
    if first is not None:
        one, other = HaveMessage(have=first), HaveMessage(have=have)
        desk.report(SlotKind.HAVE, 0, member=have.signer, first=one, second=other)


def report_vote(vote: Signed[Vote], first: Signed[Vote], desk: Desk) -> None:
    """Report two different votes of one member, phase and view (rule P34)."""
    statement = vote.statement
    desk.report(
        SLOT_OF_PHASE[statement.phase],
        statement.view,
        member=vote.signer,
        first=VoteMessage(vote=first, reason=""),
        second=VoteMessage(vote=vote, reason=""),
    )
