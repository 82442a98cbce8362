"""Practice: rows made from the catalog's text alone, short ones first, that teach a small backbone to compare items."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import sparse
from torch import nn

from llara.data import Examples, IntArray
from llara.data.limits import NonNegativeInt, NonNegativeNumber, PositiveInt, PositiveNumber, check_limits
from llara.errors import ConfigError, DivergenceError
from llara.model import Llara
from llara.prompt import PromptEncoder
from llara.train.config import TrainConfig
from llara.train.curriculum import CurriculumConfig
from llara.train.loop import StepRecord, Trainer
from llara.train.objectives import ObjectiveConfig
from llara.train.optimizer import OptimizerConfig

logger = logging.getLogger(__name__)

_STREAM = 0x9AC71CE
_CELLS_AT_ONCE = 1 << 22
_WINDOW = 20
"""Steps over which a loss is averaged: 640 rows at the default batch size."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of practice."""

    share: PositiveNumber
    """Of the steps of all phases, > 0; shares need not sum to 1."""
    history: PositiveInt
    """History items, >= 1."""
    candidates: Annotated[int, Field(ge=2)]
    """Candidates, >= 2."""
    answer_weight: NonNegativeNumber = 1.0
    """Of the answer loss beside the listwise one, >= 0, where the objective has both; 0: listwise alone. While
    items cannot be compared, a large one drowns it."""
    enough: NonNegativeNumber = 0.0
    """End once the mean loss of the last 20 steps is below this, in nats per row, >= 0; the steps left are not used."""

    def __post_init__(self) -> None:
        check_limits(self, "practice.phases")

    def objective(self, training: ObjectiveConfig) -> ObjectiveConfig:
        """The objective of the phase, given that of the training that follows."""
        if len(training.trains) < 2:
            return training
        if self.answer_weight == 0:
            return ObjectiveConfig(name="listwise")
        return replace(training, answer_weight=self.answer_weight * training.answer_weight)


@dataclass(frozen=True, kw_only=True)
class PracticeConfig:
    """Training on catalog rows before any interaction: whose text resembles that of an item of the history?"""

    steps: NonNegativeInt = 0
    """Optimizer steps; 0: no practice."""
    batch_size: PositiveInt = 32
    """Rows per step."""
    learning_rate: PositiveNumber = 2e-3
    """Peak rate of each phase."""
    phases: tuple[Phase, ...] = (
        Phase(share=0.38, history=1, candidates=2, answer_weight=0.2, enough=0.25),
        Phase(share=0.28, history=2, candidates=4, answer_weight=0.2, enough=0.35),
        Phase(share=0.19, history=4, candidates=8),
        Phase(share=0.15, history=10, candidates=20),
    )
    """In order: what cannot be found out among 30 items is found out among 3 within seconds, and kept."""
    nearest: PositiveInt = 5
    """The target is one of this many items that are most like the last one of the history, >= 1; fewer make the rule
    plainer."""

    def __post_init__(self) -> None:
        check_limits(self, "practice")
        if not self.phases:
            raise ConfigError("practice.phases must hold at least one phase; set practice.steps to 0 for no practice")


def text_vectors(encoder: PromptEncoder) -> sparse.csr_array:
    """What each item's text says about it, as weighted tokens of length 1, [num_items, vocabulary].

    Metadata counts where the prompt shows some, else the title: names are alike by chance, genres and tags are not.
    Rare tokens weigh more (inverse document frequency), those of a single item nothing: they liken it to no other.
    """
    tokens = [encoder.subject_tokens(item) for item in range(1, encoder.num_items + 1)]
    rows = np.repeat(np.arange(len(tokens)), [len(text) for text in tokens])
    columns = np.array([token for text in tokens for token in text], dtype=np.int64)
    present = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(tokens), encoder.largest_token + 1))
    present.data[:] = 1.0  # duplicates were summed
    items_with = np.maximum(1, present.sum(axis=0))
    weights = np.where(items_with > 1, np.log(len(tokens) / items_with), 0.0)
    weighted = sparse.csr_array(present * weights)
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)))
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(length, 1e-12)) @ weighted)


def practice_examples(
    vectors: sparse.csr_array, *, count: int, history_length: int, seed: int, nearest: int = 5
) -> Examples:
    """Random histories whose target is one of the items most like the last of them, by text.

    Args:
        vectors: From `text_vectors`.
        count: Rows asked for; rows whose last item resembles nothing are left out.
        history_length: Items per history, fewer than there are items.
        seed: Only source of randomness.
        nearest: How many of the most alike items can be the target, >= 1.
    """
    num_items = vectors.shape[0]
    rng = np.random.default_rng([seed, _STREAM, history_length])
    histories = _distinct(rng, count, history_length, num_items)
    target = np.full(count, -1)
    rows_at_once = max(1, _CELLS_AT_ONCE // num_items)
    for start in range(0, count, rows_at_once):
        chunk = slice(start, start + rows_at_once)
        alike = (vectors[histories[chunk, -1]] @ vectors.T).toarray()  # [rows, num_items]
        np.put_along_axis(alike, histories[chunk], 0.0, axis=1)
        closest = np.argpartition(-alike, min(nearest, num_items - 1), axis=1)[:, :nearest]
        lots = np.where(np.take_along_axis(alike, closest, axis=1) > 0.0, rng.random(closest.shape), -1.0)
        picked = closest[np.arange(len(closest)), lots.argmax(axis=1)]
        target[chunk] = np.where(lots.max(axis=1) >= 0.0, picked, -1)
    usable = target >= 0
    rows = int(usable.sum())
    return Examples(
        history=histories[usable] + 1,
        history_length=np.full(rows, history_length),
        target=target[usable] + 1,
        user_index=np.arange(rows),
    )


def _distinct(rng: np.random.Generator, count: int, size: int, num_items: int) -> IntArray:
    """Rows of `size` distinct numbers below `num_items`, [count, size]."""
    chosen = np.zeros((count, size), dtype=np.int64)
    for column in range(size):
        # A number of what is left, counted past those that the row has already.
        number = rng.integers(num_items - column, size=count)
        for earlier in np.sort(chosen[:, :column], axis=1).T:
            number += number >= earlier
        chosen[:, column] = number
    return chosen


def practise(
    llara: Llara,
    config: PracticeConfig,
    *,
    objective: ObjectiveConfig,
    seed: int,
    on_step: Callable[[StepRecord], None] | None = None,
) -> None:
    """Train on practice rows with text-only prompts, in place. It reads the catalog and never an interaction.

    Args:
        llara: The model before its training.
        config: Steps and phases; phases that the catalog is too small for are shortened to what it holds.
        objective: As in the training that follows.
        seed: Of rows, negatives and order.
        on_step: Called after each optimizer step; `step` starts again with each phase.

    Raises:
        DivergenceError: If a loss, a gradient or a weight is not finite.
    """
    with _untouched(llara.projector):
        _practise_phases(llara, config, objective=objective, seed=seed, on_step=on_step)


@contextmanager
def _untouched(part: nn.Module) -> Iterator[None]:
    """Within the block, a part does not learn.

    Text-only prompts teach the projector nothing, and weight decay alone would shrink it.
    """
    learning = [parameter for parameter in part.parameters() if parameter.requires_grad]
    part.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _practise_phases(
    llara: Llara,
    config: PracticeConfig,
    *,
    objective: ObjectiveConfig,
    seed: int,
    on_step: Callable[[StepRecord], None] | None,
) -> None:
    vectors = text_vectors(llara.encoder)
    shares = np.array([phase.share for phase in config.phases])
    ends = np.round(config.steps * shares.cumsum() / shares.sum()).astype(int)
    for number, phase in enumerate(config.phases):
        steps = int(ends[number] - (ends[number - 1] if number else 0))
        history_length = min(phase.history, max(1, llara.catalog.num_items // 3))
        negatives = min(phase.candidates, llara.catalog.num_items - history_length) - 1
        rows = practice_examples(
            vectors,
            count=steps * config.batch_size,
            history_length=history_length,
            seed=seed + number,
            nearest=config.nearest,
        )
        if steps == 0 or len(rows) == 0 or negatives < 1:
            logger.info("practice phase %d skipped: no two items share a word, or the catalog is too small", number + 1)
            continue
        settings = _phase_settings(
            config, phase, objective, rows=len(rows), negatives=negatives, steps=steps, seed=seed + number
        )
        progress = _Progress(phase.enough)
        trainer = Trainer(
            llara, rows, config=settings, validate=lambda _: 0.0, on_step=on_step, enough=progress.is_enough
        )
        try:
            report = trainer.train()
        except DivergenceError as error:
            raise DivergenceError(
                error.what,
                where=f"{error.where} of practice phase {number + 1}",
                remedy=f"Lower practice.learning_rate (now {config.learning_rate}) or set backbone.precision to "
                "float32, and start anew.",
            ) from error
        logger.info(
            "practice, %d history items and %d candidates: loss %.2f -> %.2f in %d steps, %.0f s",
            history_length, negatives + 1, progress.first(), progress.last(), report.steps, report.seconds,
        )  # fmt: skip


def _phase_settings(
    config: PracticeConfig,
    phase: Phase,
    objective: ObjectiveConfig,
    *,
    rows: int,
    negatives: int,
    steps: int,
    seed: int,
) -> TrainConfig:
    return TrainConfig(
        epochs=steps / max(1, -(-rows // config.batch_size)),
        batch_size=config.batch_size,
        micro_batch_size=config.batch_size,
        num_negatives=negatives,
        validations=1,
        objective=phase.objective(objective),
        curriculum=CurriculumConfig(kind="text-only"),
        optimizer=OptimizerConfig(learning_rate=config.learning_rate, weight_decay=0.01),
        seed=seed,
    )


class _Progress:
    """The losses of a phase, and whether they are low enough to go on to the next."""

    def __init__(self, enough: float) -> None:
        self.enough = enough
        self.losses: list[float] = []

    def is_enough(self, record: StepRecord) -> bool:
        self.losses.append(record.loss)
        return len(self.losses) >= _WINDOW and self.last() < self.enough

    def first(self) -> float:
        return float(np.mean(self.losses[:_WINDOW]))

    def last(self) -> float:
        return float(np.mean(self.losses[-_WINDOW:]))
