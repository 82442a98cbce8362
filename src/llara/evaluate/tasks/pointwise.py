"""One item at a time: would this user choose it next, yes or no?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from llara.data import IntArray
from llara.evaluate.metrics import BoolArray, FloatArray
from llara.evaluate.task import Part, RankingTask, Scores
from llara.evaluate.tasks.contract import Metric, TaskMaterial


@dataclass(frozen=True)
class PointwiseTask:
    """Each target and one negative as a yes and a no; scores are compared across rows (AUC) and within users (UAUC).

    HR@1 is the share of rows whose yes has the higher score. A model whose scores are on another scale for each user
    is judged by that too, in AUC: a threshold for all users would be.
    """

    name: str = "pointwise"
    metrics: tuple[Metric, ...] = (
        Metric(
            "auc", "AUC", lambda result: result.measures.get("auc"),
            "How often an item that was chosen has a higher score than one that was not, of all users; blind: 0.5.",
        ),
        Metric(
            "uauc", "UAUC", lambda result: result.measures.get("uauc"),
            "AUC of each user by itself, their mean.",
        ),
    )  # fmt: skip

    def rows(
        self, material: TaskMaterial, part: Part, *, draws: int, dense: bool = False, limit: int = 10_000
    ) -> RankingTask:
        """The part's rows, one per user or every position, each with one negative."""
        rows = material.task(part, draws=draws, dense=dense, limit=limit, num_negatives=1)
        return replace(rows, measure=areas)


def areas(scores: Scores, task: RankingTask) -> Mapping[str, float]:
    """AUC and UAUC of a model, each the mean over draws."""
    users = task.users if task.users is not None else np.arange(len(task.examples))
    found = []
    for drawn, columns in zip(scores, task.target_columns, strict=True):
        chosen = np.arange(drawn.shape[1]) == columns[:, None]  # [N, C]
        by_user = [auc(drawn[rows].ravel(), chosen[rows].ravel()) for rows in _rows_of_users(users)]
        found.append((auc(drawn.ravel(), chosen.ravel()), float(np.mean(by_user))))
    of_all, of_users = np.mean(found, axis=0)
    return {"auc": float(of_all), "uauc": float(of_users)}


def auc(scores: FloatArray, chosen: BoolArray) -> float:
    """Share of pairs of a chosen and another item in which the chosen one has the higher score; a tie counts half.

    NaN where a score is NaN.
    """
    positives = int(chosen.sum())
    pairs = positives * (len(chosen) - positives)
    above = rankdata(scores)[chosen].sum() - positives * (positives + 1) / 2
    return float(above / pairs)


def _rows_of_users(users: IntArray) -> list[IntArray]:
    order = np.argsort(users, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(users[order])) + 1)
