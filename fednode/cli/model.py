"""`fednode model`: write a model to a file, and use it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli import data_options as option
from fednode.cli import prediction_output
from fednode.cli.ledger_options import GenesisOption
from fednode.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from fednode.learning.rows import Rows

app = typer.Typer(name="model", no_args_is_help=True, help="Write a model to a file, and use it.")


class RowSetName(StrEnum):
    """A part of a member's rows."""

    ALL = "all"
    TRAINING = "training"
    HOLD_OUT = "hold_out"
    TEST = "test"


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A member's folder.", metavar="DIR")],
    *,
    out: Annotated[Path, typer.Option(help="File to write.", metavar="FILE")],
    best: Annotated[bool, typer.Option("--best", help="The best model by the members.")] = False,
    last: Annotated[bool, typer.Option("--last", help="The model that was made last.")] = False,
    height: Annotated[
        int | None, typer.Option(help="The model of this height; 0: the initial one.", min=0)
    ] = None,
) -> None:
    """Write a certified model as a safetensors file in its one canonical form.

    Where members judge models on rows that they hold out it is the best one, else the last.

    Example: fednode model export north --out model.safetensors
    """
    from fednode.founding.genesis_files import save_new
    from fednode.model_export import Which, export_model
    from ledger.model_file import decode_model_file

    if best + last + (height is not None) > 1:
        raise typer.BadParameter("expected one of --best, --last and --height")
    which = Which.BEST if best else Which.LAST if last else Which.PREFERRED
    data = export_model(folder, which=which, height=height)
    save_new(out, data)
    model = decode_model_file(data)
    made = dict(model.metadata)["height"]
    print(f"{out}: model {model.model_id.hex()} of height {made}, {len(data)} bytes")


@app.command()
def card(
    model: Annotated[Path, typer.Argument(help="File that 'export' wrote.", metavar="MODEL")],
    *,
    ledger: Annotated[
        Path,
        typer.Option(help="A member's folder, or a file of 'ledger export'.", metavar="LEDGER"),
    ],
    genesis: GenesisOption = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show where a model comes from: who contributed, with which weights, who signed, which terms.

    The ledger is audited first, and the model must be one that it names.

    Example: fednode model card model.safetensors --ledger ledger.fed --genesis genesis.fed
    """
    from fednode.cli.ledger_audit import read_valid
    from fednode.cli.model_card import card_sections, markdown, model_card
    from fednode.errors import ConfigError
    from fednode.founding.genesis_files import read_public_file
    from ledger.model_file import decode_model_file, model_findings

    of, content = read_valid(ledger, genesis)
    data = read_public_file(model, "a model file")
    found = model_findings(data, of.contract, content.blocks)
    if found:
        raise ConfigError(
            f"expected a model that this ledger names at {model}, got: {found[0].text}; export it "
            "again, or name the ledger of its network"
        )
    made = model_card(of.contract, content.blocks, content.certificate, decode_model_file(data))
    if as_json:
        print_json(made)
    elif as_markdown:
        print(markdown(made))
    else:
        for section in card_sections(made):
            print_table(section.columns or ("", ""), section.rows, title=section.title)
            print()


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="File that 'export' wrote.", metavar="MODEL")],
    *,
    genesis: Annotated[Path, typer.Option(help="The genesis of its network.", metavar="FILE")],
    data: Annotated[
        Path | None, typer.Option(help="CSV file with the columns of the contract.", metavar="FILE")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A member's node.toml, whose rows are used instead.", metavar="FILE"),
    ] = None,
    rows: Annotated[RowSetName, typer.Option(help="Which rows of that member.")] = RowSetName.ALL,
    label: option.Label = "",
    positive: option.Positive = "",
    no_header: option.NoHeader = False,
    column_names: option.ColumnNames = "",
    threshold: prediction_output.Threshold = 0.5,
    calibrate_by: prediction_output.CalibrateBy = None,
    out: Annotated[
        Path | None, typer.Option(help="Write one line per row.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict rows with a model, prepared as the contract says; compare with labels, if any.

    Label and rule for the positive class are those of the contract unless others are named.

    Example: fednode model predict model.safetensors --genesis genesis.fed --data new.csv
    --out predictions.csv
    """
    from dataclasses import replace

    from fednode.founding.genesis_files import load_genesis
    from fednode.prediction import load_model_values
    from fednode.prediction import predict as apply_model
    from fednode.prediction_rows import Layout, read_feature_rows

    if (data is None) == (config is None):
        raise typer.BadParameter("expected either --data or --config")
    contract = load_genesis(genesis).contract
    layout = Layout(
        has_header=not no_header,
        names=option.split_names(column_names),
        label=label,
        positive=positive or contract.data.positive,
    )
    if data is not None:
        chosen = read_feature_rows(data, contract, layout)
    else:
        assert config is not None
        chosen = _member_rows(config, rows)
    values = load_model_values(model, contract)
    prediction = replace(apply_model(contract, values, chosen), threshold=threshold)
    if calibrate_by is not None:
        held = apply_model(contract, values, _member_rows(calibrate_by, RowSetName.HOLD_OUT))
        prediction = prediction.calibrated_by(held)
    if out is not None:
        prediction_output.write_prediction(out, prediction)
    prediction_output.print_prediction(prediction, as_json=as_json)


def _member_rows(config: Path, name: RowSetName) -> "Rows":
    from fednode.config import load_config
    from fednode.errors import ConfigError
    from fednode.learning.site_data import load_site
    from fednode.learning.sources import read_rows

    data = load_config(config).data
    if data is None:
        raise ConfigError(f"expected a section [data] in {config}, got none; use --data")
    if name is RowSetName.ALL:
        return read_rows(data.source, data.spec())
    rows = getattr(load_site(data.spec()), name.value)
    if rows is None:
        raise ConfigError(f"expected {name.value} rows in {config}, got none; name other --rows")
    chosen: Rows = rows
    return chosen
