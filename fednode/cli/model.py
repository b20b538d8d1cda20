"""`fednode model`: write a model to a file, and use it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli import data_options as option
from fednode.cli.output import JsonOption, print_json, print_pairs

if TYPE_CHECKING:
    from fednode.learning.data_spec import DataSpec
    from fednode.learning.rows import Rows
    from fednode.prediction import Prediction
    from ledger.genesis import Contract

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
    best: Annotated[bool, typer.Option("--best", help="The best model, not the last.")] = False,
    height: Annotated[
        int | None, typer.Option(help="The model of this height; 0: the initial one.", min=0)
    ] = None,
) -> None:
    """Write a certified model as a safetensors file in its one canonical form.

    Example: fednode model export north --out model.safetensors
    """
    from fednode.founding.genesis_files import save_new
    from fednode.model_export import Which, export_model
    from ledger.model_file import decode_model_file

    data = export_model(folder, which=Which.BEST if best else Which.LAST, height=height)
    save_new(out, data)
    model = decode_model_file(data)
    made = dict(model.metadata)["height"]
    print(f"{out}: model {model.model_id.hex()} of height {made}, {len(data)} bytes")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="File that 'export' wrote.", metavar="MODEL")],
    *,
    genesis: Annotated[Path, typer.Option(help="The genesis of its network.", metavar="FILE")],
    data: Annotated[
        str, typer.Option(help="CSV or npz file, or sklearn:NAME.", metavar="FILE")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(help="A member's node.toml, whose rows are used.", metavar="FILE"),
    ] = None,
    rows: Annotated[RowSetName, typer.Option(help="Which rows of that member.")] = RowSetName.ALL,
    label: option.Label = "",
    positive: option.Positive = "",
    no_header: option.NoHeader = False,
    column_names: option.ColumnNames = "",
    categorical: option.Categorical = "",
    drop: option.Drop = "",
    drop_missing_rows: option.DropMissingRows = False,
    out: Annotated[
        Path | None, typer.Option(help="Write one line per row.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict rows with a model, prepared as the contract says, and compare with their labels.

    Example: fednode model predict model.safetensors --genesis genesis.fed --data new.csv
    --label outcome --positive '> 0' --out predictions.csv
    """
    from fednode.founding.genesis_files import load_genesis
    from fednode.learning.data_spec import DataSpec

    if bool(data) == (config is not None):
        raise typer.BadParameter("expected either --data or --config")
    contract = load_genesis(genesis).contract
    spec = DataSpec(
        source=data,
        label=label or contract.data.label,
        positive=positive or contract.data.positive,
        header=not no_header,
        column_names=option.split_names(column_names),
        categorical=option.split_names(categorical),
        drop_columns=option.split_names(drop),
        drop_missing_rows=drop_missing_rows,
    )
    chosen = _file_rows(spec) if config is None else _member_rows(config, rows)
    prediction = _predict(model, contract, chosen)
    if out is not None:
        _write(out, prediction)
    _print(prediction, as_json=as_json)


def _file_rows(spec: "DataSpec") -> "Rows":
    from fednode.learning.sources import read_rows

    return read_rows(spec.source, spec)


def _member_rows(config: Path, name: RowSetName) -> "Rows":
    from fednode.config import load_config
    from fednode.errors import ConfigError
    from fednode.learning.site_data import load_site

    data = load_config(config).data
    if data is None:
        raise ConfigError(f"expected a section [data] in {config}, got none; use --data")
    if name is RowSetName.ALL:
        return _file_rows(data.spec())
    rows = getattr(load_site(data.spec()), name.value)
    if rows is None:
        raise ConfigError(f"expected {name.value} rows in {config}, got none; name other --rows")
    chosen: Rows = rows
    return chosen


def _predict(model: Path, contract: "Contract", rows: "Rows") -> "Prediction":
    from fednode.prediction import load_model_values, predict

    return predict(contract, load_model_values(model, contract), rows)


def _write(path: Path, prediction: "Prediction") -> None:
    from fednode.founding.genesis_files import save_new

    triples = zip(
        prediction.probabilities.tolist(),
        prediction.is_positive.tolist(),
        prediction.labels.tolist(),
        strict=True,
    )
    lines = ["row,probability,predicted,label"]
    lines += [
        f"{row},{probability:.6f},{int(predicted)},{int(label)}"
        for row, (probability, predicted, label) in enumerate(triples)
    ]
    save_new(path, ("\n".join(lines) + "\n").encode())


def _print(prediction: "Prediction", *, as_json: bool) -> None:
    area = prediction.area_under_curve
    data = {
        "rows": len(prediction.labels),
        "predicted_positive": int(prediction.is_positive.sum()),
        "positive": int(prediction.labels.sum()),
        "accuracy": prediction.accuracy,
        "auc": area,
    }
    if as_json:
        print_json(data)
        return
    print_pairs(
        [
            ("rows", data["rows"]),
            ("positive", f"{data['predicted_positive']} predicted, {data['positive']} observed"),
            ("accuracy", f"{prediction.accuracy:.4f}"),
            ("AUC", "one class only" if area is None else f"{area:.4f}"),
        ]
    )
