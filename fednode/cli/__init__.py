"""The `fednode` command line."""

from importlib.metadata import version
from typing import Annotated

import typer

app = typer.Typer(name="fednode", add_completion=False)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"fednode {version('fednode')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def show_help(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Federated learning among equal peers, with a ledger anyone can verify."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line; the exit code is the command's."""
    app()
