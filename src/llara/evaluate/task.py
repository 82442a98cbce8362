"""What models are judged on: rows of one part of a split, with frozen candidates or the whole catalog."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llara.data import CandidateConfig, CandidateSet, Dataset, Examples, IntArray, Split, draw_candidates

Part = Literal["validation", "test"]
Scores = NDArray[np.float64]
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
        measure: Numbers of a model beyond its ranks, from its scores [draws, N, C] and these rows; None: none.
    """

    part: Part
    examples: Examples
    draws: tuple[CandidateSet, ...]
    user_ids: Sequence[int | str]
    item_ids: Sequence[int | str]
    task: str = "sequential"
    measure: "Callable[[Scores, RankingTask], Mapping[str, float]] | None" = None

    @property
    def num_rankings(self) -> int:
        """How many lists each model ranks."""
        return len(self.draws) * len(self.examples)

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


@dataclass(frozen=True)
class CatalogTask(RankingTask):
    """Rows whose targets are ranked among all items that the history does not hold; there are no draws.

    Attributes:
        chosen: How often training users chose each item, [num_items + 1].
        cutoff: Length of the lists, of which HR@cutoff is shown first.
        longest: Places of each list that are kept as predictions, >= cutoff.
    """

    chosen: IntArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    cutoff: int = 10
    longest: int = 20

    @property
    def num_items(self) -> int:
        """Catalog size."""
        return len(self.item_ids) - 1

    @property
    def num_rankings(self) -> int:
        """One list for each row."""
        return len(self.examples)

    @property
    def hashes(self) -> tuple[str, ...]:
        """One, of histories and targets: what the catalog leaves open."""
        digest = hashlib.sha256(str(self.num_items).encode())
        for values in (self.examples.history, self.examples.target):
            digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
        return (digest.hexdigest(),)


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
