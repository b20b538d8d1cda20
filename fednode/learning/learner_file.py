"""A member's own learner as code: which file or module, which bytes, loaded from exactly these."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

from fednode.learning.dataset import Dataset
from fednode.learning.errors import SettingsError
from fednode.learning.learner import Learner, RowSet, TrainingSettings

LearnerFactory: TypeAlias = Callable[[TrainingSettings, int, Mapping[RowSet, Dataset]], Learner]
"""Makes a learner from the settings, the number of features, and the member's rows; there are no
rows where only initial parameters are wanted."""
FILE_ENDING: Final = ".py"
MODULE_NAME: Final = "fednode_own_learner"
"""Name of the module that a learner file becomes; it is nobody's to import."""
FORM: Final = "expected a learner as path.py:MyLearner or package.module:factory"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCode:
    """Where the code of a member's own learner is.

    Attributes:
        file: The file; None for a module, and for built-in models.
        sha256: Of the code, as the contract names it, in hexadecimal digits; empty where there is
            no contract yet.
    """

    file: Path | None = None
    sha256: str = ""


NO_CODE: Final = OwnCode()


def parse_learner(text: str) -> tuple[str, Path | None]:
    """Read a learner as a user names it.

    Returns:
        The model as a contract names it, without folders, and the file if it is one.

    Raises:
        SettingsError: If the text has another form.

    Examples:
        >>> parse_learner("work/my_learner.py:MyLearner")
        ('my_learner.py:MyLearner', PosixPath('work/my_learner.py'))
    """
    code, _, name = text.rpartition(":")
    if not code or not name.isidentifier():
        raise SettingsError(f"{FORM}, got {text!r}")
    if not code.endswith(FILE_ENDING):
        return text, None
    file = Path(code).expanduser()
    return f"{file.name}:{name}", file


def file_name_of(model: str) -> str | None:
    """Return the name of the file that holds a model's learner; None if it is in none.

    Examples:
        >>> file_name_of("my_learner.py:MyLearner")
        'my_learner.py'
    """
    code = model.rpartition(":")[0]
    return code if code.endswith(FILE_ENDING) else None


def code_hash(model: str, file: Path | None) -> bytes:
    """Return the SHA-256 of the bytes of a learner's file or module; nothing is run.

    Raises:
        SettingsError: If there is no such file or module.
    """
    if file_name_of(model) is not None:
        return sha256(_read(model, file)).digest()
    module = model.partition(":")[0]
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise SettingsError(f"there is no model or learner module {module!r}")
    return sha256(Path(spec.origin).read_bytes()).digest()


def check_code(model: str, code: OwnCode) -> None:
    """Check that a learner's code is the one that a contract names (rule P1); nothing is run.

    Raises:
        SettingsError: If there is none, or another one.
    """
    _check_hash(code_hash(model, code.file), code, str(code.file or model))


def load_factory(model: str, code: OwnCode) -> LearnerFactory:
    """Return what makes the learner; runs the user's code.

    Args:
        model: `name.py:MyLearner` or `package.module:factory`.
        code: Where `name.py` is, and what it must be.

    Raises:
        SettingsError: If the code is missing, is not the contract's, or does not hold the name.
    """
    name = model.rpartition(":")[2]
    if file_name_of(model) is None:
        _check_hash(code_hash(model, None), code, model)
        module = import_module(model.rpartition(":")[0])
    else:
        source = _read(model, code.file)  # once: what was checked is what runs
        _check_hash(sha256(source).digest(), code, str(code.file))
        module = ModuleType(MODULE_NAME)
        module.__file__ = str(code.file)
        sys.modules[MODULE_NAME] = module  # dataclasses look their module up
        exec(compile(source, str(code.file), "exec"), module.__dict__)  # noqa: S102  # the user's own
    factory: object = getattr(module, name, None)
    if not callable(factory):
        found = "nothing" if factory is None else type(factory).__name__
        raise SettingsError(
            f"expected a class or function {name!r} in {code.file or module.__name__}, got "
            f"{found}; correct the name after the colon"
        )
    made: LearnerFactory = factory
    return made


def _read(model: str, file: Path | None) -> bytes:
    if file is None:
        raise SettingsError(
            f"expected the file of the learner {model!r}, got none; name it with --learner, or as "
            "node.learner_file in the configuration"
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"expected the learner {model!r} in {file}, got: {error.strerror}; copy the file that "
            "the founders agreed on"
        ) from None


def _check_hash(found: bytes, code: OwnCode, what: str) -> None:
    if code.sha256 and found.hex() != code.sha256:
        raise SettingsError(
            f"expected {what} to be the learner of the contract, with SHA-256 {code.sha256}, got "
            f"{found.hex()}; copy the file that the founders agreed on"
        )
