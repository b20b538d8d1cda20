"""Cards as files: readable JSON that people hand on, and one clear error for what is none."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fednode.errors import ConfigError

CardT = TypeVar("CardT", bound=BaseModel)


def write_card(path: Path, card: BaseModel) -> None:
    """Write a card as readable JSON.

    Raises:
        ConfigError: If it cannot be written.
    """
    try:
        path.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another file") from None


def read_card(
    path: Path, card_class: type[CardT], *, what: str, bytes_max: int, origin: str, remedy: str
) -> CardT:
    """Return the card in a file; whether it is its maker's is for the caller to check.

    Args:
        path: The file.
        card_class: What it must hold.
        what: The name of such a card in errors, with its article.
        bytes_max: Largest file that is read.
        origin: What to do when there is no such file.
        remedy: What to do when it holds something else.

    Raises:
        ConfigError: If the file cannot be read, is too large or holds no such card.
    """
    try:
        size = path.stat().st_size
        if size > bytes_max:
            raise ConfigError(
                f"{path}: expected {what} of at most {bytes_max} bytes, got {size}; {remedy}"
            )
        return card_class.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"expected {what} at {path}, got: {error.strerror}; {origin}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(
            f"{path}: expected {what}, got a wrong {place} ({first['msg']}); {remedy}"
        ) from None
