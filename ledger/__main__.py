"""`python -m ledger verify EXPORT --genesis FILE`: an auditor's whole tool (rule P54).

Needs nothing but this package, msgpack and pynacl. Exit code 0: every check holds; 1: findings;
2: wrong usage, or a file that cannot be read.
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
    report_data,
    report_lines,
)
from ledger.encoding import decode
from ledger.errors import DecodeError
from ledger.export import scan_export
from ledger.findings import Finding
from ledger.genesis import Genesis
from ledger.keys import ED25519, SignatureScheme
from ledger.model_file import model_findings

EXIT_HOLDS, EXIT_FINDINGS, EXIT_USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None, *, scheme: SignatureScheme = ED25519) -> int:
    """Carry out one command line and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        genesis_data = options.genesis.read_bytes()
        export_data = options.export.read_bytes()
        model_data = None if options.model is None else options.model.read_bytes()
    except OSError as error:
        sys.stderr.write(f"cannot read {error.filename}: {error.strerror}\n")
        return EXIT_USAGE
    try:
        genesis = decode(Genesis, genesis_data)
    except DecodeError as error:
        finding = Finding(height=0, field="genesis", rule="P2", text=str(error))
        data: dict[str, Plain] = {"holds": False, "findings": [finding_data(finding)]}
        return _say([finding_line(finding)], data, options)
    report = verify(genesis, export_data, model_data, scheme=scheme)
    return _say(report_lines(report), report_data(report), options)


def verify(
    genesis: Genesis,
    export_data: bytes,
    model_data: bytes | None,
    *,
    scheme: SignatureScheme = ED25519,
) -> AuditReport:
    """Audit the bytes of an export, and of a model file that some block of it should name."""
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
    return replace(report, findings=tuple(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ledger", description="Check a ledger offline.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("verify", help="check every rule on an exported ledger")
    command.add_argument("export", type=Path, help="file written by the export of a node")
    command.add_argument(
        "--genesis", type=Path, required=True, help="the genesis, obtained from a founding member"
    )
    command.add_argument("--model", type=Path, help="a model file that the ledger should name")
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
