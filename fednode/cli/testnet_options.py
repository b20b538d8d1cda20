"""Options of `fednode testnet` that other commands do not have."""

from pathlib import Path
from typing import Annotated

import typer

Nodes = Annotated[
    int | None, typer.Option(help="How many members; left out: 4, or one per site.", min=1)
]
Data = Annotated[str, typer.Option(help="CSV or npz file, or sklearn:NAME.", metavar="FILE")]
Split = Annotated[
    str, typer.Option(help="Divide the rows: iid, or dirichlet:ALPHA for unlike sites.")
]
Attack = Annotated[
    list[str] | None,
    typer.Option(
        help="Let a member lie, as in sign-flip:10@3; repeatable. Also gaussian:10, label-flip, "
        "and nan and overflow, which are no updates."
    ),
]
Kill = Annotated[
    list[str] | None,
    typer.Option(help="Kill member M after height H and start it again: M@H; repeatable."),
]
Broker = Annotated[
    str, typer.Option(help="Broker that runs already; left out: an own one.", metavar="URL")
]
Username = Annotated[str, typer.Option(help="Login name at the broker.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="File whose first line is the password.", metavar="FILE")
]
AuthoritiesFile = Annotated[
    Path | None, typer.Option(help="PEM file of the broker's authorities (TLS).", metavar="FILE")
]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="Folder of the network; left out: below ./runs.", metavar="DIR"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the network in --dir.")]
