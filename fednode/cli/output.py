"""What commands print: tables on a terminal, plain lines elsewhere, JSON on request."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def print_json(data: object) -> None:
    """Print plain data as indented JSON."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print rows below their column names; without colours or frames unless on a terminal."""
    texts = [[printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, texts, title)
        return
    if title:
        print(title)
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for row in (columns, *texts):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def print_pairs(pairs: Sequence[tuple[str, object]], title: str = "") -> None:
    """Print names and values, one pair per line."""
    if title:
        print(printable(title))
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name.ljust(width)}  {printable(str(value))}")


def printable(text: str) -> str:
    """Return text without line breaks and terminal escapes, which names from a file may hold."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _print_rich(columns: Sequence[str], texts: Sequence[Sequence[str]], title: str) -> None:
    # Imported here: rich takes 50 ms, which programs that read our output need not spend.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Without frames most of our tables fit into 80 columns.
    table = Table(*columns, title=title or None, box=None, padding=(0, 1, 0, 0))
    for row in texts:
        cells: list[Any] = [Text(cell) for cell in row]
        table.add_row(*cells)
    Console().print(table)
