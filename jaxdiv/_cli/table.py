"""Columns of numbers from a CSV file, or a clear word about why not."""

import csv
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .errors import InputError


class Column(NamedTuple):
    """The numbers of one column and where they came from."""

    name: str
    values: Float[np.ndarray, " n"]
    source: str


class _Table(NamedTuple):
    names: list[str]
    rows: list[list[str]]
    lines: list[int]


def read_column(path: Path, name: str | None) -> Column:
    """The column called `name` of a comma-separated file; the only one with numbers if None.

    The first row names the columns, unless all of it is numbers: then there is no header, and the
    columns are called 1, 2, ...

    Args:
        path: the file, in UTF-8.
        name: the column's name.

    Raises:
        InputError: where the file, the column or a cell of it cannot be used.
    """
    table = _read_table(path)
    return _column(path, table, _only_numeric_column(path, table) if name is None else name)


def read_columns(path: Path, names: tuple[str, ...]) -> tuple[Column, ...]:
    """The columns of these names, as `read_column` reads each; the only one if there are none."""
    if len(names) < 2:
        return (read_column(path, names[0] if names else None),)
    table = _read_table(path)
    return tuple(_column(path, table, name) for name in names)


def _column(path: Path, table: _Table, name: str) -> Column:
    if name not in table.names:
        raise InputError(f"{path} has no column {name!r}: it has {_listed(table.names)}.")
    if table.names.count(name) > 1:
        raise InputError(f"{path} has {table.names.count(name)} columns called {name!r}.")
    at = table.names.index(name)
    values = [
        _number(row[at], f"{path}, line {line}, column {name!r}")
        for row, line in zip(table.rows, table.lines, strict=True)
    ]
    return checked_column(Column(name, np.array(values, float), str(path)))


def checked_column(column: Column) -> Column:
    """The column, which has at least two distinct values of a spread that float64 can hold."""
    name, values, source = column
    distinct = np.unique(values).size
    if distinct < 2:
        raise InputError(
            f"{source}, column {name!r}: at least 2 distinct values are needed, "
            f"got {values.size} value{'s' * (values.size != 1)}, {distinct} distinct."
        )
    with np.errstate(over="ignore", under="ignore"):
        spread = values.std()
    if not np.finfo(float).tiny < spread < np.inf:
        raise InputError(
            f"{source}, column {name!r}: the standard deviation ({spread:g}) does not fit into "
            "float64; change the units."
        )
    return column


def _read_table(path: Path) -> _Table:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: a CSV file is needed.") from None
    reader = csv.reader(io.StringIO(text.rstrip(), newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            rows.append([cell.strip() for cell in row])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}.") from None
    if not rows:
        raise InputError(f"{path} is empty.")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{path}, line {line} has {len(row)} cells where the first row has {len(rows[0])}."
            )
    if all(_is_number(cell) for cell in rows[0]):
        return _Table([str(i + 1) for i in range(len(rows[0]))], rows, lines)
    if len(rows) == 1:
        raise InputError(f"{path} has a header and no rows.")
    return _Table(rows[0], rows[1:], lines[1:])


def _only_numeric_column(path: Path, table: _Table) -> str:
    # A column with a single number in it counts: else a misprint in the column that was meant
    # would silently pick another one.
    numeric = [
        name
        for at, name in enumerate(table.names)
        if any(_is_number(row[at]) for row in table.rows)
    ]
    if len(numeric) == 1 or len(table.names) == 1:
        return (numeric or table.names)[0]
    if not numeric:
        raise InputError(f"{path} has no column of numbers: it has {_listed(table.names)}.")
    raise InputError(
        f"{path} has {len(numeric)} columns of numbers: choose one of {_listed(numeric)} "
        "with --column."
    )


def _number(cell: str, where: str) -> float:
    if not cell:
        raise InputError(f"{where} is empty.")
    if not _is_number(cell):
        shown = cell if len(cell) <= 30 else cell[:27] + "..."
        hint = " (cells are separated by commas)" if ";" in cell or "\t" in cell else ""
        raise InputError(f"{where} is not a number: {shown!r}{hint}.")
    value = float(cell)
    if not math.isfinite(value):
        raise InputError(f"{where} is not finite: {cell!r}.")
    return value


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # float("1_000") is 1000 in Python and in no CSV file


def _listed(names: list[str]) -> str:
    shown = [repr(name) for name in names[:12]]
    return ", ".join(shown + ["..."] * (len(names) > 12))
