"""Columns: which values count as identifiers, seconds, numbers."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data.columns import TimeUnit, UnclearTimeUnitError, id_column, number_column, same_kind, time_column
from llara.data.tables import Table, table_of
from llara.errors import DataError


def column(values: list[object]) -> Table:
    return table_of(pl.DataFrame({"x": pl.Series(values, strict=False)}), "file")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["5", " 7 "], [5, 7]),
        (["5", "007"], ["5", "007"]),
        (["5", "1.0", "five"], ["5", "1.0", "five"]),
        (["-3", "0"], [-3, 0]),
        (["99999999999999999999", "1"], ["99999999999999999999", "1"]),
        ([5.0, 7.0], [5, 7]),
        ([True], None),
    ],
)
def test_identifiers_are_integers_only_where_all_are(values: list[object], expected: list[object] | None) -> None:
    if expected is None:
        with pytest.raises(DataError, match="Boolean; identifiers are integers or texts"):
            id_column(column(values), "x", "--user")
    else:
        assert id_column(column(values), "x", "--user").to_list() == expected


def test_whole_and_decimal_spellings_of_numbers_are_not_mixed() -> None:
    with pytest.raises(DataError, match=r"file row 2: x '1.0' is a decimal number, others are whole"):
        id_column(column(["5", "1.0", "7"]), "x", "--user")


def test_categories_are_texts() -> None:
    frame = pl.DataFrame({"x": pl.Series(["a", "b"], dtype=pl.Categorical)})
    assert id_column(table_of(frame, "file"), "x", "--user").to_list() == ["a", "b"]


def test_identifiers_of_two_tables_become_texts_together() -> None:
    left, right = same_kind(pl.Series([1, 2]), pl.Series(["1", "A"]))
    assert left.to_list() == ["1", "2"]
    assert right.to_list() == ["1", "A"]


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


@pytest.mark.parametrize("wrong", ["soon", "", "1.5", "2020-13-01", "nan", "inf", None])
def test_an_unparsable_time_is_named_with_its_row(wrong: str | None) -> None:
    with pytest.raises(
        DataError, match=r"file row 2: timestamp .* neither whole seconds nor an ISO 8601 date \(1 such"
    ):
        time_column(column(["1", wrong]), "x", "--time")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 0.5, None])
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


@given(st.integers(0, 10**11))
def test_plain_seconds_are_never_asked_about(moment: int) -> None:
    assert time_column(column([moment]), "x", "--time", unit=None).to_list() == [moment]


def test_a_time_of_no_known_type_is_refused() -> None:
    with pytest.raises(DataError, match=r"column 'x' is List\(Int64\); timestamps are"):
        time_column(column([[1]]), "x", "--time")


@pytest.mark.parametrize("wrong", ["five", "nan", "", None])
def test_a_rating_that_is_no_number_is_named(wrong: str | None) -> None:
    with pytest.raises(DataError, match=r"file row 2: x .* is not a number"):
        number_column(column(["4", wrong]), "x", "--rating")
