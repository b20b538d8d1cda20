"""What concerns decided heights: late votes, and answers to those who are behind (P33-P40)."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from consensus.desk import Desk
from consensus.effects import AnswerBlocks, AnswerCertificate, BlocksRequested, ProposalRequested
from consensus.height import Height
from consensus.messages import BlocksRequest, ProposalRequest, VoteMessage
from consensus.sync import Answered
from consensus.votes import votes_of
from ledger.certificates import check_certificate, merge_votes
from ledger.errors import CertificateError
from ledger.keys import Signed
from ledger.membership import public_keys_at
from ledger.records import Phase, QuorumCertificate, Vote

CERTIFICATES_PER_PERIOD: Final = 8
"""Votes of decided heights answered per member and rebroadcast period."""
ANSWERS_PER_PERIOD: Final = 32
"""Requests for decided blocks answered per member and rebroadcast period (rules P37, P80).

Each answer is one packet, so this bounds bytes too.
"""
PROPOSALS_PER_PERIOD: Final = 8
"""Requests for the block of an open height answered besides: a member that catches up has both."""


class Past:
    """Answers for the blocks that are decided, and collects late COMMITs of the last one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._blocks_answered = Answered()
        self._proposals_answered = Answered()
        self._certificates: dict[int, set[int]] = {}
        self._answers: Counter[int] = Counter()
        self._offers: Counter[int] = Counter()
        self._decided = 0
        self._known: set[tuple[int, Phase]] = set()

    def begin_period(self) -> None:
        """Allow the same answers again: those who ask again did not get them."""
        self._certificates.clear()
        self._answers.clear()
        self._offers.clear()

    def sign_commit(self, certificate: QuorumCertificate) -> QuorumCertificate:
        """Rule P40: a node that decides by certificate still signs its COMMIT."""
        desk = self._desk
        validators = desk.state.validators
        position = None if desk.member is None else validators.position_of(desk.member)
        if position is None or position in certificate.positions:
            return certificate
        signed = desk.sign(certificate.vote, is_optional=True)
        if signed is None:
            return certificate
        desk.publish(VoteMessage(vote=signed, reason=""))
        return merge_votes(certificate, (signed,), validators)

    def decided(self, height: int, votes: Iterable[Signed[Vote]]) -> None:
        """Remember which votes of the deciding view came before the decision of a height here."""
        self._decided = height
        self._known = {(vote.signer, vote.statement.phase) for vote in votes}

    def hear_vote(self, vote: Signed[Vote]) -> None:
        """Merge a late COMMIT of the last block; answer those who lag behind (rules P35, P40)."""
        statement = vote.statement
        validators = self._desk.state.previous_validators
        tip = self._desk.tip_certificate
        if tip is not None and tip.vote == statement:
            self._desk.tip_certificate = merge_votes(tip, (vote,), validators)
        if self._is_on_its_way(vote):
            return
        heights = self._certificates.setdefault(vote.signer, set())
        is_first = statement.height not in heights and len(heights) < CERTIFICATES_PER_PERIOD
        if is_first and statement.height > 0 and vote.signer != self._desk.member:
            heights.add(statement.height)
            self._desk.emit(AnswerCertificate(member=vote.signer, height=statement.height))

    def _is_on_its_way(self, vote: Signed[Vote]) -> bool:
        """Whether a vote came in the deciding view, for the first time: its sender need not lag.

        It decides by the same votes a moment later. If it does not, it says its vote again.
        """
        statement, tip = vote.statement, self._desk.tip_certificate
        if tip is None or (statement.height, statement.view) != (self._decided, tip.view):
            return False
        key = vote.signer, statement.phase
        is_first = key not in self._known
        self._known.add(key)
        return is_first

    def hear_certificate(self, certificate: QuorumCertificate) -> None:
        """Merge the COMMITs of another node's certificate of the last block (rule P40)."""
        tip = self._desk.tip_certificate
        if tip is None or set(certificate.positions) <= set(tip.positions):
            return
        if certificate.vote != tip.vote:
            return
        validators = self._desk.state.previous_validators
        try:
            check_certificate(
                certificate,
                validators,
                public_keys_at(self._desk.state.membership, certificate.height),
                chain_id=self._desk.state.chain_id,
                scheme=self._desk.scheme,
            )
        except CertificateError as error:
            where = f"height={certificate.height}"
            self._desk.notice(f"{where}: dropped: {error}", is_error=False)
            return
        votes = tuple(votes_of(certificate, validators))
        for vote in votes:
            self._desk.take_own(vote)
        self._desk.tip_certificate = merge_votes(tip, votes, validators)

    def answer(self, asked: BlocksRequested | ProposalRequested, height: Height | None) -> None:
        """Answer whoever is not as far as this node."""
        if isinstance(asked, BlocksRequested):
            self.answer_blocks(asked.request.signed)
        else:
            self.answer_proposal(asked.request.signed, height)

    def answer_blocks(self, request: Signed[BlocksRequest]) -> None:
        """Answer a request for decided blocks, once per counter (rule P80)."""
        statement = request.statement
        if statement.responder != self._desk.member or request.signer == self._desk.member:
            return
        is_here = 1 <= statement.from_height <= self._desk.state.height
        is_first = is_here and self._blocks_answered.is_first(request.signer, statement.counter)
        if is_first:
            self._send_blocks(request.signer, statement.from_height)

    def answer_proposal(self, request: Signed[ProposalRequest], height: Height | None) -> None:
        """Answer a request for a block: with its proposal, or decided blocks if it is (P33)."""
        statement = request.statement
        if statement.responder != self._desk.member or request.signer == self._desk.member:
            return
        is_decided = 1 <= statement.height <= self._desk.state.height
        is_now = height is not None and statement.height == height.facts.height
        held = height.facts.block(statement.block_id) if height is not None and is_now else None
        if not is_decided and held is None:
            return
        if not self._proposals_answered.is_first(request.signer, statement.counter):
            return
        if held is None:
            self._send_blocks(request.signer, statement.height)
        elif _is_within(PROPOSALS_PER_PERIOD, self._offers, request.signer):
            self._desk.send(request.signer, held.offer)

    def _send_blocks(self, member: int, from_height: int) -> None:
        if _is_within(ANSWERS_PER_PERIOD, self._answers, member):
            self._desk.emit(AnswerBlocks(member=member, from_height=from_height))


def _is_within(limit: int, counts: Counter[int], member: int) -> bool:
    """Count an answer; a member that asks on and on must not fill the way out (rule P37)."""
    counts[member] += 1
    return counts[member] <= limit
