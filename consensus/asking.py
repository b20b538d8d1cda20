"""Before a node signs anything it asks what it signed before (rule P60).

Its state folder may be lost, or an old copy. Peers still have what it said at the height in work;
what they show raises its record, so that it does not contradict itself. This lowers the risk and
does not remove it: what no honest peer has seen, or still remembers, nobody can show.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from consensus.desk import Desk
from consensus.effects import Halt, SetTimer, StatementsShown, Timer, TimerKind
from consensus.height import Height
from consensus.messages import (
    Statements,
    StatementsAnswer,
    StatementsMessage,
    StatementsRequest,
    StatementsRequestMessage,
    statements_hash,
)
from consensus.metrics_pool import MetricsPool
from consensus.signer import SlotStatement
from consensus.sync import Answered
from consensus.votes import votes_of
from ledger.keys import Signed
from ledger.powers import ValidatorSet
from ledger.records import Block, Phase, QuorumCertificate

ASK_PERIODS: Final = 2
"""Rebroadcast periods without an answer, or without a block, after which a node asks no longer."""
SHOWN_PER_PERIOD: Final = 8
"""Requests for the own statements answered per member and rebroadcast period (rule P37)."""


class Asking:
    """Asks for the own newest statements at the start, and shows others theirs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._counters: set[int] = set()
        self._heights: dict[int, int] = {}
        self._request: StatementsRequestMessage | None = None
        self._periods = 0
        self._is_waiting = False
        self._shown = Answered()
        self._shown_now: Counter[int] = Counter()

    def begin(self) -> None:
        """Ask everybody, if there is anything to be asked for."""
        if self._desk.is_asking:
            self._ask()

    def begin_period(self) -> None:
        """Show again to those who asked too often."""
        self._shown_now.clear()

    def note_blocks(self) -> None:
        """Wait on: blocks came, so this node is catching up."""
        self._periods = 0

    def is_over(self) -> bool:
        """Return whether the node may sign now.

        Blocking power of others, or everybody, answered from heights that this node has reached:
        what it signed below is in blocks that it has then seen. Or nobody answers. Answers from
        further on do not count yet: one liar could name a height that nobody reaches.
        """
        desk = self._desk
        if self._periods >= ASK_PERIODS:
            return True
        reached = {member for member, height in self._heights.items() if height <= desk.height}
        validators = desk.state.validators
        power = sum(validators.power_of(member) for member in reached)
        others = (number for number, each in enumerate(desk.contract.members) if each.roles)
        is_all = all(each in reached or each == desk.member for each in others)
        return is_all or validators.is_blocked_by(power)

    def timeout(self) -> None:
        """Ask again; after `ASK_PERIODS` go on without an answer."""
        self._is_waiting = False
        if not self._desk.is_asking:
            return
        self._periods += 1
        if self._periods < ASK_PERIODS:
            self._ask()

    def hear_request(self, request: Signed[StatementsRequest], height: Height | None) -> None:
        """Show a member its newest statements; one that started later is asked, too.

        A request under the own key that this process did not make is answered as well: the answer
        stops whoever started a second node with this key.
        """
        desk, asker = self._desk, request.signer
        if asker == desk.member and request.statement.counter in self._counters:
            return
        if not self._shown.is_first(asker, request.statement.counter):
            return
        self._shown_now[asker] += 1
        if self._shown_now[asker] > SHOWN_PER_PERIOD:
            return
        statements = newest_of(asker, height, desk.metrics)
        answer = desk.sign_request(
            StatementsAnswer(
                asker=asker,
                counter=request.statement.counter,
                height=desk.height,
                statements_hash=statements_hash(statements),
            )
        )
        if answer is None:
            return
        desk.send(asker, StatementsMessage(answer=answer, statements=statements))
        if desk.is_asking and asker not in self._heights and self._request is not None:
            desk.send(asker, self._request)

    def hear_answer(self, shown: StatementsShown) -> None:
        """Raise the record to what a peer shows; stop when a second node has this key."""
        answer, desk = shown.answer.statement, self._desk
        if answer.asker != desk.member or answer.counter not in self._counters:
            return
        if shown.answer.signer == desk.member:
            desk.emit(
                Halt(
                    reason="another node runs with this node's key and answered its question what "
                    "was signed before: stop one of the two (rule P60)"
                )
            )
            return
        if not desk.is_asking:
            return
        for signed in all_of(shown.statements):
            desk.take_own(signed)
        self._heights[shown.answer.signer] = answer.height

    def _ask(self) -> None:
        desk = self._desk
        counter = desk.next_counter()
        request = desk.sign_request(StatementsRequest(height=desk.height, counter=counter))
        assert request is not None, "who asks what it signed has a key"
        self._counters.add(counter)
        self._request = StatementsRequestMessage(request=request)
        desk.publish(self._request)
        if self._is_waiting:
            # Asked again before the period is over: a broker that hangs up must not prolong it.
            return
        self._is_waiting = True
        timer = Timer(kind=TimerKind.ASK, height=0, view=0)
        desk.emit(SetTimer(timer=timer, delay_ms=desk.contract.timeouts.rebroadcast_ms))


def newest_of(member: int, height: Height | None, metrics: MetricsPool) -> Statements:
    """Return the newest of each kind that a member signed for the height in work, as seen here."""
    said = metrics.of_member(member)[-1:]
    if height is None:
        return Statements(
            updates=(), haves=(), proposals=(), votes=(), metrics=said, certificates=()
        )
    facts = height.facts
    update = facts.collection.header_of(member)
    have = facts.collection.haves.get(member)
    proposal = facts.proposals.newest_of(member)
    votes = (facts.tally.newest_of(member, phase) for phase in Phase)
    prepared = facts.tally.prepared
    certificates = (
        () if prepared is None else (facts.tally.certificate(Phase.PREPARE, prepared[0]),)
    )
    return Statements(
        updates=() if update is None else (update,),
        haves=() if have is None else (have,),
        proposals=() if proposal is None else (proposal,),
        votes=tuple(vote for vote in votes if vote is not None),
        metrics=said,
        certificates=certificates,
    )


def all_of(statements: Statements) -> tuple[Signed[SlotStatement], ...]:
    """Return the signed statements of one member, oldest step first."""
    return (
        *statements.updates,
        *statements.haves,
        *statements.proposals,
        *statements.votes,
        *statements.metrics,
    )


def statements_in(
    block: Block, certificate: QuorumCertificate, validators: ValidatorSet, member: int | None
) -> Iterator[Signed[SlotStatement]]:
    """Yield what a member signed in a decided block and its certificate (rule P60).

    Args:
        block: The block.
        certificate: Of this block, checked.
        validators: The set of the block's height.
        member: Whose statements.
    """
    signed: tuple[Signed[SlotStatement], ...]
    signed = (*block.updates, *block.haves, *block.metrics, *votes_of(certificate, validators))
    return (each for each in signed if each.signer == member)
