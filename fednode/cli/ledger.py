"""`fednode ledger`: look at a ledger, check it, and write it to one file."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli.failures import ExitCode
from fednode.cli.output import JsonOption, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from fednode.cli.ledger_views import BlockView, Content
    from ledger.audit_report import AuditReport

app = typer.Typer(
    name="ledger", no_args_is_help=True, help="Look at a ledger, check it, write it to a file."
)
Source = Annotated[
    Path, typer.Argument(help="A member's folder, or a file that 'export' wrote.", metavar="LEDGER")
]
GenesisOption = Annotated[
    Path | None,
    typer.Option("--genesis", help="The genesis, from a founding member.", metavar="FILE"),
]


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
    from fednode.cli.ledger_views import block_view, certificate_view, read_content
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
        print_json({**asdict(view), "certificate": decided})
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
    as_json: JsonOption = False,
) -> None:
    """Check every rule on a ledger, offline. Exit code 0: all holds; 1: findings; 2: wrong usage.

    A folder is checked against its own genesis unless another one is named.

    Example: fednode ledger verify ledger.fed --genesis genesis.fed --model model.safetensors
    """
    from ledger.audit_report import report_data, report_lines
    from ledger.errors import StorageError
    from ledger.findings import Finding

    try:
        report = _audit(source, genesis, model)
    except StorageError as error:
        finding = Finding(height=0, field="storage", rule="P53", text=str(error))
        if as_json:
            print_json({"holds": False, "findings": [asdict(finding)]})
        else:
            print(f"{finding.line}\nNOT VALID: the ledger cannot be read")
        raise typer.Exit(ExitCode.NO) from None
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


def _audit(source: Path, genesis: Path | None, model: Path | None) -> "AuditReport":
    from fednode.cli.ledger_views import read_content
    from fednode.errors import ConfigError
    from fednode.founding.genesis_files import decode_genesis, read_public_file
    from ledger.__main__ import verify as verify_export
    from ledger.audit import audit
    from ledger.model_file import model_findings

    model_data = None if model is None else read_public_file(model, "a model file")
    if source.is_file() and source.suffix != ".toml":
        if genesis is None:
            raise ConfigError(
                "expected --genesis for an exported file, got none; obtain the genesis from a "
                "founding member, not from whoever gave you the ledger"
            )
        contract = decode_genesis(genesis)
        return verify_export(contract, read_public_file(source, "an exported ledger"), model_data)
    content = read_content(source, None)
    assert content.genesis is not None  # a folder has one
    against = content.genesis if genesis is None else decode_genesis(genesis)
    report = audit(against, content.blocks, content.certificate)
    if model_data is None:
        return report
    found = model_findings(model_data, against.contract, content.blocks)
    return replace(report, findings=(*report.findings, *found))


def _print_block(content: "Content", view: "BlockView") -> None:
    from fednode.cli.ledger_views import certificate_view

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
    print_pairs(pairs)
    if view.contributions:
        print()
        rows = [
            (each.member, each.name, each.weight, "outlier" if each.is_flagged else "")
            for each in view.contributions
        ]
        print_table(("", "update of", "weight", ""), rows)
