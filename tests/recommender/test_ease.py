"""EASE: its closed form against a plain solution, what is kept of it, and catalogs that are too large."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import Sequences
from llara.errors import ConfigError
from llara.recommender import Ease, EaseConfig
from llara.recommender.ease import MOST_ITEMS

NUM_ITEMS = 9


def solved(log: list[list[int]], config: EaseConfig) -> Ease:
    ease = Ease(NUM_ITEMS, config)
    ease.count(Sequences.from_lists(log))
    return ease


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=6), min_size=1, max_size=8),
    st.floats(0.5, 50.0),
    st.sampled_from([0.5, 1.0]),
)
def test_each_column_is_a_ridge_regression_on_the_other_items(log: list[list[int]], l2: float, decay: float) -> None:
    chosen = np.zeros((len(log), NUM_ITEMS))
    for row, items in enumerate(log):
        chosen[row, [item - 1 for item in items]] = 1.0
    weights = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for item in range(NUM_ITEMS):
        others = np.delete(np.arange(NUM_ITEMS), item)
        known = chosen[:, others]
        penalized = known.T @ known + l2 * np.eye(NUM_ITEMS - 1)
        weights[others, item] = np.linalg.solve(penalized, known.T @ chosen[:, item])
    share = np.array([decay**2, decay, 1.0]) / (decay**2 + decay + 1.0)
    expected = share @ weights[[2, 0, 3]]
    found = solved(log, EaseConfig(l2=l2, decay=decay)).score_all(torch.tensor([[3, 1, 4, 0]]))[0]
    assert found[0] == float("-inf")
    np.testing.assert_allclose(found[1:].numpy(), expected, atol=2e-5)


def test_the_largest_weights_of_each_item_are_kept() -> None:
    log = [[1, 2, 3], [1, 2], [1, 2, 4], [5, 6, 7], [1, 8]]
    whole, cut = (solved(log, EaseConfig(l2=1.0, kept=kept)) for kept in (NUM_ITEMS, 2))
    each = torch.arange(1, NUM_ITEMS + 1)[:, None]
    full, few = whole.score_all(each)[:, 1:], cut.score_all(each)[:, 1:]
    for before, after in zip(full, few, strict=True):
        best = before.abs().topk(2).indices
        assert torch.equal(after[best], before[best])
        assert after.abs().sum() == before[best].abs().sum()


def test_an_empty_history_says_nothing() -> None:
    ease = solved([[1, 2], [2, 3]], EaseConfig())
    assert ease.score_all(torch.zeros(1, 3, dtype=torch.long))[0, 1:].abs().sum() == 0


def test_a_catalog_that_is_too_large_is_refused_before_it_is_solved() -> None:
    with pytest.raises(ConfigError, match=r"25,001.*Use counts instead"):
        Ease(MOST_ITEMS + 1)
