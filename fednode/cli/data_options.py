"""Options that describe rows, shared by the commands that read data."""

from typing import Annotated

import typer

Label = Annotated[
    str, typer.Option(help="Column of the label; left out: the last one.", metavar="COLUMN")
]
Positive = Annotated[
    str,
    typer.Option(help="Which labels are positive, such as '> 0'; left out: they are 0 and 1."),
]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The first line of the file is a row, not names.")
]
ColumnNames = Annotated[
    str, typer.Option(help="Names of the columns, separated by commas.", metavar="NAMES")
]
Categorical = Annotated[
    str, typer.Option(help="Columns of categories, separated by commas.", metavar="NAMES")
]
Drop = Annotated[
    str, typer.Option(help="Columns not to use, separated by commas.", metavar="NAMES")
]
DropMissingRows = Annotated[
    bool,
    typer.Option("--drop-missing-rows", help="Leave out rows with a missing value."),
]
AllowOneClass = Annotated[
    bool,
    typer.Option("--allow-one-class", help="Train also on rows that all have the same label."),
]
HoldOut = Annotated[
    float,
    typer.Option(
        help="Share of the rows never trained on, on which models are judged; 0: none.",
        min=0.0,
        max=0.9,
    ),
]
SiteColumn = Annotated[
    str, typer.Option(help="Column that names the site of each row.", metavar="COLUMN")
]
Site = Annotated[str, typer.Option(help="This member's site in the file.")]


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas.

    Examples:
        >>> split_names("age, sex")
        ('age', 'sex')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())
