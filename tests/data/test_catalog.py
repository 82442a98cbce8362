"""The catalog: numbering, lookup, item texts."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data import Dataset, load_dataset, write_dataset
from llara.data.catalog import build_catalog, item_order
from llara.errors import ConfigError, DataError


def items_with(**columns: list[object]) -> pl.DataFrame:
    count = len(next(iter(columns.values())))
    titles = [f"T{number}" for number in range(count)]
    return pl.DataFrame({"item_id": list(range(count)), "title": titles, **columns}, strict=False)


def texts_by_title(items: pl.DataFrame, template: str) -> dict[str, str]:
    catalog = build_catalog(items, noun="item", seed=0)
    return dict(zip(catalog.titles, catalog.texts(template), strict=True))


def test_index_zero_is_padding_and_lookups_go_both_ways(toy: Dataset) -> None:
    catalog = toy.catalog
    assert (catalog.item_ids[0], catalog.titles[0], catalog.num_items) == (-1, "", 30)
    for item_id in range(10, 40):
        index = catalog.index_of(item_id)
        assert catalog.index_of(str(item_id)) == index
        assert catalog.item_ids[index] == item_id
        assert catalog.titles[index] == f"Title {item_id - 10}"
        assert catalog.metadata["year"][index - 1] == 1990 + item_id - 10


@given(seed=st.integers(0, 10_000), count=st.integers(1, 200))
def test_the_order_is_a_permutation_of_the_seed_alone(seed: int, count: int) -> None:
    order = item_order(count, seed=seed)
    assert sorted(order.tolist()) == list(range(count))
    assert (order == item_order(count, seed=seed)).all()


def test_item_indices_do_not_follow_the_source(toy_folder: Path) -> None:
    first, second = load_dataset(toy_folder, seed=0).catalog, load_dataset(toy_folder, seed=1).catalog
    assert first.item_ids != second.item_ids
    assert first.sha256 != second.sha256
    assert list(first.item_ids[1:]) != sorted(first.item_ids[1:])
    assert sorted(first.item_ids[1:]) == sorted(second.item_ids[1:])
    assert load_dataset(toy_folder, seed=0).catalog.sha256 == first.sha256


def test_unknown_items_are_answered_with_the_nearest(toy: Dataset) -> None:
    with pytest.raises(DataError, match=r"item 41 is unknown among the 30 items.* are 39, 38, 37"):
        toy.catalog.index_of(41)
    with pytest.raises(DataError, match=r"item 'x' is unknown.* are 10, 11, 12"):
        toy.catalog.index_of("x")
    with pytest.raises(DataError, match="item -1 is unknown"):
        toy.catalog.index_of(-1)


def test_string_identifiers_are_found_by_number_and_by_neighborhood(tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["a1", "a2", "7", "b9"], "title": ["A", "B", "C", "D"]})
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["a1"], "timestamp": [1]})
    write_dataset(tmp_path / "x", interactions=log, items=items, name="x", noun="item", origin={})
    catalog = load_dataset(tmp_path / "x").catalog
    assert catalog.item_ids[0] == ""
    assert catalog.item_ids[catalog.index_of(7)] == "7"
    assert catalog.item_ids[catalog.index_of(" a2 ")] == "a2"
    with pytest.raises(DataError, match="'a1', 'a2', 'b9'"):
        catalog.index_of("a11")


def test_titles_become_one_line() -> None:
    items = pl.DataFrame({"item_id": [1], "title": ["  A\n tale\tof\u00a0two\x00cities \r\n"]})
    assert build_catalog(items, noun="book", seed=0).titles == ("", "A tale of two cities")


def test_texts_join_metadata_and_missing_values_vanish() -> None:
    items = items_with(
        year=[1995, None, 2001, None],
        genres=["Comedy|Drama", "Horror", "", None],
        rating=[4.0, float("nan"), 3.5, None],
    )
    assert texts_by_title(items, "{title} ({year}; {genres}; {rating})") == {
        "": "",
        "T0": "T0 (1995; Comedy, Drama; 4)",
        "T1": "T1 (Horror)",
        "T2": "T2 (2001; 3.5)",
        "T3": "T3",
    }


def test_lists_in_metadata_are_joined_by_commas() -> None:
    items = items_with(tags=[["rock", None, "pop"], [], None])
    assert texts_by_title(items, "{title} ({tags})") == {"": "", "T0": "T0 (rock, pop)", "T1": "T1", "T2": "T2"}


def test_by_default_the_text_is_the_title(toy: Dataset) -> None:
    assert toy.catalog.texts() == toy.catalog.titles


def test_an_unknown_metadata_column_is_answered_with_the_nearest(toy: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"no metadata column 'yaer'. Did you mean 'year'"):
        toy.catalog.texts("{title} ({yaer})")
    with pytest.raises(ConfigError, match="It has 'year'"):
        toy.catalog.texts("{title} ({publisher})")
    with pytest.raises(ConfigError, match="It has 'year'"):
        toy.catalog.refuse_unknown_columns(["year", "publisher"])
    toy.catalog.refuse_unknown_columns(["year"])
