"""`fednode new`: a folder with a learner to change, and the command that trains it."""

from pathlib import Path
from typing import Annotated

import typer


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
    *,
    numpy: Annotated[bool, typer.Option("--numpy", help="A learner in numpy.")] = False,
    torch: Annotated[bool, typer.Option("--torch", help="A module of PyTorch.")] = False,
    sklearn: Annotated[
        bool, typer.Option("--sklearn", help="An estimator of scikit-learn.")
    ] = False,
) -> None:
    """Write a project: a learner of your own in one file, a README, and a script that trains it.

    Example: fednode new my-network --torch
    """
    from fednode.learner_project import write_project

    given = {"numpy": numpy, "torch": torch, "sklearn": sklearn}
    chosen = [name for name, is_chosen in given.items() if is_chosen]
    if len(chosen) != 1:
        raise typer.BadParameter(
            "expected one of --numpy, --torch and --sklearn, got "
            + (" and ".join(f"--{name}" for name in chosen) or "none")
        )
    for path in write_project(folder, chosen[0]):
        print(path)
    print(f"Train it on this computer: {folder / 'run'}")
