"""Transcripts: commands and exactly what they print, in text files that people read too.

A file is made of paragraphs. One of comments (`# ...`) stays as it is; any other is commands, one
per line, then `----`, then their output. `pytest --update-transcripts` writes the output anew.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest

RULE: Final = "----"
Interpreter: TypeAlias = Callable[[str, list[str], dict[str, str]], Iterable[str]]
"""From a command's name, its words and its `name=value` options to the lines that it prints."""


def replayed(text: str, interpreter: Interpreter) -> str:
    """Return the file as it would be written now."""
    paragraphs = (paragraph for paragraph in text.strip().split("\n\n") if paragraph.strip())
    return "\n\n".join(_replayed(paragraph, interpreter) for paragraph in paragraphs) + "\n"


def _replayed(paragraph: str, interpreter: Interpreter) -> str:
    lines = paragraph.strip().splitlines()
    if all(line.startswith("#") for line in lines):
        return "\n".join(lines)
    commands = lines[: lines.index(RULE)] if RULE in lines else lines
    output = [line for command in commands for line in _run(command, interpreter)]
    return "\n".join([*commands, RULE, *(output or ["nothing"])])


def _run(command: str, interpreter: Interpreter) -> Iterator[str]:
    name, *rest = command.split()
    words = [word for word in rest if "=" not in word]
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    yield from interpreter(name, words, options)


def check_transcript(path: Path, interpreter: Interpreter, config: pytest.Config) -> None:
    """Compare a file with what its commands print now, or write it anew."""
    text = path.read_text(encoding="utf-8")
    now = replayed(text, interpreter)
    if config.getoption("--update-transcripts"):
        path.write_text(now, encoding="utf-8")
    else:
        assert now == text, f"{path.name}: look at the difference, then --update-transcripts"
