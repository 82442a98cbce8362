"""Titles that repeat, and histories in the order of items."""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from llara.data import Dataset, InteractionLog, Sequences
from llara.leakage.hidden_order import Agreement, order_agreement

if TYPE_CHECKING:
    from tests.leakage.conftest import Build, Check


def test_repeated_titles_are_counted(check: "Check", build: "Build", items: pl.DataFrame) -> None:
    found = check("duplicate-titles", build(items=items.with_columns(title=pl.col("title").str.head(8))))
    assert found.level == "note"
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
    users = order_agreement(build(log).log, num_items=150, seed=0)
    assert users.compared > 1000
    assert 0.45 < users.share < 0.55
    assert not users.is_in_time


def logged(rows: list[list[int]], times: list[list[int]]) -> InteractionLog:
    flat = np.array([time for row in times for time in row], dtype=np.int64)
    return InteractionLog(Sequences.from_lists(rows), flat, tuple(range(len(rows))))


def test_agreement_by_hand() -> None:
    """Items 1 and 2 in two orders: rise, rise, fall; what a user repeats counts once."""
    log = logged([[1, 2], [1, 2], [2, 1], [3], [4, 4]], [[0, 9], [0, 9], [0, 9], [0], [0, 9]])
    users = order_agreement(log, num_items=4, seed=0)
    assert (users.compared, users.item_pairs) == (2, 1)
    assert users.agreeing in (0, 1), "who is compared with whom is drawn"
    nobody = order_agreement(logged([[1], [2]], [[0], [0]]), num_items=2, seed=0)
    assert nobody == Agreement(agreeing=0, compared=0, item_pairs=0, dated=0, apart=0)


@pytest.mark.parametrize(
    ("times", "dated", "apart"),
    [
        ([[0, 9], [1, 8]], 1, 1),
        ([[0, 4], [5, 9]], 1, 0),  # the one was done before the other began
        ([[0, 9], [0, 9]], 0, 0),  # the items' own times, perhaps
    ],
)
def test_users_apart_by_hand(times: list[list[int]], dated: int, apart: int) -> None:
    users = order_agreement(logged([[1, 2], [1, 2]], times), num_items=2, seed=0)
    assert users == Agreement(agreeing=1, compared=1, item_pairs=1, dated=dated, apart=apart)


def test_agreement_among_equal_times_by_hand() -> None:
    """Only items 1 and 2 are at the same time in both histories; there, they agree."""
    log = logged([[1, 2, 3], [3, 1, 2]], [[0, 0, 9], [0, 5, 5]])
    users = order_agreement(log, num_items=3, seed=0, tied=True)
    assert (users.agreeing, users.compared) == (1, 1)


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


VALUES: dict[str, list[Any]] = {
    "price": [round(0.5 + 0.37 * number, 2) for number in range(60)],
    "day": [date(2020, 1, 1) + timedelta(days=number) for number in range(150)],
    "maker": [f"{chr(97 + number % 26)}{number}" for number in range(150)],
    "price as text": [f"{0.5 * number:.1f}" for number in range(150)],
    "count": list(range(150)),
}
"""Columns that say nothing of the items' identifiers, of which one has fewer values than there are items."""


def with_values(items: pl.DataFrame, *columns: str) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    made = [pl.Series(column, VALUES[column] * 3)[rng.permutation(len(items))] for column in columns]
    return items.with_columns(*made, title=pl.Series([f"The {number:03}" for number in rng.permutation(len(items))]))


def sorted_by(log: pl.DataFrame, items: pl.DataFrame, column: str, *, tied: bool) -> pl.DataFrame:
    """Histories, or only their equal times (two moments per user), in the order of a column of the items."""
    key = pl.col(column).cast(pl.Float64) if column == "price as text" else pl.col(column)
    moment = pl.int_range(pl.len()).over("user_id") // (6 if tied else 12)
    moved = log.with_columns(moment=moment).join(items, on="item_id").sort("user_id", "moment", key)
    time = pl.col("moment") * 100 if tied else pl.int_range(pl.len())
    return moved.select("user_id", "item_id", timestamp=time)


@pytest.mark.parametrize("column", ["title", *VALUES])
@pytest.mark.parametrize("tied", [False, True], ids=["histories", "ties"])
def test_an_order_by_title_or_metadata_is_a_leak(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame, *, column: str, tied: bool
) -> None:
    items = with_values(items, "price" if column == "title" else column)
    found = check("item-order", build(sorted_by(log, items, column, tied=tied), items), candidates=[])
    name = "the title" if column == "title" else f"items column {column!r}"
    assert found.level == "leak"
    assert f"follow the order of {name}" in found.message
    assert (found.numbers["tied_order" if tied else "order"], found.numbers["tied_share" if tied else "share"]) == (
        name,
        1,
    )


def test_ties_sorted_by_what_nothing_shows_are_a_leak(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame
) -> None:
    hidden = with_values(items, "price as text")
    found = check("item-order", build(sorted_by(log, hidden, "price as text", tied=True), items), candidates=[])
    assert found.level == "leak"
    assert "users who have two items with equal times in common had them in the same order" in found.message
    assert "--ties shuffle" in found.message
    assert found.numbers["agreeing_share"] < 0.9  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tied", [False, True], ids=["histories", "ties"])
def test_histories_in_no_order_are_no_leak(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame, *, seed: int, tied: bool
) -> None:
    items = with_values(items, *VALUES)
    mixed = log.sample(fraction=1.0, shuffle=True, seed=seed)
    place = pl.int_range(pl.len()).over("user_id")
    found = check(
        "item-order", build(mixed.with_columns(timestamp=place // 6 if tied else place), items), candidates=[]
    )
    assert found.level == "ok"
    assert found.numbers["tied_share" if tied else "share"] < 0.6  # type: ignore[operator]


def test_a_column_of_few_values_is_no_order(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame
) -> None:
    """Everybody goes from easy to hard items, in no order within them."""
    items = items.with_columns(level=pl.int_range(pl.len()) % 3)
    graded = log.join(items, on="item_id").sort("user_id", "level", maintain_order=True)
    found = check("item-order", build(graded.select("user_id", "item_id", timestamp=pl.int_range(pl.len())), items))
    assert found.level == "ok"


def test_many_changes_in_a_column_of_few_values_are_an_order(
    check: "Check", build: "Build", items: pl.DataFrame
) -> None:
    """Half of the items are of one year, the others of eight; histories of 40 items ascend by year."""
    year = pl.when(pl.int_range(pl.len()) % 2 == 0).then(2000).otherwise(1990 + pl.int_range(pl.len()) % 16)
    items = items.with_columns(year=year)
    rng = np.random.default_rng(1)
    chosen = np.concatenate([1000 + rng.permutation(150)[:40] for _ in range(60)])
    log = pl.DataFrame({"user_id": np.repeat(np.arange(60), 40), "item_id": chosen}).join(items, on="item_id")
    ordered = log.sort("user_id", "year", maintain_order=True)
    found = check("item-order", build(ordered.with_columns(timestamp=pl.int_range(pl.len())), items), None)
    assert (found.level, found.numbers["order"]) == ("leak", "items column 'year'")


def test_a_column_of_a_few_items_neither_is_an_order_nor_hides_one(
    check: "Check", build: "Build", log: pl.DataFrame, items: pl.DataFrame
) -> None:
    """Two sequels have a number, and whoever has both has them in order."""
    sequels = items.with_columns(part=pl.when(item_id=1000).then(1).when(item_id=1001).then(2))
    pairs = pl.DataFrame({"item_id": [1000, 1001] * 200, "user_id": np.repeat([f"u{user}" for user in range(200)], 2)})
    rest = log.filter(~pl.col("item_id").is_in([1000, 1001])).select("item_id", "user_id")
    series = pl.concat([pairs, rest]).with_columns(timestamp=pl.int_range(pl.len()))
    found = check("item-order", build(series, sequels), candidates=[])
    assert (found.level, found.numbers["order"] == "items column 'part'") == ("ok", False)
    by_title = with_values(sequels, "price")
    ordered = sorted_by(log, by_title, "title", tied=False)
    assert check("item-order", build(ordered, by_title), candidates=[]).numbers["order"] == "the title"


def test_a_few_ties_in_order_do_not_hide_sorted_histories(check: "Check", build: "Build", log: pl.DataFrame) -> None:
    ordered = log.sort("user_id", "item_id").with_columns(timestamp=5 * pl.int_range(pl.len()))
    disturbed = ordered.with_columns(timestamp=pl.col("timestamp") - 7 * (pl.int_range(pl.len()) % 40 == 5))
    few = disturbed.with_columns(timestamp=pl.col("timestamp") - 5 * (pl.int_range(pl.len()) % 800 == 9))
    found = check("item-order", build(few), candidates=[])
    assert found.numbers["tied_share"] == 1.0
    assert found.numbers["share"] < 1.0  # type: ignore[operator]
    assert (found.level, "ordered by item, not by time" in found.message) == ("leak", True)


def news(*, seed: int, articles: int = 150, shuffled_ids: bool = False) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A year of articles, numbered as they appear; readers take what came out a little earlier."""
    rng = np.random.default_rng(seed)
    published = np.sort(rng.random(articles))
    ids = 1000 + (rng.permutation(articles) if shuffled_ids else np.arange(articles))
    user = np.repeat(np.arange(200), 12)
    read = rng.random(len(user))
    article = np.maximum(np.searchsorted(published, read - rng.exponential(0.002, len(user))), 1) - 1
    times = 1_600_000_000 + (read * 31_536_000).astype(np.int64)
    log = pl.DataFrame({"user_id": user, "item_id": ids[article], "timestamp": times})
    return log, pl.DataFrame({"item_id": np.sort(ids), "title": [f"{one:.9f}" for one in rng.random(articles)]})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shuffled_ids", [False, True], ids=["numbered by date", "not numbered"])
def test_an_order_that_is_one_of_time_is_a_warning(
    check: "Check", build: "Build", seed: int, shuffled_ids: bool
) -> None:
    found = check("item-order", build(*news(seed=seed, shuffled_ids=shuffled_ids)), candidates=[])
    assert found.level == "warning"
    assert "Time explains it" in found.message
    assert "not by time" not in found.message
    assert found.numbers["in_time_share"] > 0.97  # type: ignore[operator]
    assert ("the order of the items file" in found.message) is not shuffled_ids


@pytest.mark.parametrize("timestamps", ["positions", "file order"])
def test_the_same_order_without_times_is_a_leak(check: "Check", build: "Build", timestamps: str) -> None:
    found = check("item-order", build(*news(seed=0), origin={"timestamps": timestamps}), candidates=[])
    assert (found.level, found.numbers["in_time"]) == ("leak", False)


def test_equal_times_in_order_are_a_leak_also_where_time_explains_the_rest(check: "Check", build: "Build") -> None:
    log, items = news(seed=0, articles=600)
    coarse = log.with_columns(timestamp=pl.col("timestamp") // 200_000 * 200_000).sort("user_id", "item_id")
    found = check("item-order", build(coarse, items), candidates=[])
    assert (found.level, found.numbers["in_time"]) == ("leak", True)
    assert "with equal times" in found.message


@pytest.mark.parametrize("all_year", [False, True], ids=["one after the other", "all the time"])
def test_sorted_histories_with_real_times_stay_a_leak(
    check: "Check", build: "Build", log: pl.DataFrame, all_year: bool
) -> None:
    """Everybody's times are kept, and everybody's items are sorted."""
    rng = np.random.default_rng(2)
    times = rng.integers(0, 60_000 if all_year else 9_000, len(log)) + (0 if all_year else log["timestamp"].to_numpy())
    timed = log.with_columns(pl.Series("timestamp", times)).sort("user_id", "timestamp")
    found = check("item-order", build(timed.with_columns(item_id=log.sort("user_id", "item_id")["item_id"])), None)
    assert (found.level, found.numbers["in_time"]) == ("leak", False)
    assert found.numbers["in_time_share"] < 0.85  # type: ignore[operator]


def test_times_that_count_interactions_explain_nothing(check: "Check", build: "Build") -> None:
    """Histories with nearly the whole catalog, so that places in them say when everybody had an item."""
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.permutation(150)[:145]) + 1000 for _ in range(60)]
    dense = pl.DataFrame({"user_id": np.repeat(np.arange(60), 145), "item_id": np.concatenate(rows)})
    counted = dense.with_columns(timestamp=60 * pl.int_range(pl.len()).over("user_id"))
    found = check("item-order", build(counted), None)
    assert found.numbers["in_time_share"] > 0.9  # type: ignore[operator]
    assert (found.level, found.numbers["in_time"]) == ("leak", False)


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
