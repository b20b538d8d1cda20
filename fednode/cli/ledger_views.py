"""A ledger as plain data: what the ledger commands print, for a person or as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Final

from fednode.errors import ConfigError
from fednode.folders import open_ledger
from fednode.founding.genesis_files import load_genesis
from ledger.certificates import signers
from ledger.evidence import evidence_key
from ledger.export import read_export, write_export
from ledger.genesis import NO_FEEDBACK, Contract, Genesis
from ledger.inspection import View, state_view
from ledger.operations import Join
from ledger.records import Block, Evidence, QuorumCertificate, block_id
from ledger.state import State, replay

MILLION: Final = 1_000_000
"""Figures of METRICS are in millionths."""
FEEDBACK_FIELDS: Final = ("best_height", "best_model_id", "returns", "judged")


# Not slotted: names are asked for in every line that is printed.
@dataclass(frozen=True, kw_only=True)
class Content:
    """What a folder or an exported file holds; the genesis is None where none was named."""

    genesis: Genesis | None
    blocks: tuple[Block, ...]
    certificate: QuorumCertificate | None

    def certificate_of(self, height: int) -> QuorumCertificate | None:
        """Return the certificate of a height from 1 to the last; None if the file lacks it."""
        if height < len(self.blocks):
            return next(iter(self.blocks[height].last_certificate), None)
        return self.certificate

    def name_of(self, member: int) -> str:
        """Return a member's name, or its number where no genesis tells."""
        return self.names[member] if member < len(self.names) else f"member {member}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The members' names by number, empty where no genesis tells.

        Each JOIN reserves the next number (rule P81), so that no state is needed.
        """
        if self.genesis is None:
            return ()
        joined = (
            agreed.operation.name
            for block in self.blocks
            for agreed in block.operations
            if isinstance(agreed.operation, Join)
        )
        return (*(each.name for each in self.genesis.contract.members), *joined)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionView:
    """What became of one update that a block included."""

    member: int
    name: str
    weight: int
    is_flagged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    """One member that a block bans: it made two different statements at one place (rule P45)."""

    member: int
    name: str
    statement: str
    height: int
    view: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsView:
    """What one member says of the model of a height and of the best one, in millionths (P16)."""

    member: int
    name: str
    height: int
    value: int
    best_value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView:
    """One block; digests as hexadecimal digits, the time in UTC."""

    height: int
    kind: str
    training_round: int
    time: str
    proposer: int
    proposer_name: str
    created_view: int
    contributions: tuple[ContributionView, ...]
    base_model_id: str
    model_id: str
    block_id: str
    parent_id: str
    evidence: tuple[EvidenceView, ...]
    metrics: tuple[MetricsView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateView:
    """Who decided a block; `signers` is None where the powers are not known."""

    view: int
    signatures: int
    signers: tuple[str, ...] | None
    powers: tuple[int, ...] | None
    total_power: int | None


def read_content(source: Path, genesis_path: Path | None) -> Content:
    """Return the blocks of a member's folder or of an exported file, unchecked.

    Raises:
        ConfigError: If there is neither.
        DecodeError: If the file is no export.
        StorageError: If the folder's ledger is damaged.
    """
    genesis = load_genesis(genesis_path) if genesis_path is not None else None
    if is_file_of_ledger(source):
        blocks, certificate = read_export(source.read_bytes())
        return Content(genesis=genesis, blocks=blocks, certificate=certificate)
    with open_ledger(source) as ledger:
        head = ledger.head
        return Content(
            genesis=genesis or ledger.genesis,
            blocks=tuple(ledger.blocks(1, head)),
            certificate=ledger.certificate_at(head) if head else None,
        )


def is_file_of_ledger(source: Path) -> bool:
    """Return whether a user named an exported file, and not a member's folder or node.toml."""
    return source.is_file() and source.suffix != ".toml"


def export_bytes(content: Content, through: int) -> bytes:
    """Return the export of the blocks up to a height.

    Raises:
        ConfigError: If the ledger has no block of that height.
    """
    if not 1 <= through <= len(content.blocks):
        raise ConfigError(
            f"expected a height from 1 to {len(content.blocks)}, the last one of this ledger, "
            f"got {through}; name another, or wait for a block"
        )
    file = BytesIO()
    write_export(file, content.blocks[:through], content.certificate_of(through))
    return file.getvalue()


def block_view(content: Content, block: Block) -> BlockView:
    """Return what a block says."""
    header = block.header
    return BlockView(
        height=header.height,
        kind=header.kind.name,
        training_round=header.training_round,
        time=time_text(header.time_ms),
        proposer=header.proposer,
        proposer_name=content.name_of(header.proposer),
        created_view=header.created_view,
        contributions=tuple(
            ContributionView(
                member=each.trainer,
                name=content.name_of(each.trainer),
                weight=each.weight,
                is_flagged=bool(each.flagged),
            )
            for each in header.results.contributions
        ),
        base_model_id=header.base_model_id.hex(),
        model_id=header.results.model_id.hex(),
        block_id=block_id(header).hex(),
        parent_id=header.parent_id.hex(),
        evidence=tuple(_evidence_view(content, each) for each in block.evidence),
        metrics=tuple(
            MetricsView(
                member=each.signer,
                name=content.name_of(each.signer),
                height=each.statement.height,
                value=each.statement.value,
                best_value=each.statement.best_value,
            )
            for each in block.metrics
        ),
    )


def _evidence_view(content: Content, evidence: Evidence) -> EvidenceView:
    member, kind, height, view = evidence_key(evidence)
    name = content.name_of(member)
    return EvidenceView(member=member, name=name, statement=kind, height=height, view=view)


def certificate_view(content: Content, height: int) -> CertificateView | None:
    """Return who decided a height, None if the file lacks that certificate."""
    certificate = content.certificate_of(height)
    if certificate is None:
        return None
    if content.genesis is None:
        return CertificateView(
            view=certificate.view,
            signatures=len(certificate.signatures),
            signers=None,
            powers=None,
            total_power=None,
        )
    validators = replay(content.genesis.contract, content.blocks[: height - 1]).validators
    members = signers(certificate, validators)
    return CertificateView(
        view=certificate.view,
        signatures=len(certificate.signatures),
        signers=tuple(content.name_of(member) for member in members),
        powers=tuple(validators.power_of(member) for member in members),
        total_power=validators.total,
    )


def feedback_view(content: Content, height: int) -> View | None:
    """Return what rule P16 makes of a chain up to a height; None without a genesis or feedback."""
    if content.genesis is None:
        return None
    contract = content.genesis.contract
    return feedback_after(contract, replay(contract, content.blocks[:height]))


def feedback_after(contract: Contract, state: State) -> View | None:
    """Return best model, returns to it and models under judgement; None where nobody judges."""
    if contract.feedback == NO_FEEDBACK:
        return None
    shown = state_view(contract, state)
    return {name: shown[name] for name in FEEDBACK_FIELDS}


def feedback_pairs(shown: View) -> Iterator[tuple[str, str]]:
    """Yield in words the best model, the returns to it, and the models under judgement (P16)."""
    best = f"{shown['best_model_id']} of height {shown['best_height']}"
    yield "best model", f"{best}; returns to it: {shown['returns']}"
    judged = shown["judged"]
    assert isinstance(judged, list)
    for each in judged:
        assert isinstance(each, dict)
        yield f"model of {each['height']}", judgement_text(each)


def judgement_text(judged: View) -> str:
    """Return in words what members say of one model under judgement (rule P16)."""
    count = f"{judged['figures']} figures"
    if "median" not in judged:
        return count
    own, best = (int(str(judged[name])) / MILLION for name in ("median", "best_median"))
    return f"median {own:.6f}, the best model's {best:.6f}; {count}"


def time_text(time_ms: int) -> str:
    """Return a time as people write it, in UTC.

    Examples:
        >>> time_text(1_700_000_000_123)
        '2023-11-14 22:13:20'
    """
    try:
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"  # a block's time is what its proposer wrote
    return moment.isoformat(sep=" ", timespec="seconds")[:19]
