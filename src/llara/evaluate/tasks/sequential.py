"""The paper's task: which of a few items did the user choose next?"""

from dataclasses import dataclass

from llara.evaluate.task import Part, RankingTask
from llara.evaluate.tasks.contract import Metric, TaskMaterial


@dataclass(frozen=True)
class SequentialTask:
    """The target among negatives that the user had not seen, as LLaRA is judged (arXiv:2312.02445)."""

    name: str = "sequential"
    metrics: tuple[Metric, ...] = (
        Metric("hr@5", "HR@5", lambda result: result.hr(5)),
        Metric("ndcg@10", "NDCG@10", lambda result: result.ndcg(10)),
        Metric("mrr", "MRR", lambda result: result.mrr),
        Metric("valid_ratio", "ValidRatio", lambda result: result.valid_ratio),
    )

    def rows(
        self, material: TaskMaterial, part: Part, *, draws: int, dense: bool = False, limit: int = 10_000
    ) -> RankingTask:
        """The part's rows, one per user or every position, with their candidate sets."""
        return material.task(part, draws=draws, dense=dense, limit=limit)
