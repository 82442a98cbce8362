"""Columns: which values count as identifiers, numbers."""

import polars as pl
import pytest

from llara.data.columns import id_column, number_column, same_kind
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


def test_texts_that_differ_in_white_space_alone_are_not_merged() -> None:
    with pytest.raises(DataError, match=r"file row 3: x ' Ann' is elsewhere written without the white space around it"):
        id_column(column(["Ann", " Bob ", " Ann"]), "x", "--user")


def test_white_space_around_every_occurrence_of_an_identifier_is_no_part_of_it() -> None:
    assert id_column(column(["Ann", " Bob ", "Bob "]), "x", "--user").to_list() == ["Ann", "Bob", "Bob"]
    assert id_column(column(["7", " 7", "12"]), "x", "--user").to_list() == [7, 7, 12]


def test_categories_are_texts() -> None:
    frame = pl.DataFrame({"x": pl.Series(["a", "b"], dtype=pl.Categorical)})
    assert id_column(table_of(frame, "file"), "x", "--user").to_list() == ["a", "b"]


def test_identifiers_of_two_tables_become_texts_together() -> None:
    left, right = same_kind(pl.Series([1, 2]), pl.Series(["1", "A"]))
    assert left.to_list() == ["1", "2"]
    assert right.to_list() == ["1", "A"]


@pytest.mark.parametrize("wrong", ["five", "nan", "", None])
def test_a_rating_that_is_no_number_is_named(wrong: str | None) -> None:
    with pytest.raises(DataError, match=r"file row 2: x .* is not a number"):
        number_column(column(["4", wrong]), "x", "--rating")
