"""The log: order of users, order within users, lookup."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data import Dataset
from llara.data.catalog import build_catalog
from llara.data.log import build_log, positions_of
from llara.errors import DataError

CATALOG = build_catalog(pl.DataFrame({"item_id": list(range(9)), "title": list("abcdefghi")}), noun="item", seed=5)
EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8), st.integers(-3, 5)), min_size=1, max_size=40)


@given(numbered=EVENTS, named=st.booleans())
def test_the_log_equals_a_plain_stable_sort(numbered: list[tuple[int, int, int]], named: bool) -> None:
    events = [(f"user {user}" if named else user, item, time) for user, item, time in numbered]
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    log = build_log(frame, CATALOG)
    by_time = sorted(events, key=lambda event: event[2])
    users = list(dict.fromkeys(user for user, _, _ in by_time))
    assert list(log.user_ids) == users
    for index, user in enumerate(users):
        expected = [(item, time) for who, item, time in by_time if who == user]
        start, end = log.sequences.offsets[index : index + 2]
        assert [CATALOG.item_ids[item] for item in log.sequences[index]] == [item for item, _ in expected]
        assert log.timestamps[start:end].tolist() == [time for _, time in expected]
    assert log.sequences.user_index.tolist() == list(range(log.num_users))


def test_positions_are_the_same_across_blocks() -> None:
    known = pl.Series(["b", "c", "a"])
    expected = np.random.default_rng(0).integers(0, 3, 2**21 + 5)
    assert (positions_of(known[expected], known) == expected).all()
    assert positions_of(known[:0], known).tolist() == []


def test_users_are_found_and_strangers_are_answered_with_the_nearest(toy: Dataset) -> None:
    assert toy.log.user_ids == tuple(range(100, 110))
    assert toy.log.user_index_of(103) == toy.log.user_index_of("103") == 3
    with pytest.raises(DataError, match=r"user 200 is unknown among the 10 users. .* 109, 108, 107"):
        toy.log.user_index_of(200)
