import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llara.data.sequences import IntArray
from llara.errors import ConfigError, DataError
from llara.evaluate import FloatArray, hit_ratio, hits_at, mrr, ndcg, target_ranks

RANKS = arrays(np.int64, st.integers(1, 30), elements=st.integers(1, 20))


def test_rank_counts_the_candidates_with_a_higher_score() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0], [-1.0, -2.0, -3.0]])
    assert target_ranks(scores, np.array([2, 0, 2])).tolist() == [2, 1, 3]


def test_ties_go_to_the_earlier_column() -> None:
    scores = np.array([[1.0, 1.0, 1.0]] * 3 + [[0.0, 1.0, 1.0]])
    assert target_ranks(scores, np.array([0, 1, 2, 2])).tolist() == [1, 2, 3, 2]


def test_a_row_with_nan_is_ranked_last_wherever_the_nan_stands() -> None:
    scores = np.array([[np.nan, 0.0, 1.0], [np.nan, 0.0, 1.0], [2.0, -np.inf, 1.0]])
    assert target_ranks(scores, np.array([0, 2, 0])).tolist() == [3, 3, 1]


def test_float32_and_float64_scores_rank_alike() -> None:
    scores = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    column = np.random.default_rng(1).integers(0, 20, 50)
    assert (target_ranks(scores, column) == target_ranks(scores.astype(np.float64), column)).all()


def test_metrics_of_four_rows_by_hand() -> None:
    ranks = np.array([1, 2, 3, 20])
    assert hit_ratio(ranks, 1) == 0.25
    assert hit_ratio(ranks, 3) == 0.75
    assert ndcg(ranks, 2) == pytest.approx((1 + 1 / math.log2(3)) / 4)
    assert ndcg(ranks, 10) == pytest.approx((1 + 1 / math.log2(3) + 1 / 2) / 4)
    assert mrr(ranks) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 20) / 4)


def test_draws_count_equally() -> None:
    ranks = np.array([[1, 2], [1, 1]])
    assert hit_ratio(ranks, 1) == 0.75
    assert hits_at(ranks, 1).tolist() == [[True, False], [True, True]]


@given(RANKS, st.integers(1, 25))
def test_ndcg_is_between_zero_and_the_hit_ratio(ranks: IntArray, k: int) -> None:
    assert 0 <= ndcg(ranks, k) <= hit_ratio(ranks, k) <= 1


@given(RANKS, st.integers(1, 24))
def test_hit_ratio_never_falls_with_k(ranks: IntArray, k: int) -> None:
    assert hit_ratio(ranks, k) <= hit_ratio(ranks, k + 1)
    assert hit_ratio(ranks, 1) <= mrr(ranks) <= 1


@given(arrays(np.float64, (4, 6), elements=st.floats(-5, 5), unique=True), st.integers(0, 1000))
def test_rank_does_not_depend_on_the_order_of_candidates(scores: FloatArray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    column = rng.integers(0, 6, 4)
    order = rng.permutation(6)
    moved = np.argsort(order)[column]
    assert (target_ranks(scores, column) == target_ranks(scores[:, order], moved)).all()


@given(st.integers(2, 40))
def test_a_constant_scorer_hits_one_of_c_rows_when_targets_stand_everywhere(num_candidates: int) -> None:
    columns = np.arange(num_candidates)
    ranks = target_ranks(np.zeros((num_candidates, num_candidates)), columns)
    assert hit_ratio(ranks, 1) == pytest.approx(1 / num_candidates)


def test_a_constant_scorer_on_random_columns_is_a_blind_guess() -> None:
    columns = np.random.default_rng(0).integers(0, 20, 20_000)
    assert hit_ratio(target_ranks(np.zeros((20_000, 20)), columns), 1) == pytest.approx(0.05, abs=0.005)


def test_target_columns_outside_of_the_row_are_refused() -> None:
    with pytest.raises(DataError, match="row 1: target column 3 is outside of the row's 3"):
        target_ranks(np.zeros((2, 3)), np.array([0, 3]))
    with pytest.raises(DataError, match=r"\(2, 3\) and \(3,\)"):
        target_ranks(np.zeros((2, 3)), np.array([0, 0, 0]))


def test_no_rows_and_a_bad_k_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        hit_ratio(np.array([], dtype=np.int64), 1)
    with pytest.raises(ConfigError, match="got 0"):
        ndcg(np.array([1]), 0)
