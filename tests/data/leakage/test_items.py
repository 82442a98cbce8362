"""Titles that repeat, and histories in the order of items."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from llara.data import Dataset, Sequences
from llara.data.leakage.hidden_order import order_agreement

if TYPE_CHECKING:
    from tests.data.leakage.conftest import Build, Check


def test_repeated_titles_are_counted(check: "Check", build: "Build", items: pl.DataFrame) -> None:
    found = check("duplicate-titles", build(items=items.with_columns(title=pl.col("title").str.head(8))))
    assert found.level == "warning"
    assert found.numbers == {"repeated_titles": 150 - items["title"].str.head(8).n_unique(), "items": 150}


@pytest.mark.parametrize("descending", [False, True])
def test_histories_sorted_by_item_id_are_a_leak(
    check: "Check", build: "Build", log: pl.DataFrame, descending: bool
) -> None:
    ordered = log.sort("user_id", "item_id", descending=[False, descending]).with_columns(
        timestamp=pl.int_range(pl.len())
    )
    found = check("item-order", build(ordered))
    assert found.level == "leak"
    assert (found.numbers["order"], found.numbers["share"]) == ("the item id", 1.0)
    assert "ordered by item, not by time" in found.message


@pytest.mark.parametrize("seed", [0, 3])
def test_histories_in_the_order_of_the_items_file_are_a_leak(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame, seed: int
) -> None:
    place = {item: row for row, item in enumerate(items["item_id"])}
    ordered = log.with_columns(timestamp=pl.col("item_id").replace_strict(place))
    found = check("item-order", build(ordered, seed=seed), candidates=[], seed=seed)
    assert (found.level, found.numbers["order"]) == ("leak", "the items file")


def test_an_order_in_an_id_like_column_is_found_beside_missing_values(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame
) -> None:
    rng = np.random.default_rng(1)
    numbers = rng.permutation(len(items))
    place = dict(zip(items["item_id"], numbers, strict=True))
    ordered = log.with_columns(timestamp=pl.col("item_id").replace_strict(place))
    column = pl.Series("source_id", numbers).set(pl.Series(numbers < 30), None)
    found = check("item-order", build(ordered, items.with_columns(column)))
    assert (found.level, found.numbers["order"]) == ("leak", "items column 'source_id'")
    assert found.numbers["share"] == 1.0


@pytest.mark.parametrize("descending", [False, True])
def test_an_order_that_nothing_shows_is_found_by_what_users_agree_on(
    check: "Check", build: "Build", log: pl.DataFrame, descending: bool
) -> None:
    """Sorted by a number that is not part of the data set, as in the released LastFM rows."""
    hidden = np.random.default_rng(1).permutation(150)
    place = {item: int(number) for item, number in zip(range(1000, 1150), hidden, strict=True)}
    ordered = log.with_columns(timestamp=pl.col("item_id").replace_strict(place) * (-1 if descending else 1) + 200)
    found = check("item-order", build(ordered), candidates=[])
    assert found.level == "leak"
    assert "sorted by something that the data set does not show" in found.message
    assert found.numbers["agreeing_share"] == 1.0


def test_users_without_an_order_agree_half_of_the_time(log: pl.DataFrame, build: "Build") -> None:
    agreeing, compared = order_agreement(build(log).log.sequences, num_items=150, seed=0)
    assert compared > 1000
    assert 0.45 < agreeing / compared < 0.55


def test_agreement_by_hand() -> None:
    """Items 1 and 2 in three orders of users: rise, rise, fall; what a user repeats counts once."""
    sequences = Sequences.from_lists([[1, 2], [1, 2], [2, 1], [3], [4, 4]])
    assert order_agreement(sequences, num_items=4, seed=0) == (1, 2)
    assert order_agreement(Sequences.from_lists([[1], [2]]), num_items=2, seed=0) == (0, 0)


def test_an_order_among_equal_times_is_a_leak(check: "Check", build: "Build", log: pl.DataFrame) -> None:
    """Two moments per user; within each, the file lists items by id, as Last.fm's events do."""
    place = pl.int_range(pl.len()).over("user_id")
    monthly = log.with_columns(timestamp=pl.when(place < 6).then(0).otherwise(100)).sort(
        "user_id", "timestamp", "item_id"
    )
    found = check("item-order", build(monthly), candidates=[])
    assert found.level == "leak"
    assert "with equal times" in found.message
    assert "--ties shuffle" in found.message
    assert (found.numbers["tied_share"], found.numbers["tied_neighbors"]) == (1.0, 200 * 10)
    shuffled = monthly.sample(fraction=1.0, shuffle=True, seed=2)
    assert check("item-order", build(shuffled), candidates=[]).level == "ok"


def test_text_identifiers_are_ordered_as_texts(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame
) -> None:
    named = [frame.with_columns(item_id=pl.format("i{}", "item_id")) for frame in (log, items)]
    ordered = named[0].sort("user_id", "item_id").with_columns(timestamp=pl.int_range(pl.len()))
    assert check("item-order", build(ordered, named[1])).numbers["order"] == "the item id"


def test_a_few_neighbors_prove_nothing(check: "Check", build: "Build", log: pl.DataFrame) -> None:
    few = log.sort("user_id", "item_id").with_columns(timestamp=pl.int_range(pl.len())).head(30)
    assert check("item-order", build(few), None).level == "ok"


def test_real_orders_lean_a_little(check: "Check", clean: Dataset) -> None:
    found = check("item-order", clean)
    assert 0.5 <= found.numbers["share"] < 0.6  # type: ignore[operator]
    assert "tied_share" not in found.numbers
