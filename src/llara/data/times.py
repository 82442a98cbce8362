"""Times as people write them: numbers in some unit, dates, texts; or a message with the row."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

from llara.data.columns import refuse_rows
from llara.data.tables import Table
from llara.errors import DataError

TimeUnit = Literal["s", "ms", "us", "ns", "date", "order"]
"""What numbers count: seconds or parts of them since 1970, days written YYYYMMDD, or places in an order."""

_PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MICRO = 10**6
_LIKELY_LATEST = 10**11
"""As seconds the year 5138, as milliseconds 1973: most times above it are milliseconds."""
_LIKELY_EARLIEST = 10**8
"""As seconds March 1973: before that nothing was recorded that anybody recommends from."""
_DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f")
_ZONED_FORMATS = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")


class UnclearTimeUnitError(DataError):
    """Numbers that are hardly seconds.

    Attributes:
        unit: What they probably count.
    """

    def __init__(self, source: str, column: str, example: int, unit: TimeUnit) -> None:
        self.unit: TimeUnit = unit
        if unit == "date":
            found = "looks like a day written YYYYMMDD; as seconds it would be in 1970"
        else:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(example // _PER_SECOND[unit], 10**11))
            found = f"would be far in the future as seconds, and {moment:%Y-%m-%d} in {unit}"
        super().__init__(
            f"{source}: {column} {example} {found}. "
            f"Pass --time-unit {unit} if that is right, or --time-unit s if they are seconds."
        )


@dataclass(frozen=True)
class Moments:
    """Times as finely as they were written.

    Attributes:
        ticks: Since 1970 (UTC), int64; or places in an order.
        per_second: Ticks in a second; 1 for places.
    """

    ticks: pl.Series
    per_second: int

    def seconds(self) -> pl.Series:
        """Whole seconds, rounded down, as "timestamp"."""
        whole = self.ticks if self.per_second == 1 else self.ticks // self.per_second
        return whole.alias("timestamp")

    @property
    def are_finer(self) -> bool:
        """Whether seconds alone would lose their order."""
        return self.per_second != 1 and bool((self.ticks % self.per_second != 0).any())


def time_column(table: Table, name: str, option: str, *, unit: TimeUnit | None = "s") -> pl.Series:
    """Whole seconds since 1970 (UTC), as `moments` reads them.

    Raises:
        UnclearTimeUnitError: As `moments`.
        DataError: As `moments`.
    """
    return moments(table, name, option, unit=unit).seconds()


def moments(table: Table, name: str, option: str, *, unit: TimeUnit | None = "s") -> Moments:
    """Times from numbers, ISO 8601 texts, dates or datetimes.

    Args:
        table: Where the column is.
        name: Its name.
        option: The command line's option that names it, for messages.
        unit: What numbers count. None: seconds, unless they can hardly be seconds.

    Raises:
        UnclearTimeUnitError: If `unit` is None and most numbers are more likely milliseconds or less, or days.
        DataError: If the column is missing, or a value is missing, before 1970, no time, or written otherwise than the
            others; the message names its row.
    """
    values = table.column(name, option)
    if values.dtype in (pl.Date, pl.Datetime):
        found = Moments(values.cast(pl.Datetime("us")).dt.epoch("us"), _MICRO)
        _refuse_unit(table, name, unit)
    elif values.dtype == pl.String:
        found = _from_texts(values, unit, table, name)
    elif values.dtype.is_float():
        found = _from_numbers(values.set(~values.is_finite().fill_null(False), None), unit, table, name)
    elif values.dtype.is_integer():
        found = _from_numbers(values.cast(pl.Int64, strict=False), unit, table, name)
    else:
        raise DataError(f"{table.source}: column {name!r} is {values.dtype}; timestamps are seconds or ISO dates.")
    ticks = found.ticks
    refuse_rows(table, ticks.is_null(), values, f"timestamp {{}} ({name}) is neither a number nor an ISO 8601 date")
    refuse_rows(table, ticks < 0, values, f"timestamp {{}} ({name}) is before 1970")
    return found


def _from_texts(values: pl.Series, unit: TimeUnit | None, table: Table, name: str) -> Moments:
    text = values.str.strip_chars()
    whole = text.cast(pl.Int64, strict=False)
    if whole.null_count() == 0:
        return _from_numbers(whole, unit, table, name)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(False), None)
    dates = _micros_of_dates(text.set(number.is_not_null(), None))
    if dates.null_count() == len(dates):
        return _from_numbers(number, unit, table, name)
    _refuse_two_kinds(table, values, number.is_not_null(), name)
    _refuse_unit(table, name, unit)
    return Moments(dates, _MICRO)


def _micros_of_dates(text: pl.Series) -> pl.Series:
    """Microseconds since 1970 of ISO 8601 texts; null where a text is none."""
    dates = text.str.replace(r"^(\d{4}-\d\d-\d\d)T", "$1 ").str.replace(r"[Zz]$", "+00:00")
    dates = dates.str.replace(r"( \d\d:\d\d.*[+-]\d\d)$", "${1}:00")
    found = pl.Series(text.name, [None], dtype=pl.Int64).new_from_index(0, len(text))
    for form in (*_DATE_FORMATS, *_ZONED_FORMATS):
        moment = dates.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        found = found.fill_null(moment.dt.epoch("us"))
    return found


def _from_numbers(numbers: pl.Series, unit: TimeUnit | None, table: Table, name: str) -> Moments:
    """Numbers in their unit; fractions count where the unit is one of time."""
    if unit is None:
        unit = _unit_of(numbers, table, name)
        refuse_rows(
            table, numbers > _LIKELY_LATEST, numbers,
            f"{name} {{}} would be far in the future as seconds, most others would not",
        )  # fmt: skip
    if unit in ("order", "date"):
        whole = numbers.set(numbers != numbers.round(0), None) if numbers.dtype.is_float() else numbers
        places = whole.cast(pl.Int64, strict=False)
        return Moments(places if unit == "order" else _seconds_of_days(places), 1)
    per_second = _PER_SECOND[unit]
    if unit != "s":
        _refuse_seconds_among(numbers, unit, table, name)
    if numbers.dtype.is_integer():
        return Moments(numbers, per_second)
    if bool((numbers == numbers.round(0)).all()):
        return Moments(numbers.cast(pl.Int64, strict=False), per_second)
    finest = max(_MICRO, per_second)
    return Moments((numbers * (finest // per_second)).floor().cast(pl.Int64, strict=False), finest)


def _unit_of(numbers: pl.Series, table: Table, name: str) -> TimeUnit:
    """Seconds; or UnclearTimeUnitError with what they are more likely."""
    likely: TimeUnit = "s"
    middle = numbers.median()
    for finer, per_second in _PER_SECOND.items():
        if isinstance(middle, int | float) and per_second > 1 and middle > _LIKELY_LATEST * per_second / 1000:
            likely = finer
    if likely == "s" and numbers.dtype.is_integer() and len(numbers) > numbers.null_count():
        known = numbers.drop_nulls()
        if known.is_between(19_000_101, 21_001_231).all() and _seconds_of_days(known).null_count() == 0:
            likely = "date"
    if likely != "s":
        raise UnclearTimeUnitError(table.source, name, int(numbers.drop_nulls()[0]), likely)
    return likely


def _refuse_seconds_among(numbers: pl.Series, unit: TimeUnit, table: Table, name: str) -> None:
    """Refuse numbers that would be in the early seventies while most others are not: seconds among milliseconds."""
    earliest = _LIKELY_EARLIEST * _PER_SECOND[unit]
    middle = numbers.median()
    if isinstance(middle, int | float) and middle > earliest:
        early = (numbers > 0) & (numbers < earliest)
        refuse_rows(table, early, numbers, f"{name} {{}} would be before 1973 in {unit}, most others would not")


def _seconds_of_days(days: pl.Series) -> pl.Series:
    """Seconds since 1970 of numbers such as 20200131; null where there is no such day."""
    return days.cast(pl.String).str.to_date("%Y%m%d", strict=False).cast(pl.Datetime("us")).dt.epoch("s")


def _refuse_unit(table: Table, name: str, unit: TimeUnit | None) -> None:
    if unit not in (None, "s"):
        raise DataError(
            f"{table.source}: --time-unit {unit} says what numbers count, and column {name!r} holds dates. "
            "Leave it out."
        )


def _refuse_two_kinds(table: Table, values: pl.Series, is_number: pl.Series, name: str) -> None:
    """Refuse a column that holds numbers and dates: it is not known what the numbers count beside them."""
    if not is_number.any():
        return
    kinds = {True: "a number", False: "a date"}
    other = int((is_number != is_number[0]).arg_true()[0])
    raise DataError(
        f"{table.locate(other)}: {name} {values[other]!r} is {kinds[is_number[other]]}, while {values[0]!r} in "
        f"{table.locate(0)} is {kinds[is_number[0]]}. Write all times in one way."
    )
