"""Columns as the rest of the package needs them: identifiers, numbers, titles, or a message with the row."""

import polars as pl

from llara.data.tables import Table
from llara.errors import DataError

CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_DECIMAL_INTEGER = r"^-?[0-9]+\.0*$"
_WHITE = r"[\s\p{Cc}]+"


def id_column(table: Table, name: str, option: str) -> pl.Series:
    """Identifiers as int64 where every one of them is an integer, else as strings.

    Texts such as "007" or "1.0" stay texts: as numbers they could fall together with others.

    Raises:
        DataError: If the column or a value is missing, or the type can be no identifier.
    """
    written = values = table.column(name, option)
    if values.dtype == pl.String:
        values = values.str.strip_chars()
        values = values.set(values == "", None)
    refuse_rows(table, values.is_null(), values, f"{name} is missing; every row needs one")
    if values.dtype.is_float():
        whole = (values == values.round(0)).fill_null(False)
        refuse_rows(table, ~whole, values, f"{name} {{}} is not a whole number; identifiers are integers or texts")
        return _as_int64(table, values, name)
    if values.dtype.is_integer():
        return _as_int64(table, values, name)
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        raise DataError(f"{table.source}: column {name!r} is {values.dtype}; identifiers are integers or texts.")
    refuse_rows(
        table, values.str.contains("\n", literal=True), values, f"{name} {{}} spans several lines; a stray quote?"
    )
    whole = values.str.contains(CANONICAL_INTEGER)
    if whole.all():
        return values.cast(pl.Int64)
    decimal = values.str.contains(_DECIMAL_INTEGER)
    if whole.any() and (whole | decimal).all():
        # "12" and "12.0" in one column are the same thing written twice, as after a missing value made integers floats.
        refuse_rows(table, decimal, values, f"{name} {{}} is a decimal number, others are whole")
    if written.dtype == pl.String:
        _refuse_other_spaces(table, written, values, name)
    return values


def _refuse_other_spaces(table: Table, written: pl.Series, stripped: pl.Series, name: str) -> None:
    """Refuse texts that differ in the white space around them alone: they would fall together unseen."""
    spaced = written != stripped
    if spaced.any():
        plain = stripped.filter(~spaced).unique()
        same = spaced & stripped.is_in(plain.implode())
        refuse_rows(table, same, written, f"{name} {{}} is elsewhere written without the white space around it")


def same_kind(*columns: pl.Series) -> list[pl.Series]:
    """Identifiers of one thing from two tables, all integers or all strings."""
    if all(column.dtype == pl.Int64 for column in columns):
        return list(columns)
    return [column.cast(pl.String) for column in columns]


def number_column(table: Table, name: str, option: str) -> pl.Series:
    """Finite numbers as float64.

    Raises:
        DataError: If the column is missing, or a value is missing or not a finite number; the message names its row.
    """
    values = table.column(name, option)
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        raise DataError(f"{table.source}: column {name!r} is {values.dtype}; expected numbers.")
    text = values.str.strip_chars() if values.dtype == pl.String else values
    numbers = text.cast(pl.Float64, strict=False)
    refuse_rows(table, ~numbers.is_finite().fill_null(False), values, f"{name} {{}} is not a number")
    return numbers


def title_column(table: Table, name: str, option: str) -> pl.Series:
    """Titles on one line each: every run of white space or control characters is one space.

    Raises:
        DataError: If the column is missing, or a title is missing or empty; the message names its row.
    """
    values = table.column(name, option)
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        raise DataError(f"{table.source}: column {name!r} is {values.dtype}; titles are texts.")
    titles = one_line(values.cast(pl.String))
    refuse_rows(table, (titles == "").fill_null(True), values, f"{name} is empty or missing; every item needs a title")
    return titles


def one_line(texts: pl.Series) -> pl.Series:
    """Texts with every run of white space or control characters as one space, none at the ends."""
    return texts.str.replace_all(_WHITE, " ").str.strip_chars(" ")


def refuse_duplicates(table: Table, ids: pl.Series) -> None:
    """Raise DataError where an identifier appears a second time."""
    repeated = (~ids.is_first_distinct()).arg_true()
    if len(repeated):
        second = int(repeated[0])
        first = int((ids == ids[second]).arg_true()[0])
        raise DataError(
            f"{table.locate(second)}: {ids.name} {ids[second]!r} appears again (first at {table.locate(first)}); "
            f"{len(repeated):,} such rows. Each item needs one row: remove the others."
        )


def refuse_unknown(
    table: Table,
    ids: pl.Series,
    known: pl.Series,
    where: str,
    *,
    remedy: str = "Add the missing items there, or drop these rows.",
) -> None:
    """Raise DataError where an identifier is not among the known ones."""
    unknown = (~ids.is_in(known.implode())).arg_true()
    if len(unknown):
        row = int(unknown[0])
        raise DataError(
            f"{table.locate(row)}: item {ids[row]!r} is not in {where} ({len(unknown):,} such rows). {remedy}"
        )


def _as_int64(table: Table, values: pl.Series, name: str) -> pl.Series:
    numbers = values.cast(pl.Int64, strict=False)
    refuse_rows(table, numbers.is_null(), values, f"{name} {{}} does not fit 64 bits")
    return numbers


def refuse_rows(table: Table, wrong: pl.Series, values: pl.Series, message: str) -> None:
    """Raise DataError with the first row where `wrong` is true; "{}" in the message stands for its value."""
    rows = wrong.arg_true()
    if len(rows):
        row = int(rows[0])
        found = message.replace("{}", repr(values[row]))
        raise DataError(f"{table.locate(row)}: {found} ({len(rows):,} such rows). Mend or drop them.")
