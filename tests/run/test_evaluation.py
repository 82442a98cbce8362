"""What a report shows of an evaluation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.run.evaluation import rows_of_many_users


@pytest.mark.parametrize(
    ("count", "rows"), [(1, [0]), (2, [0, 3]), (3, [0, 3, 4]), (4, [0, 1, 3, 4]), (9, [0, 1, 2, 3, 4, 5])]
)
def test_shown_rows_are_of_as_many_users_as_there_are(count: int, rows: list[int]) -> None:
    assert rows_of_many_users(["a", "a", "a", "b", "c", "a"], count) == rows


@given(st.lists(st.integers(0, 6), max_size=30), st.integers(0, 30))
def test_no_row_is_shown_twice_and_users_come_before_their_further_rows(users: list[int], count: int) -> None:
    rows = rows_of_many_users(users, count)
    assert len(rows) == len(set(rows)) == min(count, len(users))
    assert len({users[row] for row in rows}) == min(count, len(np.unique(users)))
