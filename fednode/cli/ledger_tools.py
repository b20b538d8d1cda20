"""`fednode ledger diff, import, prune`: compare ledgers, restore one, make room."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fednode.cli.failures import ExitCode
from fednode.cli.ledger_options import LeftLedger, RequiredGenesis, RightLedger, Source
from fednode.cli.output import JsonOption, print_json, print_table


def diff(
    left: LeftLedger,
    right: RightLedger,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say at which height two ledgers first differ, and how. Exit code 0: equal; 1: they differ.

    Neither is checked: 'verify' does that. Certificates of the last block are not compared, because
    members may have collected different votes.

    Example: fednode ledger diff north south.fed
    """
    from fednode.cli.ledger_views import read_content
    from ledger.comparison import first_difference

    one, other = read_content(left, None), read_content(right, None)
    found = first_difference(one.blocks, other.blocks)
    if as_json:
        print_json({"is_equal": found is None, "difference": asdict(found) if found else None})
    elif found is None:
        print(f"equal: {len(one.blocks)} blocks")
    elif found.is_fork:
        print(f"the blocks of height {found.height} differ, those below are equal")
        print_table(("", "A", "B"), [(each.field, each.left, each.right) for each in found.fields])
    else:
        ending, going_on = ("A", "B") if found.left_height < found.right_height else ("B", "A")
        last = max(found.left_height, found.right_height)
        print(f"equal up to height {found.height - 1}, where {ending} ends; {going_on} has {last}")
    if found is not None:
        raise typer.Exit(ExitCode.NO)


def import_ledger(
    source: Annotated[Path, typer.Argument(help="A file that 'export' wrote.", metavar="EXPORT")],
    *,
    genesis: RequiredGenesis,
    folder: Annotated[Path, typer.Option("--dir", help="Folder to make.", metavar="DIR")],
) -> None:
    """Make a ledger from an exported file, after every check on it held.

    Bodies are not part of a file: a node fetches the models that it needs. The new folder has no
    record of what its member signed; do not start a node in it whose key has already signed.

    Example: fednode ledger import ledger.fed --genesis genesis.fed --dir restored
    """
    from fednode.cli.ledger_audit import read_valid
    from fednode.ledger_import import write_ledger

    of, content = read_valid(source, genesis)
    write_ledger(of, content.blocks, content.certificate, folder)
    print(f"{folder}: ledger of {len(content.blocks)} blocks, every check holds")
    print("It has no signing record: start a node in it only with a key that never signed here.")


def prune(
    source: Source,
    *,
    keep: Annotated[int, typer.Option(help="Heights whose bodies stay.", min=1)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete bodies of old updates and models; never blocks, nor the current and the best model.

    The node must be stopped. What is deleted can no longer be audited with --deep here.

    Example: fednode ledger prune north --keep 20
    """
    from fednode.pruning import prune_bodies

    pruned = prune_bodies(source, keep=keep, is_dry_run=dry_run)
    verb = "would delete" if dry_run else "deleted"
    print(
        f"{verb} {pruned.deleted} bodies, {pruned.deleted_bytes} bytes; {pruned.kept} bodies stay"
    )
