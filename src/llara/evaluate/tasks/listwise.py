"""A list of items to be put in order: how near to its top is the one that the user chose next?"""

from dataclasses import dataclass

from llara.evaluate.task import Part, RankingTask
from llara.evaluate.tasks.contract import Metric, TaskMaterial


@dataclass(frozen=True)
class ListwiseTask:
    """The rows and candidates of `sequential`, judged by where in the whole order the target stands."""

    name: str = "listwise"
    metrics: tuple[Metric, ...] = (
        Metric("ndcg@3", "NDCG@3", lambda result: result.ndcg(3)),
        Metric("ndcg@5", "NDCG@5", lambda result: result.ndcg(5)),
        Metric("ndcg@10", "NDCG@10", lambda result: result.ndcg(10)),
        Metric("ndcg", "NDCG", lambda result: result.ndcg(result.num_candidates), "NDCG of the whole order."),
    )

    def rows(
        self, material: TaskMaterial, part: Part, *, draws: int, dense: bool = False, limit: int = 10_000
    ) -> RankingTask:
        """The part's rows, one per user or every position, with their candidate sets."""
        return material.task(part, draws=draws, dense=dense, limit=limit)
