"""Write the rows of each site to a file of its own, so that a member's folder holds no others."""

import csv
from pathlib import Path

import numpy as np

from fednode.config import DataSection, NodeConfig
from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError
from fednode.learning.preprocessing import preprocess
from fednode.learning.rows import Rows
from fednode.learning.sources import read_rows
from fednode.testnet.folders import LABEL
from ledger.genesis import Feature


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows as CSV: numbers exactly, missing ones as empty cells, the label last.

    Raises:
        DataError: If a column is called like the label.
    """
    names = (*rows.names, *rows.categorical_names)
    if LABEL in names:
        raise DataError(f"a column of the data is called {LABEL!r}: rename it, or drop it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, LABEL])
        for numbers, texts, label in zip(
            rows.numbers.tolist(), rows.categories.tolist(), rows.labels.tolist(), strict=True
        ):
            # The shortest text that gives the same number again; a gap is a NaN.
            cells = ["" if np.isnan(value) else repr(value) for value in numbers]
            writer.writerow([*cells, *texts, int(label)])


def data_section(source: Path, categorical: tuple[str, ...]) -> DataSection:
    """Return how a member's configuration names a file that `write_rows` wrote."""
    return DataSection(source=str(source), label=LABEL, categorical=categorical)


def load_rows(path: Path, config: NodeConfig, features: tuple[Feature, ...]) -> Dataset:
    """Read a file that `write_rows` wrote as inputs of the model.

    Args:
        path: The file.
        config: Configuration of any member of the network: all describe their columns equally.
        features: Those of the contract.

    Raises:
        DataError: If the file cannot be read or lacks a feature.
    """
    categorical = config.data.categorical if config.data is not None else ()
    spec = data_section(path, categorical).spec()
    return preprocess(read_rows(str(path), spec), features)
