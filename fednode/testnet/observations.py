"""What a bystander can prove from messages alone: no height twice certified, nobody two-faced.

Pure: it is told what was heard and judges by signatures and powers only, so that its verdict does
not rest on the nodes it watches.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from consensus import messages as msg
from ledger.certificates import check_certificate
from ledger.encoding import fixed_bytes
from ledger.errors import CertificateError, SignatureError
from ledger.genesis import Contract, chain_id
from ledger.keys import Signed, Statement, verify
from ledger.records import Block, Phase, QuorumCertificate, Vote, block_id
from ledger.state import State, apply, initial_state

STATEMENTS_MAX: Final = 1_000_000
BLOCKS_MAX: Final = 10_000
CERTIFICATES_PER_HEIGHT_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What a member may say once: a kind of statement, at a height, in a view."""

    member: int
    kind: str
    height: int
    view: int


@dataclass(slots=True)
class Observations:
    """Everything heard so far, and what it proves."""

    contract: Contract
    statements: int = 0
    refused: int = 0
    said: dict[Slot, bytes] = field(default_factory=dict)
    contradictions: list[Slot] = field(default_factory=list)
    certified: dict[int, set[bytes]] = field(default_factory=dict)
    _blocks: dict[bytes, Block] = field(default_factory=dict)
    _certificates: dict[int, list[QuorumCertificate]] = field(default_factory=dict)
    _states: list[State] = field(default_factory=list)

    def hear(self, message: msg.Message) -> None:
        """Take in one message; statements whose signature is wrong are counted and ignored."""
        match message:
            case msg.UpdateMessage(update=signed):
                self._say(signed, signed.statement.height, 0)
            case msg.HaveMessage(have=signed):
                self._say(signed, signed.statement.height, 0)
            case msg.ProposalMessage(proposal=signed, block=block, certificate=certificates):
                self._say(signed, signed.statement.height, signed.statement.view)
                self._see(block, certificates)
            case msg.VoteMessage(vote=vote):
                self._hear_votes((vote,))
            case msg.EntryProofMessage(votes=votes):
                self._hear_votes(votes)
            case msg.CertificateMessage(certificate=certificate):
                self._keep(certificate)
            case msg.BlocksMessage(blocks=blocks, certificate=certificate):
                for block in blocks:
                    self._see(block, ())
                self._keep(certificate)
            case _:
                return

    def heights_certified_twice(self) -> tuple[int, ...]:
        """Return the heights for which two blocks have a valid COMMIT certificate, ascending."""
        self._judge()
        return tuple(sorted(h for h, ids in self.certified.items() if len(ids) > 1))

    def heights_certified(self) -> int:
        """Return for how many heights a valid COMMIT certificate was heard."""
        self._judge()
        return len(self.certified)

    def _hear_votes(self, votes: Iterable[Signed[Vote]]) -> None:
        for vote in votes:
            self._say(vote, vote.statement.height, vote.statement.view)

    def _say(self, signed: Signed[Statement], height: int, view: int) -> None:
        statement = signed.statement
        kind = type(statement).__name__
        if isinstance(statement, Vote):
            kind = Phase(statement.phase).name
        members = self.contract.members
        if signed.signer >= len(members):
            self.refused += 1
            return
        slot = Slot(member=signed.signer, kind=kind, height=height, view=view)
        said = fixed_bytes(statement)
        known = self.said.get(slot)
        if known == said or len(self.said) >= STATEMENTS_MAX:
            return
        try:
            verify(signed, members[signed.signer].public_key, chain_id=chain_id(self.contract))
        except SignatureError:
            self.refused += 1
            return
        self.statements += 1
        if known is None:
            self.said[slot] = said
        elif slot not in self.contradictions:
            self.contradictions.append(slot)

    def _see(self, block: Block, certificates: Iterable[QuorumCertificate]) -> None:
        if len(self._blocks) < BLOCKS_MAX:
            self._blocks[block_id(block.header)] = block
        for certificate in (*certificates, *block.last_certificate):
            self._keep(certificate)

    def _keep(self, certificate: QuorumCertificate) -> None:
        if certificate.phase is Phase.COMMIT and certificate.block_id:
            kept = self._certificates.setdefault(certificate.height, [])
            if certificate not in kept and len(kept) < CERTIFICATES_PER_HEIGHT_MAX:
                kept.append(certificate)

    def _judge(self) -> None:
        """Check certificates height by height: powers follow from the blocks before."""
        if not self._states:
            self._states.append(initial_state(self.contract))
        while True:
            state = self._states[-1]
            valid = self._valid_ids(state, self._certificates.get(state.height + 1, []))
            if not valid:
                return
            self.certified[state.height + 1] = valid
            following = [self._blocks[each] for each in sorted(valid) if each in self._blocks]
            if not following:
                return
            self._states.append(apply(self.contract, state, following[0]))

    def _valid_ids(self, state: State, certificates: Iterable[QuorumCertificate]) -> set[bytes]:
        keys = [each.public_key for each in self.contract.members]
        valid = set()
        for certificate in certificates:
            try:
                check_certificate(certificate, state.validators, keys, chain_id=state.chain_id)
            except CertificateError:
                self.refused += 1
            else:
                valid.add(certificate.block_id)
        return valid
