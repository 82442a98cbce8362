"""Columns as the rest of the package needs them: identifiers, seconds, numbers, titles, or a message with the row."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

from llara.data.tables import Table
from llara.errors import DataError

TimeUnit = Literal["s", "ms", "us", "ns", "order"]

CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_DECIMAL_INTEGER = r"^-?[0-9]+\.0*$"
_DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f")
_ZONED_FORMAT = "%Y-%m-%d %H:%M:%S%.f%z"
_PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "order": 1}
_LIKELY_LATEST = 10**11
"""As seconds the year 5138, as milliseconds 1973: most times above it are milliseconds."""
_WHITE = r"[\s\p{Cc}]+"


class UnclearTimeUnitError(DataError):
    """Numbers that are hardly seconds.

    Attributes:
        unit: What they probably count.
    """

    def __init__(self, source: str, column: str, example: int, unit: TimeUnit) -> None:
        self.unit: TimeUnit = unit
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(example // _PER_SECOND[unit], 10**11))
        super().__init__(
            f"{source}: {column} {example} would be far in the future as seconds, and {moment:%Y-%m-%d} in {unit}. "
            f"Pass --time-unit {unit} if that is right, or --time-unit s if they are seconds."
        )


def id_column(table: Table, name: str, option: str) -> pl.Series:
    """Identifiers as int64 where every one of them is an integer, else as strings.

    Texts such as "007" or "1.0" stay texts: as numbers they could fall together with others.

    Raises:
        DataError: If the column or a value is missing, or the type can be no identifier.
    """
    values = table.column(name, option)
    if values.dtype == pl.String:
        values = values.str.strip_chars()
        values = values.set(values == "", None)
    _refuse(table, values.is_null(), values, f"{name} is missing; every row needs one")
    if values.dtype.is_float():
        whole = (values == values.round(0)).fill_null(False)
        _refuse(table, ~whole, values, f"{name} {{}} is not a whole number; identifiers are integers or texts")
        return _as_int64(table, values, name)
    if values.dtype.is_integer():
        return _as_int64(table, values, name)
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        raise DataError(f"{table.source}: column {name!r} is {values.dtype}; identifiers are integers or texts.")
    _refuse(table, values.str.contains("\n", literal=True), values, f"{name} {{}} spans several lines; a stray quote?")
    whole = values.str.contains(CANONICAL_INTEGER)
    if whole.all():
        return values.cast(pl.Int64)
    decimal = values.str.contains(_DECIMAL_INTEGER)
    if whole.any() and (whole | decimal).all():
        # "12" and "12.0" in one column are the same thing written twice, as after a missing value made integers floats.
        _refuse(table, decimal, values, f"{name} {{}} is a decimal number, others are whole")
    return values


def same_kind(*columns: pl.Series) -> list[pl.Series]:
    """Identifiers of one thing from two tables, all integers or all strings."""
    if all(column.dtype == pl.Int64 for column in columns):
        return list(columns)
    return [column.cast(pl.String) for column in columns]


def time_column(table: Table, name: str, option: str, *, unit: TimeUnit | None = "s") -> pl.Series:
    """Whole seconds since 1970 (UTC) from numbers, ISO 8601 texts, dates or datetimes.

    Args:
        table: Where the column is.
        name: Its name.
        option: The command line's option that names it, for messages.
        unit: What numbers count; "order": places in an order. None: seconds, unless they can hardly be seconds.

    Raises:
        UnclearTimeUnitError: If `unit` is None and most numbers are more likely milliseconds or less.
        DataError: If the column is missing, or a value is missing, negative or no time; the message names its row.
    """
    values = table.column(name, option)
    if values.dtype in (pl.Date, pl.Datetime):
        seconds = values.dt.epoch("s")
    elif values.dtype == pl.String:
        seconds = _seconds_from_text(values, unit, table, name)
    elif values.dtype.is_float():
        whole = values.set(values != values.round(0), None).cast(pl.Int64, strict=False)
        seconds = _to_seconds(whole, unit, table, name)
    elif values.dtype.is_integer():
        seconds = _to_seconds(values.cast(pl.Int64, strict=False), unit, table, name)
    else:
        raise DataError(f"{table.source}: column {name!r} is {values.dtype}; timestamps are seconds or ISO dates.")
    _refuse(table, seconds.is_null(), values, f"timestamp {{}} ({name}) is neither whole seconds nor an ISO 8601 date")
    _refuse(table, seconds < 0, values, f"timestamp {{}} ({name}) is before 1970")
    return seconds.alias("timestamp")


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
    _refuse(table, ~numbers.is_finite().fill_null(False), values, f"{name} {{}} is not a number")
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
    _refuse(table, (titles == "").fill_null(True), values, f"{name} is empty or missing; every item needs a title")
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


def _seconds_from_text(values: pl.Series, unit: TimeUnit | None, table: Table, name: str) -> pl.Series:
    text = values.str.strip_chars()
    number = text.cast(pl.Float64, strict=False)
    whole = number.set(number != number.round(0), None).cast(pl.Int64, strict=False)
    seconds = _to_seconds(text.cast(pl.Int64, strict=False).fill_null(whole), unit, table, name)
    if seconds.null_count() == 0:
        return seconds
    dates = text.str.replace(r"^(\d{4}-\d\d-\d\d)T", "$1 ").str.replace(r"[Zz]$", "+00:00")
    moments = [dates.str.to_datetime(form, strict=False, time_unit="ms", time_zone="UTC") for form in _DATE_FORMATS]
    moments.append(dates.str.to_datetime(_ZONED_FORMAT, strict=False, time_unit="ms", time_zone="UTC"))
    for moment in moments:
        seconds = seconds.fill_null(moment.dt.epoch("s"))
    return seconds


def _to_seconds(numbers: pl.Series, unit: TimeUnit | None, table: Table, name: str) -> pl.Series:
    if unit is None:
        unit = "s"
        middle = numbers.median()
        for finer, per_second in _PER_SECOND.items():
            if isinstance(middle, int | float) and per_second > 1 and middle > _LIKELY_LATEST * per_second / 1000:
                unit = finer
        if unit != "s":
            raise UnclearTimeUnitError(table.source, name, int(numbers.drop_nulls()[0]), unit)
    return numbers if _PER_SECOND[unit] == 1 else numbers // _PER_SECOND[unit]


def _as_int64(table: Table, values: pl.Series, name: str) -> pl.Series:
    numbers = values.cast(pl.Int64, strict=False)
    _refuse(table, numbers.is_null(), values, f"{name} {{}} does not fit 64 bits")
    return numbers


def _refuse(table: Table, wrong: pl.Series, values: pl.Series, message: str) -> None:
    rows = wrong.arg_true()
    if len(rows):
        row = int(rows[0])
        found = message.replace("{}", repr(values[row]))
        raise DataError(f"{table.locate(row)}: {found} ({len(rows):,} such rows). Mend or drop them.")
