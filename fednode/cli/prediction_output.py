"""What `fednode model predict` shows of a prediction, and the options that it is shown by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli.output import print_json, print_pairs

if TYPE_CHECKING:
    from fednode.prediction import Prediction

Threshold = Annotated[
    float,
    typer.Option(help="Probability above which a row is called positive.", min=-1.0, max=1.0),
]
CalibrateBy = Annotated[
    Path | None,
    typer.Option(
        help="A member's node.toml, by whose hold-out rows probabilities are calibrated (Platt).",
        metavar="FILE",
    ),
]


def write_prediction(path: Path, prediction: "Prediction") -> None:
    """Write one line per row: its number, probability, predicted class and label."""
    from math import isnan

    from fednode.founding.genesis_files import save_new

    triples = zip(
        prediction.probabilities.tolist(),
        prediction.is_positive.tolist(),
        prediction.labels.tolist(),
        strict=True,
    )
    lines = ["row,probability,predicted,label"]
    lines += [
        f"{row},{probability:.6f},{int(predicted)},{'' if isnan(label) else int(label)}"
        for row, (probability, predicted, label) in enumerate(triples)
    ]
    save_new(path, ("\n".join(lines) + "\n").encode())


def print_prediction(prediction: "Prediction", *, as_json: bool) -> None:
    """Print how many rows are called positive, and what labels say about it."""
    labels = prediction.labels.tolist()
    labelled = sum(label in {0.0, 1.0} for label in labels)
    best = prediction.best_threshold
    data = {
        "rows": len(labels),
        "threshold": prediction.threshold,
        "predicted_positive": int(prediction.is_positive.sum()),
        "labelled": labelled,
        "positive": labels.count(1.0),
        "accuracy": prediction.accuracy if labelled else None,
        "auc": prediction.area_under_curve,
        "brier": prediction.brier_score,
        "calibration_error": prediction.calibration_error,
        "best_threshold": None if best is None else best.value,
        "best_sensitivity": None if best is None else best.sensitivity,
        "best_specificity": None if best is None else best.specificity,
    }
    if as_json:
        print_json(data)
        return
    pairs: list[tuple[str, object]] = [
        ("rows", data["rows"]),
        ("predicted positive", f"{data['predicted_positive']} above {prediction.threshold:g}"),
    ]
    if labelled:
        pairs += [
            ("observed positive", f"{data['positive']} of {labelled} with a label"),
            ("accuracy", f"{prediction.accuracy:.4f}"),
        ]
        pairs += [
            (name, "one class only" if value is None else f"{value:.4f}")
            for name, value in (
                ("AUC", prediction.area_under_curve),
                ("Brier score", prediction.brier_score),
                ("calibration error", prediction.calibration_error),
            )
        ]
    if best is not None:
        rates = f"sensitivity {best.sensitivity:.4f}, specificity {best.specificity:.4f}"
        pairs.append(("best threshold", f"{best.value:.4f}: {rates} (Youden, these rows)"))
    print_pairs(pairs)
