"""Exported models, and predictions by them with and without labels."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fednode.config import BrokerSection, DataSection, NodeConfig, NodeSection, write_config
from fednode.errors import ConfigError
from fednode.learning.calibration import fit_platt
from fednode.learning.data_spec import DataSpec
from fednode.learning.errors import DataError
from fednode.learning.preprocessing import preprocess
from fednode.learning.site_data import load_site
from fednode.learning.sources import read_rows
from fednode.prediction import load_model_values, predict
from fednode.prediction_rows import Layout, read_feature_rows
from ledger.genesis import Feature
from tests.fednode.cli.support import ROWS, Made, invoke, json_of


def test_exported_model_is_one_that_safetensors_reads(made: Made, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    invoke("model", "export", made.member(0), "--out", model)

    tensors = load_file(model)

    flat = np.concatenate(
        [tensors[spec.name].ravel() for spec in made.genesis.contract.model.tensors]
    )
    assert flat.tolist() == load_model_values(model, made.genesis.contract).tolist()


def test_model_of_any_height_can_be_exported(made: Made, tmp_path: Path) -> None:
    ids = [block["model_id"] for block in json_of("ledger", "log", made.member(3))]

    for height in (1, 2, 3):
        out = tmp_path / f"{height}"
        said = invoke("model", "export", made.member(3), "--out", out, "--height", height).output
        assert ids[height - 1] in said
    best = invoke("model", "export", made.member(3), "--out", tmp_path / "best", "--best").output
    assert made.genesis.contract.model.initial_model_id.hex() in best
    with pytest.raises(ConfigError, match="height of a block that made a model, got 4"):
        invoke("model", "export", made.member(3), "--out", tmp_path / "4", "--height", 4)


def test_damaged_or_pruned_model_is_not_exported(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.member(0), tmp_path / "copy")
    model_id = json_of("ledger", "log", made.member(0))[-1]["model_id"]
    body = tmp_path / "copy" / "blobs" / model_id

    body.write_bytes(body.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ConfigError, match="got other bytes; the file is damaged"):
        invoke("model", "export", tmp_path / "copy", "--out", tmp_path / "m")
    body.unlink()
    with pytest.raises(ConfigError, match="its node may have pruned it"):
        invoke("model", "export", tmp_path / "copy", "--out", tmp_path / "m")


def test_predictions_are_those_of_the_formula(made: Made, tmp_path: Path) -> None:
    model, out = tmp_path / "m.safetensors", tmp_path / "p.csv"
    invoke("model", "export", made.member(0), "--out", model)

    data = json_of(
        "model", "predict", model, "--genesis", made.genesis_file, "--data", made.rows,
        "--out", out,
    )  # fmt: skip

    contract = made.genesis.contract
    weights = load_model_values(model, contract) / 2.0**16
    expected, hits = [], 0
    with made.rows.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            margin = weights[-1] + sum(
                weight * (float(row[each.name]) - float(each.mean)) / float(each.scale)
                for weight, each in zip(weights, contract.data.features, strict=False)
            )
            expected.append(1.0 / (1.0 + np.exp(-margin)))
            hits += (expected[-1] > 0.5) == (row["sick"] == "1")
    with out.open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert data["rows"] == ROWS
    assert data["accuracy"] == pytest.approx(hits / data["rows"])
    assert data["accuracy"] > 0.9
    assert [float(row["probability"]) for row in written] == pytest.approx(expected, abs=1e-6)


def test_rows_without_labels_are_predicted_all_the_same(made: Made, tmp_path: Path) -> None:
    model, new, out = tmp_path / "m", tmp_path / "new.csv", tmp_path / "p.csv"
    new.write_text("name,dose,age\nX,1,11\nY,,0\n", encoding="utf-8")
    invoke("model", "export", made.member(0), "--out", model)
    arguments = ("model", "predict", model, "--genesis", made.genesis_file, "--data", new)

    data = json_of(*arguments)
    text = invoke(*arguments, "--out", out).output

    assert (data["rows"], data["labelled"], data["predicted_positive"]) == (2, 0, 1)
    assert (data["accuracy"], data["auc"]) == (None, None)
    assert "accuracy" not in text
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[2:] for line in lines[1:]] == [["1", ""], ["0", ""]]


def test_accuracy_is_that_of_the_rows_with_a_label(made: Made, tmp_path: Path) -> None:
    model, new = tmp_path / "m", tmp_path / "new.csv"
    new.write_text("age,dose,sick\n11,1,1\n0,1,1\n11,1,0\n0,2,\n", encoding="utf-8")
    invoke("model", "export", made.member(0), "--out", model)

    data = json_of("model", "predict", model, "--genesis", made.genesis_file, "--data", new)

    assert (data["predicted_positive"], data["labelled"], data["positive"]) == (2, 3, 2)
    assert data["accuracy"] == pytest.approx(1 / 3)
    assert data["auc"] == pytest.approx(0.25)


def test_labels_judge_probabilities_and_name_a_threshold(made: Made, tmp_path: Path) -> None:
    model = tmp_path / "m"
    invoke("model", "export", made.member(0), "--out", model)
    arguments = ("model", "predict", model, "--genesis", made.genesis_file, "--data", made.rows)

    data = json_of(*arguments)
    by_best = json_of(*arguments, "--threshold", data["best_threshold"])
    text = invoke(*arguments, "--threshold", 1).output

    rates = data["best_sensitivity"], data["best_specificity"]
    negative, positive = ROWS - data["positive"], data["positive"]
    assert 0.0 < data["brier"] < 0.25
    assert 0.0 < data["calibration_error"] < 0.5
    assert by_best["accuracy"] * ROWS == pytest.approx(rates[0] * positive + rates[1] * negative)
    assert "0 above 1\n" in text
    assert f"accuracy            {negative / ROWS:.4f}" in text
    assert f"best threshold      {data['best_threshold']:.4f}: sensitivity" in text


def test_probabilities_are_calibrated_by_a_members_hold_out(made: Made, tmp_path: Path) -> None:
    model, config, out = tmp_path / "m", tmp_path / "node.toml", tmp_path / "p.csv"
    section = DataSection(
        source=str(made.rows), label="sick", drop_columns=("site",), hold_out_fraction=0.5
    )
    broker = BrokerSection(url="mqtt://h")
    write_config(config, NodeConfig(node=NodeSection(name="x"), broker=broker, data=section))
    invoke("model", "export", made.member(0), "--out", model)
    of, values = made.genesis.contract, load_model_values(model, made.genesis.contract)
    rows = load_site(section.spec())
    assert rows.hold_out is not None
    curve = fit_platt(predict(of, values, rows.hold_out).probabilities, rows.hold_out.labels)

    invoke(
        "model", "predict", model, "--genesis", made.genesis_file, "--config", config,
        "--rows", "training", "--calibrate-by", config, "--out", out,
    )  # fmt: skip

    with out.open(encoding="utf-8") as file:
        written = [float(row["probability"]) for row in csv.DictReader(file)]
    plain = predict(of, values, rows.training).probabilities
    assert written == pytest.approx(curve.apply(plain).tolist(), abs=1e-6)
    assert written != pytest.approx(plain.tolist(), abs=1e-3)


def test_rows_of_a_member_are_predicted_by_its_configuration(made: Made, tmp_path: Path) -> None:
    model, config = tmp_path / "m", tmp_path / "node.toml"
    data = DataSection(source=str(made.rows), label="sick", site_column="site", site="0")
    broker = BrokerSection(url="mqtt://h")
    write_config(config, NodeConfig(node=NodeSection(name="x"), broker=broker, data=data))
    invoke("model", "export", made.member(0), "--out", model)
    arguments = ("model", "predict", model, "--genesis", made.genesis_file, "--config", config)

    assert json_of(*arguments)["rows"] == ROWS
    assert json_of(*arguments, "--rows", "training")["rows"] == ROWS // 2
    with pytest.raises(ConfigError, match=r"expected test rows in .*, got none"):
        invoke(*arguments, "--rows", "test")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age,sick\n1,1\n", "expected a column for the contract's feature 'dose', got age, sick"),
        ("age,dose\n1,old\n", "line 2 column 'dose' is 'old': expected a finite number"),
        ("age,dose\n1,inf\n", "line 2 column 'dose' is 'inf': expected a finite number"),
        ("age,dose\n1\n", "line 2 has 1 cells, expected 2"),
        ("age,dose\n", "expected rows below the names of the columns, got none"),
        ("", "expected rows"),
    ],
)
def test_rows_that_the_model_cannot_use_are_refused(
    made: Made, tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "new.csv").write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=expected):
        read_feature_rows(tmp_path / "new.csv", made.genesis.contract, Layout())


def test_categories_are_found_in_the_column_of_their_indicators(tmp_path: Path, made: Made) -> None:
    of = made.genesis.contract
    features = tuple(
        Feature(name=name, mean="0", scale="1") for name in ("age", "pain=2", "pain=3")
    )
    contract = replace(of, data=replace(of.data, features=features))
    (tmp_path / "new.csv").write_text("4,2.0,1\n5,,0\n", encoding="utf-8")
    layout = Layout(has_header=False, names=("age", "pain", "sick"))

    rows = read_feature_rows(tmp_path / "new.csv", contract, layout)

    assert preprocess(rows, features).features.tolist() == [[4, 1, 0], [5, 0, 0]]
    assert rows.labels.tolist() == [1.0, 0.0]


def test_predict_needs_exactly_one_source(made: Made, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    invoke("model", "export", made.member(0), "--out", model)

    result = invoke("model", "predict", model, "--genesis", made.genesis_file)

    assert result.exit_code == 2
    assert "either --data or --config" in result.output


def test_own_learner_cannot_be_predicted_with_here(made: Made) -> None:
    contract = made.genesis.contract
    own = replace(contract, model=replace(contract.model, architecture="package.module:make"))
    spec = DataSpec(source=str(made.rows), drop_columns=("site",))

    with pytest.raises(ConfigError, match="expected a built-in model"):
        predict(own, np.zeros(3, np.int32), read_rows(spec.source, spec))


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a model"])
def test_file_that_is_no_model_is_refused(made: Made, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m").write_bytes(data)

    with pytest.raises(ConfigError, match=r"expected a model file, got: .*; export it again"):
        load_model_values(tmp_path / "m", made.genesis.contract)
