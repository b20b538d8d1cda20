"""`python -m ledger verify EXPORT` and `check-proof PROOF`: an auditor's whole tool (P54, P55).

Needs nothing but this package, msgpack and pynacl. Exit code 0: every check holds; 1: findings, or
a proof that does not hold; 2: wrong usage, or a file that cannot be read.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ledger.audit import audit
from ledger.audit_report import (
    AuditReport,
    Plain,
    finding_data,
    finding_line,
    printable,
    report_data,
    report_lines,
)
from ledger.checkpoint import checkpoint_findings, decode_checkpoint
from ledger.continuation import continuation_findings
from ledger.encoding import decode
from ledger.errors import DecodeError, LedgerError
from ledger.export import read_export, scan_export
from ledger.findings import Finding
from ledger.genesis import Genesis
from ledger.genesis_rules import check_genesis
from ledger.keys import ED25519, SignatureScheme
from ledger.model_file import model_findings
from ledger.proof_report import proven_data, proven_lines
from ledger.proofs import UpdateProof, check_update_proof
from ledger.records import Block

EXIT_HOLDS, EXIT_FINDINGS, EXIT_USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None, *, scheme: SignatureScheme = ED25519) -> int:
    """Carry out one command line and return the exit code."""
    options = _parser().parse_args(arguments)
    names = ("genesis", "export", "proof", "model", "checkpoint", "continues", "continues_genesis")
    paths: dict[str, Path | None] = {name: getattr(options, name, None) for name in names}
    try:
        files = {name: path.read_bytes() for name, path in paths.items() if path is not None}
    except OSError as error:
        sys.stderr.write(f"cannot read {error.filename}: {error.strerror}\n")
        return EXIT_USAGE
    try:
        genesis = decode(Genesis, files["genesis"])
    except DecodeError as error:
        finding = Finding(height=0, field="genesis", rule="P2", text=str(error))
        data: dict[str, Plain] = {"holds": False, "findings": [finding_data(finding)]}
        return _say([finding_line(finding)], data, options)
    if options.command == "check-proof":
        lines, data = check_proof(genesis, files["proof"], files.get("checkpoint"), scheme=scheme)
        return _say(lines, data, options)
    if ("continues" in files) != ("continues_genesis" in files):
        sys.stderr.write("expected both --continues and --continues-genesis, or none\n")
        return EXIT_USAGE
    report = verify(
        genesis, files["export"], files.get("model"), files.get("checkpoint"), scheme=scheme
    )
    if "continues" in files:
        earlier = files["continues_genesis"], files["continues"]
        found = read_continuation_findings(genesis, *earlier, scheme=scheme)
        report = replace(report, findings=(*report.findings, *found), is_earlier_chain_checked=True)
    return _say(report_lines(report), report_data(report), options)


def check_proof(
    genesis: Genesis,
    proof_data: bytes,
    checkpoint_data: bytes | None,
    *,
    scheme: SignatureScheme = ED25519,
) -> tuple[Sequence[str], dict[str, Plain]]:
    """Check the bytes of a proof; return the outcome in lines for people and as data for JSON."""
    try:
        check_genesis(genesis, scheme)
        known = None if checkpoint_data is None else decode_checkpoint(checkpoint_data)
        proof = decode(UpdateProof, proof_data)
        proven = check_update_proof(genesis.contract, proof, checkpoint=known, scheme=scheme)
    except LedgerError as error:
        return [f"NOT VALID: {printable(str(error))}"], {"holds": False, "error": str(error)}
    return proven_lines(genesis.contract, proven), proven_data(proven)


def verify(
    genesis: Genesis,
    export_data: bytes,
    model_data: bytes | None,
    checkpoint_data: bytes | None = None,
    *,
    scheme: SignatureScheme = ED25519,
) -> AuditReport:
    """Audit the bytes of an export.

    Args:
        genesis: What to check against.
        export_data: The export.
        model_data: A model file that some block should name, if there is one.
        checkpoint_data: A checkpoint that the ledger should contain, if there is one.
        scheme: How signatures are checked.
    """
    scan = scan_export(export_data)
    report = audit(genesis, scan.blocks, scan.certificate, scheme=scheme)
    found = list(report.findings)
    if scan.fault:
        # First, because it may be the cause of others: a certificate that could not be read.
        height = len(scan.blocks) + 1
        found.insert(0, Finding(height=height, field="export", rule="P2", text=scan.fault))
    if not export_data:
        found.append(Finding(height=0, field="export", rule="P54", text="the file is empty"))
    if model_data is not None:
        found += model_findings(model_data, genesis.contract, scan.blocks)
    if checkpoint_data is not None:
        found += read_checkpoint_findings(genesis, checkpoint_data, scan.blocks, scheme=scheme)
    return replace(report, findings=tuple(found))


def read_checkpoint_findings(
    genesis: Genesis,
    data: bytes,
    blocks: Sequence[Block],
    *,
    scheme: SignatureScheme = ED25519,
) -> tuple[Finding, ...]:
    """Return what is wrong with the bytes of a checkpoint, or with the blocks that it covers."""
    try:
        checkpoint = decode_checkpoint(data)
    except DecodeError as error:
        return (Finding(height=0, field="checkpoint", rule="P55", text=str(error)),)
    return checkpoint_findings(genesis.contract, checkpoint, blocks, scheme=scheme)


def read_continuation_findings(
    genesis: Genesis,
    earlier_genesis: bytes,
    earlier_export: bytes,
    *,
    scheme: SignatureScheme = ED25519,
) -> tuple[Finding, ...]:
    """Return what is wrong with the bytes of the chain that a contract continues (rule P1)."""
    try:
        earlier = decode(Genesis, earlier_genesis)
        blocks, certificate = read_export(earlier_export)
    except DecodeError as error:
        return (Finding(height=0, field="continues", rule="P2", text=str(error)),)
    return continuation_findings(genesis.contract, earlier, blocks, certificate, scheme=scheme)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ledger", description="Check a ledger offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    audit_command = commands.add_parser("verify", help="check every rule on an exported ledger")
    audit_command.add_argument("export", type=Path, help="file written by the export of a node")
    audit_command.add_argument(
        "--model", type=Path, help="a model file that the ledger should name"
    )
    audit_command.add_argument(
        "--continues", type=Path, help="export of the earlier chain that the contract names"
    )
    audit_command.add_argument(
        "--continues-genesis", type=Path, help="genesis of that chain, from one of its founders"
    )
    proof_command = commands.add_parser(
        "check-proof", help="check that a block counted one member's update"
    )
    proof_command.add_argument("proof", type=Path, help="file written by 'fednode ledger prove'")
    for command in (audit_command, proof_command):
        command.add_argument(
            "--genesis",
            type=Path,
            required=True,
            help="the genesis, obtained from a founding member",
        )
        command.add_argument(
            "--checkpoint", type=Path, help="a checkpoint obtained elsewhere, to be contained"
        )
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _say(lines: Sequence[str], data: dict[str, Plain], options: argparse.Namespace) -> int:
    text = json.dumps(data, indent=2) if options.json else "\n".join(lines)
    # Names may hold letters that this terminal has not: shown as escapes, never a traceback.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return EXIT_HOLDS if data["holds"] else EXIT_FINDINGS


if __name__ == "__main__":
    sys.exit(main())
