"""After a run: export every member's ledger, audit each offline, and compare them byte by byte."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

from fednode.testnet.folders import NetworkFolder
from ledger.audit import audit
from ledger.audit_report import finding_line
from ledger.encoding import encode
from ledger.errors import DecodeError, StorageError
from ledger.export import read_export, write_export
from ledger.genesis import Genesis
from ledger.records import Block, QuorumCertificate
from ledger.store import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCheck:
    """What an auditor who got one member's export would say.

    Attributes:
        name: The member.
        blocks: The blocks in its export.
        certificate: The certificate of the last.
        findings: Everything that is wrong, one sentence each.
        path: The export.
    """

    name: str
    blocks: tuple[Block, ...]
    certificate: QuorumCertificate | None
    findings: tuple[str, ...]
    path: Path

    @property
    def height(self) -> int:
        """Height of the last block."""
        return len(self.blocks)

    @property
    def training_round(self) -> int:
        """Training rounds completed."""
        return self.blocks[-1].header.training_round if self.blocks else 0

    @property
    def digest(self) -> str:
        """SHA-256 over the bytes of all blocks.

        Without the last block's certificate: the next block will fix which of the signatures it is
        made of, and until then every member has its own, equally valid, choice (rule P51).
        """
        return sha256(b"".join(encode(block) for block in self.blocks)).hexdigest()


def check_ledgers(folder: NetworkFolder, genesis: Genesis) -> tuple[LedgerCheck, ...]:
    """Export and audit the ledger of every member.

    What an audit reads is the exported file alone, and the genesis.
    """
    folder.exports.mkdir(exist_ok=True)
    return tuple(
        _check(member.name, folder.state(member.name), folder.export(member.name), genesis)
        for member in genesis.contract.members
    )


def are_identical(checks: Iterable[LedgerCheck]) -> bool:
    """Return whether all ledgers hold the same blocks, byte for byte."""
    return len({check.digest for check in checks}) == 1


def are_prefixes(checks: Iterable[LedgerCheck]) -> bool:
    """Return whether no two ledgers hold different blocks at any height."""
    for row in zip_longest(*(check.blocks for check in checks)):
        if len({block for block in row if block is not None}) > 1:
            return False
    return True


def _check(name: str, state: Path, path: Path, genesis: Genesis) -> LedgerCheck:
    blocks: tuple[Block, ...] = ()
    certificate: QuorumCertificate | None = None
    try:
        with Ledger.open(state, genesis=genesis, read_only=True) as ledger:
            head = ledger.head
            tip = ledger.certificate_at(head) if head else None
            with path.open("wb") as file:
                write_export(file, ledger.blocks(1, head), tip)
        blocks, certificate = read_export(path.read_bytes())
        report = audit(genesis, blocks, certificate)
        findings = tuple(finding_line(each) for each in report.findings)
    except (StorageError, DecodeError) as error:
        findings = (str(error),)
    return LedgerCheck(
        name=name, blocks=blocks, certificate=certificate, findings=findings, path=path
    )
