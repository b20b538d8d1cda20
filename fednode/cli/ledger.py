"""`fednode ledger`: look at a ledger, check it, and write it to one file.

Its other commands are in `fednode.cli.ledger_proofs` and `fednode.cli.ledger_tools`.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli import ledger_proofs, ledger_tools
from fednode.cli.failures import ExitCode
from fednode.cli.ledger_options import (
    CheckpointOption,
    ContinuesGenesisOption,
    ContinuesOption,
    GenesisOption,
    Source,
)
from fednode.cli.output import JsonOption, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from fednode.cli.ledger_views import BlockView, Content
    from ledger.audit_report import AuditReport
    from ledger.records import Block

app = typer.Typer(
    name="ledger", no_args_is_help=True, help="Look at a ledger, check it, prove from it, move it."
)


@app.command()
def log(
    source: Source,
    *,
    last: Annotated[int, typer.Option(help="Only this many blocks; 0 shows all.", min=0)] = 0,
    genesis: GenesisOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the blocks: height, kind, time, proposer, updates, outliers, model.

    Example: fednode ledger log north --last 10
    """
    from fednode.cli.ledger_views import block_view, read_content

    content = read_content(source, genesis)
    views = [block_view(content, block) for block in content.blocks[-last:]]
    if as_json:
        print_json([asdict(view) for view in views])
        return
    names = "height kind time proposer updates outliers model block"
    rows = [
        (
            view.height,
            view.kind,
            view.time[5:],
            view.proposer_name,
            len(view.contributions),
            ", ".join(each.name for each in view.contributions if each.is_flagged) or "-",
            view.model_id[:8],
            view.block_id[:8],
        )
        for view in views
    ]
    print_table(names.split(), rows)


@app.command()
def show(
    source: Source,
    height: Annotated[int, typer.Argument(help="Height of the block; left out: the last.")] = 0,
    *,
    genesis: GenesisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one block: what it included, with which weights, and who decided it.

    Example: fednode ledger show north 3
    """
    from fednode.cli.ledger_views import block_view, certificate_view, feedback_view, read_content
    from fednode.errors import ConfigError

    content = read_content(source, genesis)
    height = height or len(content.blocks)
    if not 1 <= height <= len(content.blocks):
        raise ConfigError(
            f"expected a height from 1 to {len(content.blocks)}, the last of this ledger, "
            f"got {height}; name another"
        )
    view = block_view(content, content.blocks[height - 1])
    if as_json:
        certificate = certificate_view(content, height)
        decided = asdict(certificate) if certificate else None
        feedback = feedback_view(content, height)
        print_json({**asdict(view), "certificate": decided, "feedback": feedback})
    else:
        _print_block(content, view)


@app.command()
def verify(
    source: Source,
    *,
    genesis: GenesisOption = None,
    model: Annotated[
        Path | None, typer.Option(help="Model file that the ledger should name.", metavar="FILE")
    ] = None,
    checkpoint: CheckpointOption = None,
    continues: ContinuesOption = None,
    continues_genesis: ContinuesGenesisOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Recompute all results from the bodies of updates.")
    ] = False,
    bodies: Annotated[
        Path | None,
        typer.Option(help="Member's folder with the bodies, for a file.", metavar="DIR"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every rule on a ledger, offline. Exit code 0: all holds; 1: not all; 2: wrong usage.

    A folder is checked against its own genesis unless another one is named. With --deep the results
    of every training round are computed again from the update of each hospital, which the auditor
    so gets to see; heights whose bodies are not here are listed, and the exit code is then 1. With
    --continues the earlier network is audited, too.

    Example: fednode ledger verify ledger.fed --genesis genesis.fed --model model.safetensors
    """
    from fednode.cli.earlier_chain import with_earlier
    from fednode.cli.ledger_audit import Companions, audit_source
    from ledger.audit_report import report_data, report_lines
    from ledger.errors import StorageError
    from ledger.findings import Finding

    try:
        companions = Companions(model=model, checkpoint=checkpoint)
        report, blocks = audit_source(source, genesis, companions)
        report = with_earlier(report, continues, continues_genesis)
    except StorageError as error:
        finding = Finding(height=0, field="storage", rule="P53", text=str(error))
        if as_json:
            print_json({"holds": False, "findings": [asdict(finding)]})
        else:
            print(f"{finding.line}\nNOT VALID: the ledger cannot be read")
        raise typer.Exit(ExitCode.NO) from None
    if deep and report.holds:
        report = _deepened(report, blocks, _bodies_folder(source, bodies))
    if as_json:
        print_json(report_data(report))
    else:
        print("\n".join(report_lines(report)))
    if not report.holds:
        raise typer.Exit(ExitCode.NO)


@app.command()
def export(
    source: Source,
    *,
    out: Annotated[Path, typer.Option(help="File to write.", metavar="FILE")],
    through: Annotated[
        int | None, typer.Option(help="Height of the last block; left out: all.", min=1)
    ] = None,
) -> None:
    """Write a ledger to one file that anyone can check; equal ledgers give equal files.

    Example: fednode ledger export north --through 10 --out ledger.fed
    """
    from fednode.cli.ledger_views import export_bytes, read_content
    from fednode.founding.genesis_files import save_new

    content = read_content(source, None)
    height = len(content.blocks) if through is None else through
    data = export_bytes(content, height)
    save_new(out, data)
    print(f"{out}: blocks 1 to {height}, {len(data)} bytes")


app.command()(ledger_proofs.checkpoint)
app.command()(ledger_proofs.prove)
app.command("check-proof")(ledger_proofs.check_proof)
app.command()(ledger_proofs.forensics)
app.command()(ledger_tools.diff)
app.command("import")(ledger_tools.import_ledger)
app.command()(ledger_tools.prune)


def _bodies_folder(source: Path, bodies: Path | None) -> Path:
    from fednode.cli.ledger_views import is_file_of_ledger
    from fednode.errors import ConfigError

    if bodies is None and is_file_of_ledger(source):
        raise ConfigError(
            "expected --bodies for a deep audit of an exported file, got none; name the folder of "
            "a member, whose node keeps the updates (node.keep_heights)"
        )
    return source if bodies is None else bodies


def _deepened(report: "AuditReport", blocks: "tuple[Block, ...]", folder: Path) -> "AuditReport":
    from fednode.deep_audit import deep_audit

    outcome = deep_audit(report.genesis.contract, blocks, folder)
    return replace(report, deep=outcome, findings=(*report.findings, *outcome.findings))


def _print_block(content: "Content", view: "BlockView") -> None:
    from fednode.cli.ledger_views import MILLION, certificate_view, feedback_pairs, feedback_view

    certificate = certificate_view(content, view.height)
    pairs: list[tuple[str, object]] = [
        ("block", view.block_id),
        ("parent", view.parent_id),
        ("kind", f"{view.kind}, training round {view.training_round}"),
        ("time", f"{view.time} UTC"),
        ("proposer", f"{view.proposer_name}, in view {view.created_view}"),
        ("from model", view.base_model_id),
        ("to model", view.model_id),
    ]
    if certificate is None:
        pairs.append(("decided", "no certificate here"))
    elif certificate.signers is None or certificate.powers is None:
        by = f"{certificate.signatures} signatures (name --genesis to see whose)"
        pairs.append(("decided", f"in view {certificate.view} by {by}"))
    else:
        power = f"{sum(certificate.powers)} of {certificate.total_power}"
        names = ", ".join(certificate.signers)
        pairs.append(("decided", f"in view {certificate.view} by {names}: power {power}"))
    pairs += [
        (
            "bans",
            f"{each.name}: two different {each.statement} statements of height {each.height} "
            f"view {each.view}",
        )
        for each in view.evidence
    ]
    feedback = feedback_view(content, view.height)
    pairs += [] if feedback is None else list(feedback_pairs(feedback))
    print_pairs(pairs)
    if view.contributions:
        print()
        rows = [
            (each.member, each.name, each.weight, "outlier" if each.is_flagged else "")
            for each in view.contributions
        ]
        print_table(("", "update of", "weight", ""), rows)
    if view.metrics:
        print()
        figures = [
            (each.member, each.name, each.height, each.value / MILLION, each.best_value / MILLION)
            for each in view.metrics
        ]
        print_table(("", "judged by", "model of", "its figure", "the best's"), figures)
