"""What a training row is: a prompt with candidates and one target, or a window of a history with a target per item."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from llara.data import Examples, IntArray, Sequences
from llara.data.limits import NonNegativeInt, PositiveInt, RatioBelowOne, check_limits
from llara.errors import ConfigError
from llara.model import Llara, ScoredItems, shown_columns
from llara.prompt import PromptBatch, PromptEncoder, collate, collate_histories
from llara.train.curriculum import BoolArray
from llara.train.draws import Draws

_CUT_STREAM, _ITEM_STREAM = 0x51CE, 0x17E5
_WHOLE_CATALOG, _DRAWN = 50_000, 8_192


class TrainingPrior(Protocol):
    """What recommenders think of training rows that they were not fitted on, see `FoldRecommenders`."""

    def log_probs(self, examples: Examples, candidates: IntArray) -> Tensor:
        """Log-probability of each candidate of each row, [B, C]."""

    def score_each(self, users: IntArray, history: Tensor, items: Tensor | None = None) -> Tensor:
        """Scores after each history item, row after row, [M, S]."""


@dataclass(frozen=True)
class TrainingBatch:
    """Some rows, ready for the model.

    Attributes:
        prompts: What is read.
        target_column: Column of the target among the candidates, [B]; zeros where there are no candidates.
        prior: What stands under the scores in place of the recommender's own judgment; None: that.
        items: The items that are scored; None: the candidates, or the whole catalog.
    """

    prompts: PromptBatch
    target_column: Tensor
    prior: Tensor | None = None
    items: ScoredItems | None = None


class TrainingRows(Protocol):
    """Rows that a trainer takes its steps from: pure functions of (seed, epoch, row)."""

    def __len__(self) -> int: ...

    @property
    def history_length(self) -> int:
        """Longest history of a row."""

    def lengths(self, rows: IntArray, epoch: int) -> IntArray:
        """Tokens of each of some rows in an epoch, [n]."""

    def targets(self, rows: IntArray, epoch: int) -> int:
        """How many targets some rows have together: what a step's loss is the mean over."""

    def batch(self, rows: IntArray, hybrid: BoolArray, *, epoch: int, step: int) -> TrainingBatch:
        """Some rows of a step."""


@dataclass(frozen=True, eq=False)
class CandidateRows:
    """Examples, each a prompt with candidates.

    Attributes:
        llara: Encodes the prompts.
        examples: Histories and targets.
        draws: Candidates and wordings.
        prior: Of the listwise scores; None: the model's own recommender.
    """

    llara: Llara
    examples: Examples
    draws: Draws
    prior: TrainingPrior | None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def history_length(self) -> int:
        """Columns of the examples' histories."""
        return int(self.examples.history.shape[1])

    def lengths(self, rows: IntArray, epoch: int) -> IntArray:
        """See `Draws.lengths`."""
        return self.draws.lengths(rows, epoch)

    def targets(self, rows: IntArray, epoch: int) -> int:
        """One each."""
        return len(rows)

    def batch(self, rows: IntArray, hybrid: BoolArray, *, epoch: int, step: int) -> TrainingBatch:
        """Prompts with the candidates and wordings of the epoch."""
        examples = self.examples.select(rows)
        candidates, templates = self.draws.drawn(rows, epoch)
        columns = self._shown_columns(examples.histories(), candidates.items, hybrid)  # [B, C]
        items = np.take_along_axis(candidates.items, columns, axis=1)
        target_column = (columns == candidates.target_column[:, None]).argmax(axis=1)
        prompts = [
            self.llara.encode_prompt(history, shown, template=template)
            for history, shown, template in zip(examples.histories(), items.tolist(), templates, strict=True)
        ]
        answers = [self.llara.encoder.answer_tokens(int(target)) for target in examples.target]
        batch = collate(
            prompts,
            hybrid=[bool(flag) for flag in hybrid],
            filler=self.llara.encoder.filler,
            answers=answers if self.draws.answers else None,
            padded_width=self.llara.padded_width,
        )
        prior = self.prior.log_probs(examples, items) if self.prior is not None else None
        return TrainingBatch(batch, torch.from_numpy(target_column), prior)

    def _shown_columns(self, histories: list[list[int]], candidates: IntArray, hybrid: BoolArray) -> IntArray:
        """Columns in the order in which the prompts show them, [B, C]."""
        columns = np.tile(np.arange(candidates.shape[1]), (len(candidates), 1))
        rows = np.flatnonzero(hybrid)
        if len(rows):
            shown = shown_columns(self.llara, [histories[row] for row in rows], candidates[rows].tolist(), hybrid=True)
            columns[rows] = np.stack(shown)
        return columns


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Rows of objectives that read histories alone: stretches of a training user's items."""

    length: PositiveInt = 20
    """Items of a window that are read, each of which has the next one as its target, >= 1."""
    scored_items: NonNegativeInt = 0
    """Items drawn at random in each step, among which targets are told apart, with the correction for drawing; 0: the
    whole catalog up to 50,000 items, 8,192 drawn ones above."""
    soft_targets: RatioBelowOne = 0.0
    """Beyond the paper: share of a hybrid window's loss, in [0, 1), that is the cross-entropy with the recommender's
    judgment of the items (of a fusion: its first member's) in place of the next item alone."""

    def __post_init__(self) -> None:
        check_limits(self, "train.windows")

    def count(self, sequences: Sequences) -> int:
        """How many windows the sequences make."""
        return int((-(-np.maximum(sequences.lengths - 1, 0) // self.length)).sum())

    def drawn(self, num_items: int) -> int:
        """How many items are drawn in a step; 0: all are scored."""
        if self.scored_items:
            return self.scored_items if self.scored_items < num_items else 0
        return 0 if num_items <= _WHOLE_CATALOG else _DRAWN


@dataclass(frozen=True, eq=False)
class WindowRows:
    """Windows of training users' sequences: every item but a user's first is a target once per epoch.

    A sequence that is longer than a window is cut at places that change from epoch to epoch, always into as many
    windows, so that a row number is a window of the same user in every epoch.

    Attributes:
        llara: Encodes the histories.
        sequences: Items of each training user, oldest first; those with one item are left out.
        config: Length of windows, and how many items are scored.
        prior: Of the scores; None: the model's own recommender.
        seed: Seed of the cuts and of the items drawn.
    """

    llara: Llara
    sequences: Sequences
    config: WindowConfig
    prior: TrainingPrior | None
    seed: int
    _row: IntArray = field(init=False, repr=False)
    _number: IntArray = field(init=False, repr=False)
    _cuts: dict[int, tuple[IntArray, IntArray]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        counts = -(-self._transitions // self.config.length)
        row = np.repeat(np.arange(len(counts)), counts)
        object.__setattr__(self, "_row", row)
        object.__setattr__(self, "_number", np.arange(len(row)) - (np.cumsum(counts) - counts)[row])

    @property
    def _transitions(self) -> IntArray:
        return np.maximum(self.sequences.lengths - 1, 0)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def history_length(self) -> int:
        """Of a full window."""
        return self.config.length

    @property
    def encoder(self) -> PromptEncoder:
        """The model's."""
        return self.llara.encoder

    def windows(self, epoch: int) -> tuple[IntArray, IntArray]:
        """First input item of each window as a place in `Sequences.items`, and number of inputs; [len(self)] each."""
        if epoch not in self._cuts:
            while len(self._cuts) > 1:
                del self._cuts[next(iter(self._cuts))]
            self._cuts[epoch] = self._cut(epoch)
        return self._cuts[epoch]

    def _cut(self, epoch: int) -> tuple[IntArray, IntArray]:
        length, transitions = self.config.length, self._transitions
        slack = -(-transitions // length) * length - transitions
        # A sequence that fits into one window stays whole: cutting it would only take context away.
        drawn = np.random.default_rng([_CUT_STREAM, self.seed, epoch]).integers(0, slack + 1)
        shift = np.where(transitions > length, drawn, 0)[self._row]
        start = np.maximum(0, self._number * length - shift)
        end = np.minimum((self._number + 1) * length - shift, transitions[self._row])
        return self.sequences.offsets[self._row] + start, end - start

    def _histories(self, rows: IntArray, epoch: int) -> list[list[int]]:
        begin, length = self.windows(epoch)
        return [self.sequences.items[begin[row] : begin[row] + length[row]].tolist() for row in rows]

    def lengths(self, rows: IntArray, epoch: int) -> IntArray:
        """Tokens of each window, [n]."""
        return self.llara.history_lengths(self._histories(rows, epoch))

    def targets(self, rows: IntArray, epoch: int) -> int:
        """One for each item of a window."""
        return int(self.windows(epoch)[1][rows].sum())

    def batch(self, rows: IntArray, hybrid: BoolArray, *, epoch: int, step: int) -> TrainingBatch:
        """Windows with what follows each of their items."""
        begin, length = self.windows(epoch)
        following = [self.sequences.items[begin[row] + 1 : begin[row] + length[row] + 1].tolist() for row in rows]
        batch = collate_histories(
            [self.llara.encode_history(history) for history in self._histories(rows, epoch)],
            hybrid=[bool(flag) for flag in hybrid],
            filler=self.encoder.filler,
            next_items=following,
            padded_width=self.llara.padded_width,
        )
        items = self._scored(batch, step)
        prior = None
        if self.prior is not None:
            users = self.sequences.user_index[self._row[rows]]
            prior = self.prior.score_each(users, batch.history_items, items.indices if items is not None else None)
        return TrainingBatch(batch, torch.zeros(len(rows), dtype=torch.long), prior, items)

    def _scored(self, batch: PromptBatch, step: int) -> ScoredItems | None:
        """The step's drawn items, then those targets that are not among them."""
        count = self.config.drawn(self.encoder.num_items)
        if count == 0:
            return None
        rng = np.random.default_rng([_ITEM_STREAM, self.seed, step])
        drawn = torch.from_numpy(rng.choice(self.encoder.num_items, size=count, replace=False) + 1)
        targets = torch.unique(batch.next_items[batch.next_items != 0])
        return ScoredItems(torch.cat([drawn, targets[~torch.isin(targets, drawn)]]), count, self.encoder.num_items)


def candidate_rows(llara: Llara, draws: Draws, *, prior: TrainingPrior | None) -> TrainingRows:
    """Prompts with candidates, see `CandidateRows`.

    Raises:
        ConfigError: If there is none.
    """
    if len(draws.examples) == 0:
        raise ConfigError("no training example: every history is shorter than data.split.min_history. Lower it.")
    return CandidateRows(llara, draws.examples, draws, prior)


def window_rows(
    llara: Llara, sequences: Sequences, *, windows: WindowConfig, prior: TrainingPrior | None, seed: int
) -> TrainingRows:
    """Histories alone, see `WindowRows`.

    Raises:
        ConfigError: If there is none.
    """
    rows = WindowRows(llara, sequences, windows, prior, seed)
    if len(rows) == 0:
        raise ConfigError("no training user has two items: nothing follows anything. Use more data.")
    return rows
