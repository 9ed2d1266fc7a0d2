"""Figures and tables as plain ASCII text."""

from __future__ import annotations

from collections.abc import Container, Sequence

__all__ = ["figure", "grid"]


def figure(value: float, decimals: int = 3) -> str:
    """A number to read: fixed decimals, or four digits with an exponent where those would hide it.

    >>> figure(0.12345), figure(0.0000123), figure(1234567.8), figure(12.0, 0)
    ('0.123', '1.2e-05', '1234568', '12')
    """
    size = abs(value)
    if size and size < 0.5 * 10.0**-decimals and decimals:
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 1e5 else f"{value:.{decimals}f}"


def grid(rows: Sequence[Sequence[str]], *, right: Container[int] = (), header: int = 1) -> str:
    """Aligned columns under ``header`` ruled rows; columns whose number is in ``right`` are aligned right.

    >>> print(grid([["a", "b"], ["x", "10"], ["long", "9"]], right=(1,)))
    a      b
    ----  --
    x     10
    long   9
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    body = [*rows[:header], ["-" * width for width in widths], *rows[header:]]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in body
    )
