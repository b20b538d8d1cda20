"""Export the newest model as anybody would, and prove and judge what the file says."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from fednode.config import NodeConfig, load_config
from fednode.learning.sources import read_rows
from fednode.prediction import load_model_values, predict, predicts_two_classes
from fednode.testnet.children import child_environment
from fednode.testnet.report import Report
from fednode.testnet.site_files import data_section
from ledger.audit_report import finding_line
from ledger.genesis import Contract
from ledger.model_file import model_findings

EXPORT_S_MAX: Final = 120.0


def check_model(report: Report) -> Report:
    """Return the report with what an exported model file is worth.

    `fednode model export` writes the file; it must hold the model that the ledger names, and it is
    judged on the held-out rows by what `fednode model predict` uses.
    """
    if not report.heights:
        return report
    folder, contract = report.folder, report.genesis.contract
    best = max(report.checks, key=lambda check: check.height)
    why = _export(folder.member(best.name), folder.model_file)
    if why:
        return replace(report, model_problems=(f"the model could not be exported: {why}",))
    found = model_findings(folder.model_file.read_bytes(), contract, best.blocks)
    report = replace(report, model_problems=tuple(finding_line(each) for each in found))
    if found or not predicts_two_classes(contract) or not folder.test_rows.is_file():
        return report
    config = load_config(folder.config(best.name))
    return replace(report, metrics=_judge(folder.model_file, folder.test_rows, config, contract))


def _judge(model: Path, rows: Path, config: NodeConfig, contract: Contract) -> dict[str, float]:
    categorical = config.data.categorical if config.data is not None else ()
    test = read_rows(str(rows), data_section(rows, categorical).spec())
    prediction = predict(contract, load_model_values(model, contract), test)
    metrics = {"samples": float(len(test)), "accuracy": prediction.accuracy}
    if prediction.area_under_curve is not None:
        metrics["auc"] = prediction.area_under_curve
    return metrics


def _export(member: Path, out: Path) -> str:
    """Return why `fednode model export` failed; empty if it did not."""
    out.unlink(missing_ok=True)
    command = (sys.executable, "-m", "fednode", "model", "export", str(member), "--out", str(out))
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=child_environment(),
            timeout=EXPORT_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"'fednode model export' did not end within {EXPORT_S_MAX:.0f} s"
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
