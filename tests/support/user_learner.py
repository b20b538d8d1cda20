"""A learner as a user writes it, in a file, and the mistakes that users make in it."""

from pathlib import Path

from fednode.learning.learner_file import OwnCode

NAME = "my_learner.py"
MODEL = f"{NAME}:MyLearner"
SOURCE = '''\
import numpy as np

from fednode.learning.learner import FitResult


class MyLearner:
    """Linear scores, trained by whole-batch gradient descent on the squared error."""

    def __init__(self, settings, n_features, data):
        self.settings, self.n_features, self.data = settings, n_features, data

    def initial_parameters(self, rng):
        return {"slope": rng.normal(0.0, 0.01, self.n_features), "offset": np.zeros(1)}

    def fit(self, parameters, context):
        rows = self.data["training"]
        slope, offset = parameters["slope"].copy(), parameters["offset"].copy()
        for _ in range(context.settings.local_steps):
            error = rows.features @ slope + offset - rows.labels
            slope -= context.settings.learning_rate * rows.features.T @ error / len(error)
            offset -= context.settings.learning_rate * error.mean()
        delta = {"slope": slope - parameters["slope"], "offset": offset - parameters["offset"]}
        loss = float((error**2).mean())
        # mistake
        return FitResult(delta=delta, samples=len(rows.labels), metrics={"loss": loss})

    def evaluate(self, parameters, context):
        rows = self.data[context.rows]
        scores = rows.features @ parameters["slope"] + parameters["offset"]
        accuracy = float(np.mean((scores > 0.5) == (rows.labels > 0.5)))
        return {"samples": len(rows.labels), "accuracy": accuracy}
'''
MISTAKES = {
    "another shape": 'delta["slope"] = np.append(delta["slope"], 0.0)',
    "no number": 'delta["slope"] = delta["slope"].astype(str)',
    "complex": 'delta["slope"] = delta["slope"] + 1j',
    "NaN": 'delta["offset"] = np.array([np.nan])',
    "NaN loss": 'loss = float("nan")',
    "exception": 'raise ValueError("the rows\\nare odd")',
    "exit": 'raise SystemExit("enough")',
    "nothing returned": "return None",
    "another name": 'delta["bias"] = delta.pop("offset")',
    "missing package": "import no_such_package",
    "text for a figure": 'loss = "low"',
}
"""Python statements to put in place of the comment `# mistake`, by what is wrong with them."""


def source_with(mistake: str = "", *, from_training_round: int = 1) -> str:
    """The learner's text, with a mistake that is made from some training round on."""
    if not mistake:
        return SOURCE
    condition = f"if context.training_round >= {from_training_round}:"
    return SOURCE.replace("# mistake", f"{condition}\n            {mistake}")


def write_learner(folder: Path, source: str = SOURCE) -> OwnCode:
    """Write the file of a learner."""
    file = folder / NAME
    file.write_text(source, encoding="utf-8")
    return OwnCode(file=file)
