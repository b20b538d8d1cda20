"""Options that the commands of `fednode member` share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option(help="The member's node.toml.", metavar="FILE")]
Heights = Annotated[
    int, typer.Option(help="Heights from now on in which it may be approved.", min=1)
]
Wait = Annotated[
    float, typer.Option(help="Seconds to wait until the own node has taken the order.", min=0.0)
]
OperationId = Annotated[
    str, typer.Argument(help="First digits of the operation's id.", metavar="ID")
]
NODE_TOML = Path("node.toml")
HEIGHTS = 500
WAIT_S = 10.0
