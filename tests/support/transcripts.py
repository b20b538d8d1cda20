"""Transcripts: commands and exactly what they print, in text files that people read too.

A file is made of paragraphs. One of comments (`# ...`) stays as it is; any other is commands, one
per line, then `----`, then their output. `pytest --update-transcripts` writes the output anew.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

import pytest

RULE: Final = "----"
Options: TypeAlias = dict[str, str]
Lines: TypeAlias = Iterable[str]
Interpreter: TypeAlias = Callable[[str, list[str], Options], Lines]
"""From a command's name, its words and its `name=value` options to the lines that it prints."""


class Commands:
    """An interpreter whose methods `do_NAME` are the commands; they may raise `REFUSALS`."""

    REFUSALS: ClassVar[tuple[type[Exception], ...]] = ()

    def __call__(self, name: str, words: list[str], options: Options) -> Lines:
        """Carry out one command."""
        command: Callable[[list[str], Options], Lines] = getattr(self, f"do_{name}")
        try:
            yield from command(words, options)
        except self.REFUSALS as error:
            yield from self.named(f"refused: {error}").splitlines()

    def named(self, text: str) -> str:
        """A text with names for what differs from run to run."""
        return text


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
