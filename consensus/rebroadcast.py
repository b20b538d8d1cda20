"""Saying again what others may have missed: MQTT gives no gossip guarantee (rule P35)."""

from typing import Final

from consensus.acts import renew_entry_proof
from consensus.desk import Desk
from consensus.effects import SetTimer, Timer, TimerKind
from consensus.messages import (
    CertificateMessage,
    EntryProofMessage,
    EvidenceMessage,
    HaveMessage,
    MetricsMessage,
    ProposalMessage,
    Status,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
)
from consensus.rules import Facts
from ledger.records import FRESH, Phase

REPEATERS: Final = 4
"""Validators that repeat one header of another member in one period (rule P35).

If all did, what is sent would grow with the third power of the members, each period.
"""


def set_timer(desk: Desk) -> None:
    """Say everything again after a period."""
    timer = Timer(kind=TimerKind.REBROADCAST, height=0, view=0)
    desk.emit(SetTimer(timer=timer, delay_ms=desk.contract.timeouts.rebroadcast_ms))


def republish_status(desk: Desk) -> None:
    """Publish where this node stands: a hint whom to ask for blocks."""
    if not desk.may_sign:
        return  # others take it from members only
    status = desk.sign_request(
        Status(height=desk.state.height, block_id=desk.state.tip_id, sequence=desk.next_counter())
    )
    assert status is not None, "who may sign has a key"
    desk.publish(StatusMessage(status=status))


def republish_pending(desk: Desk) -> None:
    """Publish evidence and the own METRICS until a block carries them (rules P16, P45)."""
    for evidence in desk.accusations.proposable(desk.contract, desk.state):
        desk.publish(EvidenceMessage(evidence=evidence))
    for metrics in () if desk.member is None else desk.metrics.of_member(desk.member):
        desk.publish(MetricsMessage(metrics=metrics))


def republish_decision(desk: Desk) -> None:
    """Publish the certificate of the last block again."""
    if desk.tip_certificate is not None:
        desk.publish(CertificateMessage(certificate=desk.tip_certificate))


def republish_height(facts: Facts, desk: Desk) -> None:
    """Publish again everything about the height in work that only this node may still have."""
    renew_entry_proof(facts, desk)
    record = desk.record
    _republish_once_per_height(facts, desk)
    _republish_proposal(facts, desk)
    for phase in Phase:
        vote = desk.signer.stored_vote(phase) if desk.signer and desk.is_signing else None
        if vote is not None and vote.statement.height == facts.height:
            desk.publish(VoteMessage(vote=vote, reason=""))
    if record.certificate is not None:
        desk.publish(CertificateMessage(certificate=record.certificate))
    if record.entry_proof:
        desk.publish(
            EntryProofMessage(height=facts.height, view=record.view, votes=record.entry_proof)
        )


def _republish_once_per_height(facts: Facts, desk: Desk) -> None:
    if desk.signer is None or not desk.is_signing:
        return
    update, have = desk.signer.stored_update(), desk.signer.stored_have()
    if update is not None and update.statement.height == facts.height:
        desk.publish(UpdateMessage(update=update))
    if have is not None and have.statement.height == facts.height:
        desk.publish(HaveMessage(have=have))
        for doubtful in facts.collection.doubtful():
            trainer = doubtful.statement.trainer
            if trainer != desk.member and _has_turn(trainer, facts):
                desk.publish(UpdateMessage(update=doubtful))
        facts.repeats += 1


def _republish_proposal(facts: Facts, desk: Desk) -> None:
    """The own proposal of this view, with its block."""
    proposal = desk.signer.stored_proposal() if desk.signer and desk.is_signing else None
    if proposal is None:
        return
    statement = proposal.statement
    held = facts.block(statement.block_id)
    if (statement.height, statement.view) != (facts.height, desk.record.view) or held is None:
        return
    offered = facts.proposals.of_view.get(statement.view)
    if offered is not None and offered.proposal == proposal:
        # With the certificate by which it was offered: `valid` may be of a later view by now.
        desk.publish(offered)
        return
    certificate = () if statement.valid_view == FRESH else desk.record.valid
    desk.publish(ProposalMessage(proposal=proposal, block=held.block, certificate=certificate))


def _has_turn(trainer: int, facts: Facts) -> bool:
    """Whether this period is one in which this validator repeats the header of `trainer`."""
    position = 0 if facts.member is None else facts.validators.position_of(facts.member) or 0
    count = len(facts.validators.members)
    return has_turn(position, count, trainer=trainer, period=facts.repeats)


def has_turn(position: int, count: int, *, trainer: int, period: int) -> bool:
    """Return whether the validator at a position repeats a trainer's header in a period (P35).

    In each period `REPEATERS` neighbours do, in the next one those after them: a liar among them,
    or one that has no body, delays others by a period and no more.
    """
    return (position - trainer - period * REPEATERS) % count < REPEATERS
