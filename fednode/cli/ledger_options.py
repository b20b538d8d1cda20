"""What several of the ledger commands take."""

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    Path, typer.Argument(help="A member's folder, or a file that 'export' wrote.", metavar="LEDGER")
]
GenesisOption = Annotated[
    Path | None,
    typer.Option("--genesis", help="The genesis, from a founding member.", metavar="FILE"),
]
RequiredGenesis = Annotated[
    Path, typer.Option("--genesis", help="The genesis, from a founding member.", metavar="FILE")
]
LeftLedger = Annotated[
    Path, typer.Argument(help="A member's folder or an exported file.", metavar="LEDGER_A")
]
RightLedger = Annotated[Path, typer.Argument(help="Another one.", metavar="LEDGER_B")]
CheckpointOption = Annotated[
    Path | None, typer.Option(help="A checkpoint obtained earlier or elsewhere.", metavar="FILE")
]
ContinuesOption = Annotated[
    Path | None,
    typer.Option(help="Ledger of the earlier network that this one continues.", metavar="LEDGER"),
]
ContinuesGenesisOption = Annotated[
    Path | None, typer.Option(help="Its genesis, for an exported file.", metavar="FILE")
]
