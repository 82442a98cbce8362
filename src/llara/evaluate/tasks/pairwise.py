"""Two items: which of them did the user choose next?"""

from dataclasses import dataclass

from llara.evaluate.task import Part, RankingTask
from llara.evaluate.tasks.contract import Metric, TaskMaterial


@dataclass(frozen=True)
class PairwiseTask:
    """The target against one negative, of which a blind guess gets half right.

    Models with prompts are asked about two candidates; to train them so, set train.num_negatives to 1.
    """

    name: str = "pairwise"
    metrics: tuple[Metric, ...] = (Metric("valid_ratio", "ValidRatio", lambda result: result.valid_ratio),)

    def rows(
        self, material: TaskMaterial, part: Part, *, draws: int, dense: bool = False, limit: int = 10_000
    ) -> RankingTask:
        """The part's rows, one per user or every position, each with one negative."""
        return material.task(part, draws=draws, dense=dense, limit=limit, num_negatives=1)
