"""The earlier chain that a contract continues: read, taken over, and checked (rule P1)."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fednode.cli.ledger_audit import named_genesis, read_valid
from fednode.cli.ledger_views import is_file_of_ledger, read_content
from fednode.errors import ConfigError
from fednode.founding.genesis_files import decode_genesis, read_public_file
from ledger.audit_report import AuditReport, finding_line
from ledger.continuation import continuation_findings
from ledger.errors import DecodeError
from ledger.findings import Finding
from ledger.state import replay

if TYPE_CHECKING:
    from fednode.founding.initial_model import Earlier
    from ledger.genesis import Contract


def read_earlier(source: Path | None, genesis: Path | None, model: Path | None) -> "Earlier | None":
    """Return what a new network takes over from a ledger, after an audit of it.

    Args:
        source: A member's folder, or an exported file; None for a network that starts anew.
        genesis: The earlier genesis; needed for a file.
        model: The model to start from; None for what `fednode model export` takes by itself.

    Raises:
        ConfigError: If the ledger does not hold, or did not end with the model.
        DecodeError: If the file is no export.
        StorageError: If the folder's ledger is damaged.
    """
    from fednode.founding.initial_model import take_over
    from fednode.model_export import export_model

    if source is None:
        if genesis or model:
            raise ConfigError("expected --continues with --continues-genesis or -model, got none")
        return None
    founded, content = read_valid(source, genesis)
    if model is not None:
        file = read_public_file(model, "a model file")
    elif is_file_of_ledger(source):
        raise ConfigError(
            "expected --continues-model for an exported ledger, which holds no model, got none; "
            "write it with 'fednode model export'"
        )
    else:
        file = export_model(source)
    return take_over(founded.contract, replay(founded.contract, content.blocks), file)


def with_earlier(report: AuditReport, source: Path | None, genesis: Path | None) -> AuditReport:
    """Return a report with what is wrong with the chain that the audited one continues.

    Args:
        report: Of the chain that continues.
        source: The earlier ledger; None changes nothing.
        genesis: The earlier genesis; needed for an exported file.

    Raises:
        ConfigError: If a file is missing, or no genesis is named for an exported file.
        StorageError: If the folder's ledger is damaged.
    """
    if source is None:
        return report
    found = earlier_findings(report.genesis.contract, source, genesis)
    findings = (*report.findings, *found)
    return replace(report, findings=findings, is_earlier_chain_checked=True)


def earlier_findings(
    contract: "Contract", source: Path, genesis: Path | None
) -> tuple[Finding, ...]:
    """Return what is wrong with the chain that a contract continues, or how it names it.

    Args:
        contract: The one that continues.
        source: The earlier ledger: a member's folder, or an exported file.
        genesis: The earlier genesis; needed for a file.

    Raises:
        ConfigError: If a file is missing, or no genesis is named for an exported file.
        StorageError: If the folder's ledger is damaged.
    """
    if is_file_of_ledger(source):
        named_genesis(genesis)
    try:
        content = read_content(source, None)
    except DecodeError as error:
        return (Finding(height=0, field="continues", rule="P2", text=str(error)),)
    earlier = content.genesis if genesis is None else decode_genesis(genesis)
    assert earlier is not None  # a folder has one, and a file needs a named one
    return continuation_findings(contract, earlier, content.blocks, content.certificate)


def check_earlier(contract: "Contract", source: Path, genesis: Path | None) -> None:
    """Check that a contract continues the chain in a ledger.

    Raises:
        ConfigError: If it does not, or the chain does not hold; the text has every finding.
    """
    found = earlier_findings(contract, source, genesis)
    if found:
        lines = "\n".join(f"  {finding_line(each)}" for each in found)
        raise ConfigError(
            f"expected a contract that continues the chain in {source}, got one that does not; "
            f"agree with the other founders on a new one:\n{lines}"
        )
