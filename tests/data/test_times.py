"""Times: every way to write one, and what is refused rather than guessed."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data.tables import Table, table_of
from llara.data.times import TimeUnit, UnclearTimeUnitError, moments, time_column
from llara.errors import DataError


def column(values: list[object]) -> Table:
    return table_of(pl.DataFrame({"x": pl.Series(values, strict=False)}), "file")


NEW_YEAR = 1_577_836_800


@pytest.mark.parametrize(
    "moment",
    [
        "1577836800",
        " 1577836800.0",
        "1.5778368e9",
        "2020-01-01",
        "2020-01-01 00:00",
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00.25",
        "2020-01-01T02:00:00+02:00",
        "2020-01-01T02:00+02:00",
        "2020-01-01 02:00:00.5+0200",
        "2020-01-01T02:00:00+02",
        "1577836800.75",
        1577836800.75,
        1577836800,
        1577836800.0,
        date(2020, 1, 1),
        datetime(2020, 1, 1),
        datetime(2020, 1, 1, tzinfo=UTC),
    ],
)
def test_every_spelling_of_a_moment_gives_its_seconds(moment: object) -> None:
    assert time_column(column([moment]), "x", "--time").to_list() == [NEW_YEAR]


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))
def test_iso_dates_give_the_seconds_that_python_gives(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    expected = int(moment.replace(tzinfo=UTC).timestamp())
    assert time_column(column([moment.isoformat()]), "x", "--time").to_list() == [expected]


@pytest.mark.parametrize("good", ["1", "2020-01-01"])
@pytest.mark.parametrize("wrong", ["soon", "", "2020-13-01", "nan", "inf", None])
def test_an_unparsable_time_is_named_with_its_row(good: str, wrong: str | None) -> None:
    with pytest.raises(DataError, match=r"file row 2: timestamp .* neither a number nor an ISO 8601 date \(1 such"):
        time_column(column([good, wrong]), "x", "--time")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None])
def test_a_number_that_is_no_second_is_named(wrong: float | None) -> None:
    with pytest.raises(DataError, match="file row 2: timestamp"):
        time_column(column([1.0, wrong]), "x", "--time")


@pytest.mark.parametrize("early", ["-1", -1, "1969-12-31", date(1969, 12, 31)])
def test_a_time_before_1970_is_named_with_its_row(early: object) -> None:
    with pytest.raises(DataError, match=r"file row 1: timestamp .* is before 1970"):
        time_column(column([early]), "x", "--time")


@pytest.mark.parametrize(("unit", "factor"), [("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_times_that_are_hardly_seconds_are_asked_about(unit: TimeUnit, factor: int) -> None:
    values: list[object] = [NEW_YEAR * factor + factor // 2, (NEW_YEAR + 5) * factor]
    for table in (column(values), column([str(value) for value in values])):
        with pytest.raises(UnclearTimeUnitError, match=rf"2020-01-01 in {unit}. Pass --time-unit {unit}") as refused:
            time_column(table, "x", "--time", unit=None)
        assert refused.value.unit == unit
        assert time_column(table, "x", "--time", unit=unit).to_list() == [NEW_YEAR, NEW_YEAR + 5]
        assert time_column(table, "x", "--time", unit="s").to_list() == values


@given(st.integers(0, 10**11).filter(lambda moment: not 19_000_000 < moment < 21_010_000))
def test_plain_seconds_are_never_asked_about(moment: int) -> None:
    assert time_column(column([moment]), "x", "--time", unit=None).to_list() == [moment]


def test_a_time_of_no_known_type_is_refused() -> None:
    with pytest.raises(DataError, match=r"column 'x' is List\(Int64\); timestamps are"):
        time_column(column([[1]]), "x", "--time")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["5", "6", "2020-01-01"], r"file row 3: x '2020-01-01' is a date, while '5' in file row 1 is a number"),
        (["2020-01-01", "6.5"], r"file row 2: x '6.5' is a number, while '2020-01-01' in file row 1 is a date"),
    ],
)
def test_numbers_among_dates_are_refused(values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        time_column(column(values), "x", "--time", unit=None)


def test_a_few_milliseconds_among_seconds_are_refused() -> None:
    values: list[object] = [NEW_YEAR, NEW_YEAR + 1, NEW_YEAR * 1000]
    with pytest.raises(DataError, match=r"file row 3: x 1577836800000 would be far in the future as seconds, most"):
        time_column(column(values), "x", "--time", unit=None)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_few_seconds_among_finer_times_are_refused(unit: TimeUnit) -> None:
    factor = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    values: list[object] = [NEW_YEAR * factor, NEW_YEAR, NEW_YEAR * factor]
    with pytest.raises(DataError, match=rf"file row 2: x 1577836800 would be before 1973 in {unit}, most"):
        time_column(column(values), "x", "--time", unit=unit)


def test_days_written_as_numbers_are_asked_about() -> None:
    for table in (column([20200101, 20200229]), column(["20200101", "20200229"])):
        with pytest.raises(UnclearTimeUnitError, match=r"a day written YYYYMMDD.* Pass --time-unit date") as refused:
            time_column(table, "x", "--time", unit=None)
        assert refused.value.unit == "date"
        assert time_column(table, "x", "--time", unit="date").to_list() == [NEW_YEAR, NEW_YEAR + 59 * 86_400]
        assert time_column(table, "x", "--time", unit="s").to_list() == [20200101, 20200229]


def test_a_day_that_there_is_not_is_named() -> None:
    with pytest.raises(DataError, match="file row 2: timestamp 20200230"):
        time_column(column([20200101, 20200230]), "x", "--time", unit="date")


@pytest.mark.parametrize("values", [["2020-01-01"], [date(2020, 1, 1)]])
def test_a_unit_of_dates_is_refused(values: list[object]) -> None:
    with pytest.raises(DataError, match=r"file: --time-unit ms .* column 'x' holds dates"):
        time_column(column(values), "x", "--time", unit="ms")


def test_whole_seconds_have_no_limit() -> None:
    assert time_column(column([1, 5 * 10**15]), "x", "--time", unit="s").to_list() == [1, 5 * 10**15]


def test_places_may_be_any_whole_numbers() -> None:
    assert time_column(column([5 * 10**17, 3.0]), "x", "--time", unit="order").to_list() == [5 * 10**17, 3]
    with pytest.raises(DataError, match=r"file row 2: timestamp 3.5"):
        time_column(column([1.0, 3.5]), "x", "--time", unit="order")


@pytest.mark.parametrize(
    ("values", "unit", "finer"),
    [
        ([1000, 2500], "ms", True),
        ([1000, 2000], "ms", False),
        ([1.5, 2.0], "s", True),
        (["2020-01-01 00:00:00.5"], None, True),
        ([3, 4], "order", False),
    ],
)
def test_it_is_known_whether_seconds_are_too_coarse(values: list[object], unit: TimeUnit | None, finer: bool) -> None:
    assert moments(column(values), "x", "--time", unit=unit).are_finer is finer
