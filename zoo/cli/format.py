"""How the commands write numbers and tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def count(number: float) -> str:
    """Four digits and a unit: 3.505 M."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= limit:
            return f"{number / limit:#.4g}{unit}"
    return f"{number:.4g}"


def figure(number: float) -> str:
    """A published figure: an int is an exact count and written whole, a float is rounded and written by `count`."""
    return f"{number:,}" if isinstance(number, int) else count(number)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """Prints a table, a line a row; columns named in `right` are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    if not console.is_terminal:
        console.width = 1000  # A pipe has no width, and lines cut off at 80 columns would be of no use in it.
    console.print(table)
