"""What survives a crash: in memory for most seeds, in the ledger's real store for some."""

from copy import copy
from pathlib import Path
from typing import Protocol

from consensus.messages import SYNC_BLOCKS_MAX, BlocksMessage
from consensus.record import INITIAL_RECORD, SafetyRecord
from ledger.blobs import Blobs
from ledger.encoding import decode, encode
from ledger.genesis import Contract
from ledger.keys import Signed
from ledger.operations import Agreed
from ledger.records import Block, Evidence, Proposal, QuorumCertificate
from ledger.state import State, initial_state
from ledger.store import Ledger
from tests.simulation.contracts import INITIAL_BODY, sign_genesis
from tests.simulation.settings import Settings

BLOBS_NAME = "blobs"
SavedProposal = tuple[Signed[Proposal], Block]


class Disk(Protocol):
    """What a host keeps: the signer's record, proposals, the ledger and bodies."""

    bodies: set[bytes]
    pushed: set[tuple[int, bytes]]
    operations: tuple[Agreed, ...]

    @property
    def state(self) -> State: ...
    def save_record(self, record: SafetyRecord) -> None: ...
    def load_record(self) -> SafetyRecord: ...
    def save_proposal(self, proposal: Signed[Proposal], block: Block) -> None: ...
    def proposals(self, height: int) -> tuple[SavedProposal, ...]: ...
    def save_evidence(self, member: int, evidence: Evidence) -> None: ...
    def evidence(self) -> tuple[Evidence, ...]: ...
    def append(self, block: Block, certificate: QuorumCertificate, state: State) -> None: ...
    def block_at(self, height: int) -> Block: ...
    def certificate_at(self, height: int) -> QuorumCertificate | None: ...
    def crash(self) -> None: ...
    def close(self) -> None: ...


def answer_from(disk: Disk, from_height: int) -> BlocksMessage | None:
    """The stretch of a ledger that answers who is behind; None if there is nothing to answer."""
    last = min(disk.state.height, from_height + SYNC_BLOCKS_MAX - 1)
    certificate = disk.certificate_at(last)
    if certificate is None or last < from_height:
        return None
    blocks = tuple(disk.block_at(height) for height in range(from_height, last + 1))
    return BlocksMessage(blocks=blocks, certificate=certificate)


class MemoryDisk:
    """A disk that keeps what it was given."""

    def __init__(self, contract: Contract) -> None:
        self.bodies = {contract.model.initial_model_id}
        self.pushed: set[tuple[int, bytes]] = set()
        self.operations: tuple[Agreed, ...] = ()
        self._record = INITIAL_RECORD
        self._proposals: list[SavedProposal] = []
        self._blocks: list[Block] = []
        self._certificates: list[QuorumCertificate] = []
        self._evidence: dict[int, Evidence] = {}
        self._state = initial_state(contract)

    @property
    def state(self) -> State:
        return self._state

    def save_record(self, record: SafetyRecord) -> None:
        self._record = record

    def load_record(self) -> SafetyRecord:
        # Through its bytes, as a restart reads it.
        return decode(SafetyRecord, encode(self._record))

    def save_proposal(self, proposal: Signed[Proposal], block: Block) -> None:
        self._proposals.append((proposal, block))

    def proposals(self, height: int) -> tuple[SavedProposal, ...]:
        return tuple(
            sorted(
                (saved for saved in self._proposals if saved[0].statement.height == height),
                key=lambda saved: saved[0].statement.view,
            )
        )

    def save_evidence(self, member: int, evidence: Evidence) -> None:
        self._evidence[member] = evidence

    def evidence(self) -> tuple[Evidence, ...]:
        return tuple(self._evidence.values())

    def copied(self) -> "MemoryDisk":
        """A copy of everything, as a backup makes it."""
        copied = copy(self)
        copied.bodies, copied.pushed = set(self.bodies), set(self.pushed)
        copied._evidence = dict(self._evidence)
        copied._proposals = list(self._proposals)
        copied._blocks = list(self._blocks)
        copied._certificates = list(self._certificates)
        return copied

    def append(self, block: Block, certificate: QuorumCertificate, state: State) -> None:
        self._blocks.append(block)
        self._certificates.append(certificate)
        self._state = state
        height = block.header.height
        self._proposals = [each for each in self._proposals if each[0].statement.height > height]

    def block_at(self, height: int) -> Block:
        return self._blocks[height - 1]

    def certificate_at(self, height: int) -> QuorumCertificate | None:
        """The canonical certificate where the next block has it, else the own one (rule P51)."""
        if not 1 <= height <= len(self._blocks):
            return None
        if height < len(self._blocks):
            return self._blocks[height].last_certificate[0]
        return self._certificates[height - 1]

    def crash(self) -> None:
        """Nothing that was written is lost."""

    def close(self) -> None:
        """Nothing to close."""


class StoreDisk:
    """The ledger's real store in a folder, and that of bodies where they have contents; a crash
    closes and reopens it.
    """

    def __init__(self, contract: Contract, folder: Path, settings: Settings) -> None:
        self.bodies = {contract.model.initial_model_id}
        self.pushed: set[tuple[int, bytes]] = set()
        self.operations: tuple[Agreed, ...] = ()
        self._folder = folder
        self._ledger = Ledger.create(folder, sign_genesis(contract, settings))
        self._state = self._ledger.state
        self.blobs = Blobs(folder / BLOBS_NAME) if settings.is_learning else None
        if self.blobs is not None:
            self.blobs.put(INITIAL_BODY)

    @property
    def state(self) -> State:
        return self._state

    def save_record(self, record: SafetyRecord) -> None:
        self._ledger.save_record(encode(record))

    def load_record(self) -> SafetyRecord:
        data = self._ledger.load_record()
        return INITIAL_RECORD if data is None else decode(SafetyRecord, data)

    def save_proposal(self, proposal: Signed[Proposal], block: Block) -> None:
        self._ledger.save_proposal(proposal, block)

    def proposals(self, height: int) -> tuple[SavedProposal, ...]:
        return self._ledger.load_proposals(height)

    def save_evidence(self, member: int, evidence: Evidence) -> None:
        self._ledger.save_evidence(member, evidence)

    def evidence(self) -> tuple[Evidence, ...]:
        return self._ledger.load_evidence()

    def append(self, block: Block, certificate: QuorumCertificate, state: State) -> None:
        self._ledger.append(block, certificate, state)
        self._state = state

    def block_at(self, height: int) -> Block:
        return self._ledger.block_at(height)

    def certificate_at(self, height: int) -> QuorumCertificate | None:
        return self._ledger.certificate_at(height) if 1 <= height <= self._ledger.head else None

    def crash(self) -> None:
        self._ledger.close()
        self._ledger = Ledger.open(self._folder)
        if self.blobs is not None:
            self.blobs = Blobs(self._folder / BLOBS_NAME)
            self.bodies = set(self.blobs.ids())
        self._state = self._ledger.state

    def close(self) -> None:
        self._ledger.close()
