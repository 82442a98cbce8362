"""Which interactions of a log count."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.errors import ConfigError, DataError
from llara.ingest import ShapeConfig
from llara.ingest.shaping import shape_interactions

LOG = pl.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "b", "c"],
        "item_id": [1, 2, 1, 1, 2, 3],
        "timestamp": [5, 1, 3, 2, 2, 9],
        "rating": [1.0, 5.0, 4.0, 3.0, 2.0, 5.0],
    }
)


def shaped(**options: object) -> list[tuple[str, int, int]]:
    frame = shape_interactions(LOG, ShapeConfig(**options), source="log.csv")  # type: ignore[arg-type]
    return frame.select("user_id", "item_id", "timestamp").rows()


def test_without_options_nothing_changes() -> None:
    assert shape_interactions(LOG, ShapeConfig(), source="x").equals(LOG)


def test_each_option_by_hand() -> None:
    assert shaped(min_rating=4) == [("a", 2, 1), ("a", 1, 3), ("c", 3, 9)]
    assert ("a", 1, 5) not in shaped(repeats="first")
    assert ("a", 1, 3) not in shaped(repeats="last")
    assert shaped(core=2) == [row for row in shaped() if row[0] != "c"]
    assert shaped(min_length=3) == [row for row in shaped() if row[0] == "a"]
    assert sorted(shaped(max_length=1)) == [("a", 1, 5), ("b", 2, 2), ("c", 3, 9)]


def test_options_apply_in_their_order() -> None:
    """After the repeats are gone, item 1 has two interactions; after the cap, users may be shorter than the core."""
    assert sorted(shaped(repeats="first", core=2, max_length=1)) == [("a", 1, 3), ("b", 2, 2)]
    with pytest.raises(DataError, match=r"log.csv: no interaction is left by --core 3"):
        shaped(repeats="first", core=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_rating": 9}, r"no interaction is rated at least 9"),
        ({"min_length": 9}, r"no interaction is of a user with 9"),
    ],
)
def test_nothing_left_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        shaped(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ties": "random"}, "--ties must be one of file, shuffle, got 'random'"),
        ({"repeats": "all"}, "--repeats must be one of keep, first, last"),
        ({"core": 0}, "--core must be at least 1, got 0"),
        ({"max_length": 0}, "--max-length must be at least 1"),
        ({"min_length": 5, "max_length": 3}, "--max-length 3 is smaller than --min-length 5"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shaped(**options)


def test_a_minimum_rating_needs_a_rating() -> None:
    with pytest.raises(ConfigError, match="--min-rating needs a rating column"):
        shape_interactions(LOG.drop("rating"), ShapeConfig(min_rating=3), source="log.csv")


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60)


@given(pairs=PAIRS, least=st.integers(2, 4))
def test_a_core_is_a_core_and_the_largest_one(pairs: list[tuple[int, int, int]], least: int) -> None:
    log = pl.DataFrame(pairs, schema=["user_id", "item_id", "timestamp"], orient="row")
    expected = list(pairs)
    while True:
        users, items = (Counter(row[column] for row in expected) for column in (0, 1))
        kept = [row for row in expected if users[row[0]] >= least and items[row[1]] >= least]
        if kept == expected:
            break
        expected = kept
    if not expected:
        with pytest.raises(DataError, match="is left by --core"):
            shape_interactions(log, ShapeConfig(core=least), source="x")
    else:
        assert shape_interactions(log, ShapeConfig(core=least), source="x").rows() == expected


@given(pairs=PAIRS, most=st.integers(1, 4))
def test_a_cap_keeps_the_latest_of_each_user(pairs: list[tuple[int, int, int]], most: int) -> None:
    log = pl.DataFrame(pairs, schema=["user_id", "item_id", "timestamp"], orient="row")
    kept = shape_interactions(log, ShapeConfig(max_length=most), source="x").rows()
    for user in {row[0] for row in pairs}:
        mine = sorted((row for row in pairs if row[0] == user), key=lambda row: row[2])
        assert [row for row in kept if row[0] == user] == mine[-most:]


@given(pairs=PAIRS, seed=st.integers(0, 5))
def test_a_shuffle_changes_only_the_order_of_ties(pairs: list[tuple[int, int, int]], seed: int) -> None:
    log = pl.DataFrame(pairs, schema=["user_id", "item_id", "timestamp"], orient="row")
    config = ShapeConfig(ties="shuffle", seed=seed)
    kept = shape_interactions(log, config, source="x")
    assert kept["timestamp"].is_sorted()
    assert sorted(kept.rows()) == sorted(pairs)
    assert kept.equals(shape_interactions(log, config, source="x"))
