"""What models are judged on: frozen candidate draws of one part of a split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from llara.data import CandidateConfig, CandidateSet, Dataset, Examples, IntArray, Split, draw_candidates

Part = Literal["validation", "test"]
_PART_STREAM = {"test": 0, "validation": 1_000_003}


@dataclass(frozen=True)
class RankingTask:
    """Rows and their frozen candidates: the same for every model.

    Attributes:
        part: Which part of the split.
        examples: Its rows, [N].
        draws: Candidate sets, one per draw; each [N, C].
        user_ids: The source's id of each row's user, [N].
        item_ids: The source's id by item index; entry 0 is padding.
        task: Name of the task that chose them, whose metrics tables show.
    """

    part: Part
    examples: Examples
    draws: tuple[CandidateSet, ...]
    user_ids: Sequence[int | str]
    item_ids: Sequence[int | str]
    task: str = "sequential"

    def first_draws(self, count: int) -> "RankingTask":
        """The same task with fewer draws."""
        return replace(self, draws=self.draws[:count])

    @property
    def users(self) -> IntArray | None:
        """Number of each row's user, [N]; None where each user has one row."""
        numbers = np.unique(self.examples.user_index, return_inverse=True)[1]
        return None if len(numbers) == numbers.max() + 1 else numbers

    @property
    def hashes(self) -> tuple[str, ...]:
        """sha256 of each draw's candidates."""
        return tuple(draw.sha256 for draw in self.draws)

    @property
    def target_columns(self) -> IntArray:
        """[draws, N]."""
        return np.array([draw.target_column for draw in self.draws])

    @property
    def candidate_items(self) -> IntArray:
        """[draws, N, C]."""
        return np.array([draw.items for draw in self.draws])


def build_task(
    dataset: Dataset,
    split: Split,
    part: Part,
    config: CandidateConfig,
    *,
    draws: int,
    examples: Examples | None = None,
) -> RankingTask:
    """Draw the candidates of a part: a function of data, seed and draw only.

    Args:
        dataset: The data.
        split: Its split.
        part: Which rows; each part has a stream of draws of its own.
        config: Sampling and seed.
        draws: How many candidate sets.
        examples: Other rows of that part than the protocol's; None: those.
    """
    if examples is None:
        examples = split.test if part == "test" else split.validation
    shifted = CandidateConfig(
        num_negatives=config.num_negatives,
        sampling=config.sampling,
        exclude=config.exclude,
        draws=config.draws,
        seed=config.seed + _PART_STREAM[part],
    )
    sets = tuple(
        draw_candidates(
            examples,
            shifted,
            num_items=dataset.catalog.num_items,
            train_sequences=split.train_sequences,
            all_sequences=dataset.log.sequences,
            draw=draw,
        )
        for draw in range(draws)
    )
    users = [dataset.log.user_ids[index] for index in examples.user_index]
    return RankingTask(part, examples, sets, users, dataset.catalog.item_ids)
