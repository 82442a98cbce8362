"""Ranks of the target among its candidates, and the ranking metrics made of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llara.data.sequences import IntArray
from llara.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Scores = NDArray[np.floating[Any]]


def target_ranks(scores: Scores, target_column: IntArray) -> IntArray:
    """Rank of each row's target among its candidates; 1 is best, a higher score is better.

    Ties go to the earlier column. Candidates are shuffled, so this favors nobody: a model that gives every
    candidate the same score ranks the target first in 1 of C rows, never in all of them.

    Args:
        scores: One score per candidate, shape [B, C]. `-inf` says "cannot score this item". A NaN is no
            score: its row gets rank C, whichever column it stands in, so that a broken model never gains.
        target_column: Column of the target, in 0..C-1, shape [B].

    Returns:
        Ranks in 1..C, shape [B].

    Raises:
        DataError: If the shapes do not fit or a target column lies outside the row.
    """
    if scores.ndim != 2 or target_column.shape != scores.shape[:1]:
        raise DataError(
            f"expected scores [rows, candidates] and one target column per row, found shapes {scores.shape} and "
            f"{target_column.shape}. Score the same rows that the candidates were drawn for."
        )
    rows, num_candidates = scores.shape
    outside = np.flatnonzero((target_column < 0) | (target_column >= num_candidates))
    if len(outside):
        raise DataError(
            f"row {outside[0]}: target column {target_column[outside[0]]} is outside of the row's {num_candidates} "
            f"candidates. Draw the candidates again."
        )
    target_score = scores[np.arange(rows), target_column][:, None]  # [B, 1]
    earlier = np.arange(num_candidates) < target_column[:, None]  # [B, C]
    ahead = (scores > target_score) | ((scores == target_score) & earlier)
    ranks: IntArray = 1 + ahead.sum(axis=1, dtype=np.int64)
    ranks[np.isnan(scores).any(axis=1)] = num_candidates
    return ranks


def hits_at(ranks: IntArray, k: int) -> BoolArray:
    """Whether each target is among the first `k`, in the shape of `ranks`."""
    if k < 1:
        raise ConfigError(f"k of a ranking metric must be >= 1, got {k}")
    return ranks <= k


def hit_ratio(ranks: IntArray, k: int) -> float:
    """HR@k in [0, 1]: hits / all rows. An invalid answer is a row too and counts as a miss.

    Args:
        ranks: Rank of the target, >= 1, any shape (several candidate draws are averaged).
        k: How many of the first ranks count as a hit, >= 1.

    Raises:
        DataError: If there are no rows.
    """
    _require_rows(ranks)
    return float(hits_at(ranks, k).mean())


def ndcg(ranks: IntArray, k: int) -> float:
    """NDCG@k in [0, 1] for one target per row: 1 / log2(rank + 1) if rank <= k, else 0; mean over rows."""
    _require_rows(ranks)
    return float(np.where(hits_at(ranks, k), 1.0 / np.log2(ranks + 1.0), 0.0).mean())


def mrr(ranks: IntArray) -> float:
    """Mean reciprocal rank in (0, 1], not cut off at any k."""
    _require_rows(ranks)
    return float((1.0 / ranks).mean())


def _require_rows(ranks: IntArray) -> None:
    if ranks.size == 0:
        raise DataError("no rows to evaluate. Check the split: the test part is empty.")
