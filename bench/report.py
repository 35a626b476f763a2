"""What a benchmark prints: tables, and results that programs can read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, its first column to the left and numbers to the right."""
    cells = [list(head), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        first, *rest = (
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())
    print(flush=True)


def result(key: str, value: float, unit: str) -> None:
    """Print one result."""
    print(f"RESULT {key} {_text(value)} {unit}", flush=True)


def _text(cell: object) -> str:
    return f"{cell:.3f}".rstrip("0").rstrip(".") if isinstance(cell, float) else str(cell)
