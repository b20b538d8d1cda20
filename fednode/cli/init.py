"""`fednode init`: a member's key, configuration and card."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fednode.cli import data_options as option
from fednode.cli.output import print_pairs

MemberName = Annotated[str, typer.Option(help="This member's name in the contract.")]
BrokerUrl = Annotated[
    str, typer.Option(help="mqtt://host:port, or mqtts://host:port for TLS.", metavar="URL")
]
Data = Annotated[
    str,
    typer.Option(
        help="CSV or npz file, or sklearn:NAME; left out: a validator without data.",
        metavar="FILE",
    ),
]
TrainerOnly = Annotated[bool, typer.Option("--trainer-only", help="Train, but do not vote.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="File whose first line is the password.", metavar="FILE")
]
AuthoritiesFile = Annotated[
    Path | None,
    typer.Option(help="PEM file of the authorities for the broker (TLS).", metavar="FILE"),
]


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
    *,
    name: MemberName,
    broker: BrokerUrl,
    data: Data = "",
    label: option.Label = "",
    positive: option.Positive = "",
    no_header: option.NoHeader = False,
    column_names: option.ColumnNames = "",
    categorical: option.Categorical = "",
    drop: option.Drop = "",
    drop_missing_rows: option.DropMissingRows = False,
    allow_one_class: option.AllowOneClass = False,
    site_column: option.SiteColumn = "",
    site: option.Site = "",
    hold_out: option.HoldOut = 0.0,
    trainer_only: TrainerOnly = False,
    username: Annotated[str, typer.Option(help="Login name at the broker.")] = "",
    password_file: PasswordFile = None,
    ca_file: AuthoritiesFile = None,
) -> None:
    """Make a member's folder: a secret key that stays there, node.toml, and a public card.

    Example: fednode init north --name North --broker mqtt://broker.example:1883
    --data north.csv --label outcome --positive '> 0'
    """
    files = {"password_file": password_file, "ca_file": ca_file}
    table: dict[str, Any] = {
        "node": {"name": name},
        "broker": {"url": broker, "username": username}
        | {key: str(path) for key, path in files.items() if path is not None},
    }
    if data:
        table["data"] = {
            "source": data,
            "label": label,
            "positive": positive,
            "header": not no_header,
            "column_names": option.split_names(column_names),
            "categorical": option.split_names(categorical),
            "drop_columns": option.split_names(drop),
            "drop_missing_rows": drop_missing_rows,
            "allow_one_class": allow_one_class,
            "site_column": site_column,
            "site": site,
            "hold_out_fraction": hold_out,
        }
    _init(folder, table, is_validator=not trainer_only)


def _init(folder: Path, table: dict[str, Any], *, is_validator: bool) -> None:
    from secrets import token_bytes

    from fednode.config import parse_config
    from fednode.founding.members import create_member
    from ledger.keys import SEED_BYTES

    config = parse_config(table, folder=Path.cwd(), where="the options")
    made = create_member(
        folder,
        name=config.node.name,
        broker=config.broker,
        data=config.data,
        seed=token_bytes(SEED_BYTES),
        is_validator=is_validator,
    )
    print_pairs(
        [
            ("secret key", f"{made.config.node.key_file} (keep it here, and a copy in a safe)"),
            ("settings", str(made.config_path)),
            ("member card", f"{made.card_path} (public: send it to who makes the contract)"),
            ("roles", ", ".join(each.replace("_", "-") for each in made.card.roles)),
            ("samples", made.card.samples),
            ("public key", made.card.public_key),
        ]
    )
