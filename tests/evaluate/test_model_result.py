"""Intervals of one model's result where users have several rows."""

import numpy as np
import pytest

from llara.evaluate import ModelResult, wilson_interval

USERS = np.repeat(np.arange(10), 5)


def result(ranks: list[int], users: np.ndarray | None = USERS) -> ModelResult:
    return ModelResult("model", np.array([ranks]), 20, ("hash",), 0.1, users=users)


@pytest.mark.parametrize(("rank", "hits"), [(20, 0), (1, 10)])
def test_rows_that_are_all_alike_get_wilson_over_users_not_an_interval_without_width(rank: int, hits: int) -> None:
    interval = result([rank] * 50).hit_interval()
    assert interval is not None
    assert interval == wilson_interval(hits, 10)
    assert interval.high > interval.low


def wilson_width(hits: int, total: int) -> float:
    interval = wilson_interval(hits, total)
    return interval.high - interval.low


def test_several_rows_per_user_count_by_user() -> None:
    ranks = [1] * 25 + [20] * 25
    interval = result(ranks).hit_interval()
    assert interval is not None
    assert interval.method == "wilson over users"
    assert interval.high - interval.low > wilson_width(25, 50)
    assert result(ranks).num_users == 10
    assert result(ranks, users=None).hit_interval() == wilson_interval(25, 50)


@pytest.mark.parametrize("users", [np.zeros(50, dtype=np.int64), np.repeat([0, 1], 25)])
def test_rows_that_say_nothing_of_other_users_get_no_interval(users: np.ndarray) -> None:
    """One user's 50 rows, 20 of them hits, once had the interval [.40, .40]; so had two users with equal shares."""
    found = result([1, 1, 20, 20, 20] * 10, users=users)
    assert found.hr(1) == pytest.approx(0.4)
    assert found.hit_interval() is None
