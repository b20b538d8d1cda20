"""Audits of what the ledger commands are given: a member's folder or an exported file."""

from dataclasses import dataclass, replace
from pathlib import Path

from fednode.cli.ledger_views import Content, is_file_of_ledger, read_content
from fednode.errors import ConfigError
from fednode.founding.genesis_files import decode_genesis, read_public_file
from ledger.__main__ import read_checkpoint_findings
from ledger.__main__ import verify as verify_export
from ledger.audit import audit
from ledger.audit_report import AuditReport, finding_line
from ledger.export import scan_export
from ledger.genesis import Genesis
from ledger.model_file import model_findings
from ledger.records import Block

FINDINGS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """Files that a ledger should agree with, None for those that were not named."""

    model: Path | None = None
    checkpoint: Path | None = None


def audit_source(
    source: Path, genesis_path: Path | None, companions: Companions
) -> tuple[AuditReport, tuple[Block, ...]]:
    """Audit a folder, against its own genesis unless another is named, or a file.

    Returns:
        The report, and the blocks that could be read.

    Raises:
        ConfigError: If a file is missing, or no genesis is named for an exported file.
        StorageError: If the folder's ledger is damaged.
    """
    model = None if companions.model is None else read_public_file(companions.model, "a model file")
    checkpoint = (
        None
        if companions.checkpoint is None
        else read_public_file(companions.checkpoint, "a checkpoint")
    )
    if is_file_of_ledger(source):
        genesis = named_genesis(genesis_path)
        data = read_public_file(source, "an exported ledger")
        return verify_export(genesis, data, model, checkpoint), scan_export(data).blocks
    content = read_content(source, None)
    assert content.genesis is not None  # a folder has one
    genesis = content.genesis if genesis_path is None else decode_genesis(genesis_path)
    report = audit(genesis, content.blocks, content.certificate)
    found = list(report.findings)
    if model is not None:
        found += model_findings(model, genesis.contract, content.blocks)
    if checkpoint is not None:
        found += read_checkpoint_findings(genesis, checkpoint, content.blocks)
    return replace(report, findings=tuple(found)), content.blocks


def read_valid(source: Path, genesis_path: Path | None) -> tuple[Genesis, Content]:
    """Return a ledger in which an audit finds nothing, for commands that draw conclusions from it.

    Raises:
        ConfigError: If the audit finds something, or no genesis is named for an exported file.
        DecodeError: If the file is no export.
        StorageError: If the folder's ledger is damaged.
    """
    if is_file_of_ledger(source):
        genesis = named_genesis(genesis_path)
        content = read_content(source, None)
    else:
        content = read_content(source, None)
        assert content.genesis is not None  # a folder has one
        genesis = content.genesis if genesis_path is None else decode_genesis(genesis_path)
    report = audit(genesis, content.blocks, content.certificate)
    if not report.holds:
        shown = "; ".join(finding_line(each) for each in report.findings[:FINDINGS_SHOWN])
        raise ConfigError(
            f"expected a ledger that holds at {source}, got {len(report.findings)} findings: "
            f"{shown}; 'fednode ledger verify' lists them all"
        )
    return genesis, replace(content, genesis=genesis)


def named_genesis(path: Path | None) -> Genesis:
    """Return the genesis that an exported file is checked against.

    Raises:
        ConfigError: If none is named, or the file holds none.
    """
    if path is None:
        raise ConfigError(
            "expected --genesis for an exported file, got none; obtain the genesis from a "
            "founding member, not from whoever gave you the ledger"
        )
    return decode_genesis(path)
