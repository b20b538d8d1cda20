"""The `fednode` command line: one module per command, each heavy import inside its function."""

import os
import sys
from typing import Annotated

import typer

from fednode.cli import (
    broker,
    demo,
    genesis,
    init,
    ledger,
    member,
    model,
    new,
    run,
    status,
    testnet,
)
from fednode.cli.failures import DEBUG_OPTION, is_debugging, run_guarded

app = typer.Typer(name="fednode", add_completion=False, pretty_exceptions_enable=False)
app.command()(demo.demo)
app.command("testnet")(testnet.run_testnet)
app.command()(new.new)
app.command()(init.init)
app.add_typer(genesis.app)
app.add_typer(member.app)
app.command()(run.run)
app.command()(status.status)
app.add_typer(ledger.app)
app.add_typer(model.app)
app.command()(broker.broker)


def _print_version(requested: bool) -> None:
    if requested:
        # Imported here: it takes longer than all of our own modules.
        from importlib.metadata import version

        typer.echo(f"fednode {version('fednode')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def show_help(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    _debug: Annotated[
        bool, typer.Option(DEBUG_OPTION, help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Federated learning among equal peers, with a ledger anyone can verify."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line; the exit code is the command's."""
    code = run_guarded(app, debug=is_debugging(sys.argv))
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
