"""Judging by the whole catalog: the rank of each target among all items, and what the lists are made of."""

import time
from collections.abc import Mapping

import numpy as np

from llara.data import IntArray
from llara.errors import ConfigError
from llara.evaluate.metrics import FloatArray
from llara.evaluate.model_result import ModelResult
from llara.evaluate.predictions import Predictions
from llara.evaluate.task import CatalogTask
from llara.recommender import CatalogScorer, Progress

_ROWS_AT_ONCE = 256
"""Rows whose scores of all items are held in memory."""
_COLD = 5
"""Items with fewer training interactions are cold."""


def rank_in_whole_catalog(
    scorer: CatalogScorer, task: CatalogTask, *, name: str, on_progress: Progress | None = None
) -> tuple[ModelResult, Predictions]:
    """Rank every row's target among all items that its history does not hold; equal scores count against the target.

    Args:
        scorer: Who scores the whole catalog.
        task: The rows.
        name: As in tables.
        on_progress: Told how many rows were just finished.

    Raises:
        ConfigError: If the scorer does not give one score per item.
    """
    started, rows = time.perf_counter(), len(task.examples)
    ranks = np.empty(rows, dtype=np.int64)
    length = min(task.longest, task.num_items)
    lists = np.empty((rows, length), dtype=np.int64)
    best = np.empty((rows, length))
    for first in range(0, rows, _ROWS_AT_ONCE):
        block = slice(first, first + _ROWS_AT_ONCE)
        history, target = task.examples.history[block], task.examples.target[block]
        scores = _checked(scorer, np.array(scorer.score_catalog(history)), task.num_items)
        ranks[block], lists[block], best[block] = _ranked(scores, history, target, length)
        if on_progress is not None:
            on_progress(len(target))
    seconds = time.perf_counter() - started
    result = ModelResult(
        name, ranks[None], task.num_items, task.hashes, seconds, "full ranking",
        users=task.users, cutoff=min(task.cutoff, task.num_items), measures=list_measures(lists, task),
    )  # fmt: skip
    return result, _predictions(lists, best, ranks, task)


def list_measures(lists: IntArray, task: CatalogTask) -> Mapping[str, float]:
    """What the first places are made of.

    Args:
        lists: Items of each row, best first, at least `task.cutoff` where the catalog has as many, [N, K].
        task: The rows.

    Returns:
        coverage@k: items that are in the list of some row / all items.
        novelty@k: mean of -log2 of an item's share of all interactions, each item counted once more than it was chosen.
        popularity@k: mean interactions of the items in lists / of the targets; NaN if those have none.
        cold@k: share of places whose item has fewer than 5 interactions.
    """
    k = task.cutoff
    shown, targets = lists[:, :k], task.chosen[task.examples.target]
    counts = task.chosen[shown]
    share = (task.chosen[1:] + 1).sum()
    return {
        f"coverage@{k}": len(np.unique(shown)) / task.num_items,
        f"novelty@{k}": float(np.mean(np.log2(share / (counts + 1)))),
        f"popularity@{k}": float(counts.mean() / targets.mean()) if targets.any() else float("nan"),
        f"cold@{k}": float((counts < _COLD).mean()),
    }


def _ranked(
    scores: FloatArray, history: IntArray, target: IntArray, length: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Ranks of the targets, [B]; the best unseen items and their scores, [B, length] each."""
    rows = np.arange(len(target))
    of_target = scores[rows, target]
    lost = np.isnan(scores[:, 1:]).any(axis=1)
    np.put_along_axis(scores, history, -np.inf, axis=1)  # padding, too
    scores[rows, target] = of_target
    # No shuffled columns hide the target here: whatever is as good as it stands before it.
    ranks = (scores >= of_target[:, None]).sum(axis=1)
    ranks[lost | (of_target == -np.inf)] = scores.shape[1] - 1
    scores[np.isnan(scores)] = -np.inf
    scores[:, 0] = -np.inf
    top = np.argpartition(-scores[:, 1:], length - 1, axis=1)[:, :length] + 1
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    lists = np.take_along_axis(top, order, axis=1)
    return ranks, lists, np.take_along_axis(scores, lists, axis=1)


def _checked(scorer: CatalogScorer, scores: FloatArray, num_items: int) -> FloatArray:
    if scores.shape[1:] != (num_items + 1,):
        raise ConfigError(
            f"scorer '{scorer.name}': expected scores of {num_items} items and padding for each row, found shape "
            f"{scores.shape}."
        )
    return scores


def _predictions(lists: IntArray, best: FloatArray, ranks: IntArray, task: CatalogTask) -> Predictions:
    item_ids = np.array(task.item_ids)
    named = item_ids[lists]
    return Predictions(
        user_ids=np.array(task.user_ids),
        target_ids=item_ids[task.examples.target][None],
        candidate_ids=named[None],
        scores=best[None],
        ranks=ranks[None],
        chosen_ids=[named[:, 0].tolist()],
    )
