"""The whole catalog: is the item that the user chose next among the first ten, and what else is there?"""

from dataclasses import dataclass

import numpy as np

from llara.evaluate.task import CatalogTask, Part, RankingTask
from llara.evaluate.tasks.contract import Metric, TaskMaterial


@dataclass(frozen=True)
class FullTask:
    """Ranks all items but those of the visible history, as sequential recommenders are judged.

    Beside hits it says what the lists of ten are made of, see `llara.evaluate.catalog.list_measures`.
    """

    name: str = "full"
    metrics: tuple[Metric, ...] = (
        Metric("hr@5", "HR@5", lambda result: result.hr(5)),
        Metric("hr@20", "HR@20", lambda result: result.hr(20)),
        Metric("ndcg@10", "NDCG@10", lambda result: result.ndcg(10)),
        Metric("mrr", "MRR", lambda result: result.mrr),
        Metric(
            "coverage@10", "coverage", lambda result: result.measures.get("coverage@10"),
            "Share of the catalog that is in the first ten of some row.",
            of_lists=True,
        ),
        Metric(
            "novelty@10", "novelty", lambda result: result.measures.get("novelty@10"),
            "Mean surprise of the first ten, in bits: one more for items that half as many interactions are of.",
            of_lists=True,
        ),
        Metric(
            "popularity@10", "popularity bias", lambda result: result.measures.get("popularity@10"),
            "How popular the first ten are, against what users really chose: 1 is as popular, 2 twice.",
            of_lists=True,
        ),
        Metric(
            "cold@10", "cold items", lambda result: result.measures.get("cold@10"),
            "Share of the first ten that have fewer than five interactions in training.",
            of_lists=True,
        ),
    )  # fmt: skip

    def rows(
        self, material: TaskMaterial, part: Part, *, draws: int, dense: bool = False, limit: int = 10_000
    ) -> RankingTask:
        """The part's rows, one per user or every position; `draws` says nothing, nothing is drawn."""
        examples = material.examples(part, dense=dense, limit=limit)
        item_ids = material.dataset.catalog.item_ids
        users = [material.dataset.log.user_ids[index] for index in examples.user_index]
        chosen = np.bincount(material.split.train_sequences.items, minlength=len(item_ids))
        return CatalogTask(part, examples, (), users, item_ids, task=self.name, chosen=chosen)
