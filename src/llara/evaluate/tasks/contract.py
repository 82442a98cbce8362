"""The contract of a task: which rows are asked about, among which items, and what its table shows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from llara.data import CandidateConfig, Dataset, Examples, Split, SplitConfig, held_out_examples
from llara.evaluate.model_result import ModelResult
from llara.evaluate.task import Part, RankingTask, build_task


@dataclass(frozen=True)
class Metric:
    """One number of a result, and its column.

    Attributes:
        key: Its name in JSON, such as "ndcg@10".
        title: The heading of its column, such as "NDCG@10".
        value: The number; None or NaN where it does not apply to a result.
        meaning: What it is, in a sentence for someone who never heard of it.
        of_lists: Whether it says what the lists are made of, not how good the ranking is: such numbers have a table of
            their own.
    """

    key: str
    title: str
    value: Callable[[ModelResult], float | None]
    meaning: str = ""
    of_lists: bool = False


@dataclass(frozen=True)
class TaskMaterial:
    """What a task is made of.

    Attributes:
        dataset: The data.
        split: Its split.
        splitting: How it was split.
        candidates: How candidates are drawn, and from which seed.
    """

    dataset: Dataset
    split: Split
    splitting: SplitConfig
    candidates: CandidateConfig

    def examples(self, part: Part, *, dense: bool, limit: int) -> Examples:
        """Rows of a part: the protocol's, or every position of its users, at most `limit`, evenly spread."""
        if dense:
            return held_out_examples(self.dataset.log, self.split, self.splitting, limit=limit, part=part)
        return self.split.test if part == "test" else self.split.validation

    def task(self, part: Part, *, draws: int, dense: bool, limit: int, num_negatives: int | None = None) -> RankingTask:
        """Those rows with candidates, as many as the settings say or as a task needs."""
        drawn = self.candidates if num_negatives is None else replace(self.candidates, num_negatives=num_negatives)
        examples = self.examples(part, dense=dense, limit=limit)
        return build_task(self.dataset, self.split, part, drawn, draws=draws, examples=examples)


class Task(Protocol):
    """A way of asking models about held-out rows."""

    @property
    def name(self) -> str:
        """How `llara evaluate --task` and files call it."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The columns of its table, between HR@1 and the comparison with the baseline."""
        ...

    def rows(
        self, material: TaskMaterial, part: Part, *, draws: int, dense: bool = False, limit: int = 10_000
    ) -> RankingTask:
        """The rows of a part with their frozen candidates: a function of the material alone.

        Args:
            material: Data, split and seed.
            part: Which part is held out.
            draws: Candidate sets of each row.
            dense: Every position of the part's users instead of one row per user.
            limit: dense only: at most this many rows, evenly spread.
        """
        ...
